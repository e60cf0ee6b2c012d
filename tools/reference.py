"""Writes docs/reference/*.md from the commands, the schemas and the tables of the code."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import bhyvesim
from bhyvesim.cli.commands.schema import SCHEMAS
from bhyvesim.errors import STATUSES
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.limits import limits
from bhyvesim.lint.rules import RULES
from bhyvesim.report.words import words
from tools import examples, keys, panics
from tools.commands import all_commands

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
_MADE = "<!-- Made by tools/reference.py; edit the code, not this page. -->\n\n"


def commands_page() -> str:
    """Every command: its help, and a table of its options."""
    text = (
        "# Commands\n\nExamples are from the guides, where the output stands beside them; `…` is "
        "before one of another command, which has the same option.\n\n"
    )
    for path, ctx in all_commands():
        help_, _, rest = ctx.get_help().partition("\n\nOptions:\n")
        _, blank, after = rest.partition("\n\n")
        shown = f"{help_}{blank}{after}"
        text += f"## {path}\n\n```text\n{shown}\n```\n\n{_options(path, ctx)}"
    return text


def _options(path: str, ctx: click.Context) -> str:
    """The options of a command, each with an example from the documentation."""
    rows = ""
    command = path.removeprefix("bhyvesim ")
    for option in examples.options_of(ctx):
        record = option.get_help_record(ctx)
        assert record is not None, option
        example = examples.of_option(command, option.opts)
        own = example and examples.is_of(command, example)
        shown = f"{'' if own else '… '}`{example}`" if example else ""
        rows += f"| `{record[0]}` | {_escaped(record[1])} | {shown} |\n"
    return f"| option | meaning | example |\n| --- | --- | --- |\n{rows}\n" if rows else ""


def _escaped(text: str) -> str:
    return re.sub(r"([|<>*_\[\]])", r"\\\1", text)


def _key_rows(key: str, value: dict[str, Any]) -> str:
    """A row for a key, and below it one for each key of the records under it."""
    record, mark = _record(value)
    meaning = value.get("description") or record.get("description", "")
    row = f"| `{key}` | {_type(value)} | {meaning} |\n"
    for inner, what in record.get("properties", {}).items():
        row += _key_rows(f"{key}{mark}.{inner}", what)
    return row


def _record(value: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The record that stands under a key, if any, and how its keys are marked in a list."""
    items = value.get("items", {})
    if isinstance(items, dict) and items:
        return items, "[]"
    return next((one for one in value.get("anyOf", ()) if "properties" in one), value), ""


def _type(value: dict[str, Any]) -> str:
    if "enum" in value:
        return ", ".join("null" if word is None else f"`{word}`" for word in value["enum"])
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(map(_type, value["anyOf"])))
    kinds = value.get("type", "")
    words = kinds if isinstance(kinds, list) else [kinds]
    return " or ".join({"object": "mapping", "array": "list"}.get(word, word) for word in words)


def codes_page() -> str:
    """Exit statuses, findings, revisions, words."""
    text = (
        "# Exit statuses, findings, revisions, words\n\n"
        "`bhyvesim explain` tells of each code, revision and word.\n\n## Exit statuses\n\n"
        "| status | meaning |\n| --- | --- |\n"
    )
    for status, meaning in STATUSES.items():
        text += f"| {status} | {meaning} |\n"
    text += "\nThese hold for every command. What they come to, where its help says more:\n\n"
    text += "| command | status |\n| --- | --- |\n"
    for path, ctx in all_commands():
        if said := _on_statuses(ctx.command.help or ""):
            text += f"| `{path}` | {_escaped(said)} |\n"
    text += "\n## Findings of `bhyvesim check`\n\n"
    text += "| code | name | what it finds |\n| --- | --- | --- |\n"
    for rule in RULES.values():
        text += f"| `{rule.code}` | {rule.name} | {rule.summary} |\n"
    text += (
        "\n## Kernel revisions\n\n"
        "| revision | date | in a line | known |\n| --- | --- | --- | --- |\n"
    )
    for revision in REVISIONS.values():
        known = revision.known
        text += f"| `{revision.name}` | {revision.date} | {revision.summary} | {known} |\n"
    text += "\n## Words\n\n| word | where it is read | what it means |\n| --- | --- | --- |\n"
    for word in words():
        text += f"| `{word.word}` | {word.where} | {word.meaning.replace('|', '&#124;')} |\n"
    return text


