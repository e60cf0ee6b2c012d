"""Examples of options and keys: those that the documentation shows, and its tests run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import click
import yaml

from tools.commands import all_commands

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
ROOT_COMMAND = "bhyvesim"
# Options of many commands, which are the same in each.
COMMON = (
    *("--at", "--crash", "--dask", "--dry-run", "--format", "--jobs", "--revision-file", "--vm"),
    *("--quiet", "-q", "--verbose", "-v"),
)
_MADE = "<!-- Made by"  # what is made shows what others show
_MAX = 150  # characters: an example is to be taken in at a glance


class Example(NamedTuple):
    """A call of a command: its words, as they stand in a console block."""

    command: str
    text: str
    options: frozenset[str]


@cache
def examples() -> tuple[Example, ...]:
    """Every call of bhyvesim in the documentation's console blocks, the shortest first."""
    paths = {path.removeprefix("bhyvesim "): ctx for path, ctx in all_commands()}
    found = {example for call in _calls() for example in _example(call, set(paths))}
    return tuple(sorted(found, key=lambda one: (len(one.text), one.text)))


def options_of(ctx: click.Context) -> list[click.Option]:
    """The options of a command that its help shows, but --help."""
    options = [p for p in ctx.command.get_params(ctx) if isinstance(p, click.Option)]
    return [one for one in options if not one.hidden and "--help" not in one.opts]


def of_option(command: str, names: Iterable[str]) -> str:
    """The shortest call of *command* with an option of these names; empty if there is none.

    Of a common option it may be a call of any command.
    """
    wanted = set(names)
    having = [example for example in examples() if example.options & wanted]
    own = [example for example in having if example.command == command]
    found = own or (having if wanted & set(COMMON) else [])
    return found[0].text if found else ""


def is_of(command: str, text: str) -> bool:
    """Whether *text* is a call of *command*."""
    return any(one.command == command and one.text == text for one in examples())


def _calls() -> Iterator[str]:
    for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        if text.startswith(_MADE):
            continue
        for line in re.findall(r"^ *\w*\$ (.*)$", text, re.MULTILINE):
            for part in re.split(r" (?:\||\|\||&&|2>&1|2>/dev/null|>(?!=)) ?|; ", line):
                if part.strip().startswith("bhyvesim "):
                    yield part.strip()


def _example(call: str, commands: set[str]) -> Iterator[Example]:
    try:
        words = shlex.split(call, comments=True)[1:]
    except ValueError:  # cut in the midst of a quotation
        return
    if len(call) > _MAX:
        return
    at = next((i for i, word in enumerate(words) if word in commands), len(words))
    before, after = words[:at], words[at:]
    command = next((name for n in (2, 1) if (name := " ".join(after[:n])) in commands), "")
    if command:
        yield Example(command, call, _options(after))
    if before:
        yield Example(ROOT_COMMAND, call, _options(before))


def _options(words: list[str]) -> frozenset[str]:
    return frozenset(word.partition("=")[0] for word in words if word.startswith("-"))


def of_key(section: str, path: str) -> str:
    """The shortest value of a key in the documentation's YAML; empty if there is none.

    *section* is vm, scenario, expect, or the name of a step.
    """
    values = _values().get((section, path.replace("[]", "")), [""])
    return min(values, key=lambda value: (value in _NOTHING, len(value), value))


@cache
def _values() -> dict[tuple[str, str], list[str]]:
    values: dict[tuple[str, str], list[str]] = {}
    for path in sorted((DOCS / "how-to").glob("*.md")):
        fences = re.findall(r"^```yaml\n(.*?)^```", path.read_text(encoding="utf-8"), _BLOCKS)
        for document in (yaml.load(text, yaml.BaseLoader) for text in fences):
            for section, key, value in _of_document(document):
                values.setdefault((section, key), []).append(_flow(value))
    return values


_NOTHING = ("[]", "{}", "")  # true, and no help
_BLOCKS = re.DOTALL | re.MULTILINE


def _of_document(document: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(section, path, value) of each key in a VM description or a scenario."""
    if "steps" not in document:
        yield from _of("vm", document)
        return
    yield from _of("scenario", {k: v for k, v in document.items() if k != "steps"})
    yield "scenario", "steps", document["steps"][:1]
    if isinstance(document["vm"], dict):
        yield from _of("vm", document["vm"])
    for step in document["steps"]:
        for name, value in step.items() if isinstance(step, dict) else ():
            section = "expect" if name == "expect" else name
            for one in value if isinstance(value, list) else [value]:
                yield from _of(section, one)


def _of(section: str, value: Any, before: str = "") -> Iterator[tuple[str, str, Any]]:
    """What stands in *value*, at any depth."""
    if isinstance(value, list):
        for one in value:
            yield from _of(section, one, before)
    if isinstance(value, dict):
        for key, inner in value.items():
            yield section, f"{before}{key}", inner
            yield from _of(section, inner, f"{before}{key}.")


def _flow(value: Any) -> str:
    """A value in one line, as somebody would write it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value)