def _on_statuses(help_: str) -> str:
    """The sentences of a command's help that speak of its exit status."""
    sentences = re.split(r"(?<=\.)\s+", " ".join(help_.replace("\b", "").split()))
    return " ".join(one for one in sentences if re.search(r"\bstatus(es)? \d|xit status", one))


def json_page() -> str:
    """The JSON that commands print."""
    schema = json.loads((SCHEMAS / "output.schema.json").read_text(encoding="utf-8"))
    text = (
        "# JSON output\n\n`--format json` prints one document. Keys stay; new ones may be added.\n"
        "`bhyvesim schema output` prints the JSON Schema, with a definition a command.\n\n"
    )
    for name, definition in schema["definitions"].items():
        text += f"## {name}\n\n{definition['description']}\n\n"
        text += "| key | value | meaning |\n| --- | --- | --- |\n"
        for key, value in definition["properties"].items():
            text += _key_rows(key, value)
        text += "\n"
    return text


def python_page() -> str:
    """The public names, from their docstrings."""
    text = (
        "# Python\n\n`from bhyvesim import …`; each name is imported on first use. Addresses and "
        "lengths are bytes, ends exclusive unless said otherwise.\n\n"
    )
    for name in bhyvesim.__all__:
        thing = getattr(bhyvesim, name)
        if inspect.isclass(thing):
            text += f"## {name}\n\n{_docstring(thing)}\n\n"
            for method, member in vars(thing).items():
                text += _member(method, member)
        elif inspect.isfunction(thing):
            text += f"## {name}{_signature(thing)}\n\n{_docstring(thing)}\n\n"
    return text


def _member(name: str, member: object) -> str:
    """A public method or property with a docstring of its own, as a section."""
    function = member.fget if isinstance(member, property) else inspect.unwrap(member)  # type: ignore[arg-type]
    if isinstance(member, (staticmethod, classmethod)):
        function = member.__func__
    if name.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
        return ""
    shown = f"`{name}`" if isinstance(member, property) else f"`{name}{_signature(function)}`"
    return f"### {shown}\n\n{_docstring(function)}\n\n"


def _signature(function: Callable[..., object]) -> str:
    signature = inspect.signature(function)
    kept = [p for p in signature.parameters.values() if p.name != "self"]
    return str(signature.replace(parameters=kept)).replace("'", "")


def _docstring(thing: object) -> str:
    """The docstring; examples in it become code."""
    blocks = []
    for block in (inspect.getdoc(thing) or "").replace("``", "`").split("\n\n"):
        is_code = block.lstrip().startswith(">>>")
        blocks.append(f"```pycon\n{block}\n```" if is_code else block)
    return "\n\n".join(blocks)


def limits_page() -> str:
    """Every bound on what comes from outside."""
    text = (
        "# Limits\n\nWhat is past one of them is refused before the work, with its place and the "
        "limit, and exit status 2.\nWork that follows the extents of guest memory needs no limit: "
        "a touch of 2^64 bytes costs what one of a page costs.\n\n"
        "| what | at most |\n| --- | --- |\n"
    )
    for limit in limits():
        text += f"| {limit.of} | {limit.most:,} {limit.unit} |\n"
    return text


PAGES = {
    "python.md": python_page,
    "commands.md": commands_page,
    "configuration.md": keys.reference,
    "codes.md": codes_page,
    "panics.md": panics.panics_page,
    "json.md": json_page,
    "limits.md": limits_page,
}


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    for name, page in PAGES.items():
        (folder / name).write_text(_MADE + page().rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
