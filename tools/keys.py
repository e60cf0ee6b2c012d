"""JSON Schemas (draft 7) of the files that bhyvesim reads, from their keys; and their reference."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bhyvesim.cli.commands.schema import SCHEMAS
from bhyvesim.config.readers import Key, Keys, Reader
from bhyvesim.config.scenario.expectations import EXPECT_KEYS
from bhyvesim.config.scenario.sources import MATRIX, SCENARIO_KEYS
from bhyvesim.config.scenario.steps import STEPS
from bhyvesim.config.vm import VM_KEYS, VM_RULES
from bhyvesim.prot import format_prot
from bhyvesim.units import format_size
from tools.examples import of_key

FILES = {
    "vm": ("A bhyvesim VM description", VM_KEYS, VM_RULES),
    "scenario": ("A bhyvesim scenario", SCENARIO_KEYS, {}),
}


def schema(kind: str) -> str:
    """The schema of the files of this kind."""
    title, keys, rules = FILES[kind]
    definitions: dict[str, Any] = {}
    whole = _shape({"keys": keys, **rules}, definitions)
    if kind == "scenario":
        whole["properties"]["steps"]["minItems"] = 1
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": title}
    document = {**head, **whole, "definitions": definitions}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _shape(thing: Any, definitions: dict[str, Any]) -> Any:
    """*thing* with readers and keys in it as what they stand for; named ones as definitions."""
    if isinstance(thing, Key):
        shape = _shape(thing.read, definitions)
        if not thing.meaning:
            return shape
        shape = {"allOf": [shape]} if "$ref" in shape else shape
        return {**shape, "description": thing.meaning}
    if isinstance(thing, Reader):
        if not thing.name:
            return _shape(thing.schema, definitions)
        if thing.name not in definitions:
            definitions[thing.name] = None  # its place, should it need itself
            definitions[thing.name] = _shape(thing.schema, definitions)
        return {"$ref": f"#/definitions/{thing.name}"}
    if isinstance(thing, Mapping):
        more = {k: _shape(v, definitions) for k, v in thing.items() if k != "keys"}
        return {**_object(thing["keys"], definitions), **more} if "keys" in thing else more
    if isinstance(thing, (list, tuple)):
        return [_shape(one, definitions) for one in thing]
    return thing


def _object(keys: Keys, definitions: dict[str, Any]) -> dict[str, Any]:
    needed = [key.name for key in keys if key.needed]
    return {
        "type": "object",
        "additionalProperties": False,
        **({"properties": {key.name: _shape(key, definitions) for key in keys}} if keys else {}),
        **({"required": needed} if needed else {}),
    }


def reference() -> str:
    """Every key: what it takes, what it means, its default, and an example."""
    text = "# Configuration keys\n\nWhat is *needed* must be given. [Describe a VM]"
    text += "(../how-to/describe-a-vm.md) and [Write a scenario](../how-to/write-a-scenario.md) "
    text += "have them in whole files.\n\n"
    text += "## VM descriptions\n\n" + _table(VM_KEYS, "vm")
    text += "## Scenarios\n\n" + _table(SCENARIO_KEYS, "scenario")
    text += "### matrix\n\nEach axis is a list of values; `gpt: all` is every revision.\n\n"
    axes = _shape(MATRIX.read, {})["properties"]
    text += "".join(f"- `{axis}`\n" for axis in axes) + "\n"
    for name, kind in STEPS.items():
        text += f"### {name}\n\n"
        text += _table(kind.keys, name) if kind.keys else "No keys.\n\n"
        if kind.results:
            results = ", ".join(f"`{result}`" for result in kind.results)
            text += f"Besides errno, panic, hang and state, `expect` may name {results}.\n\n"
    text += "### expect\n\n"
    return text + _table(EXPECT_KEYS, "expect", "not looked at")


class Row(NamedTuple):
    """One key in the reference; *path* is how it is written below the keys that it stands in."""

    path: str
    key: Key[Any]
    default: str
    example: str


def rows(keys: Keys, section: str, otherwise: str = "none", before: str = "") -> Iterator[Row]:
    """Every key of a section of the reference; *otherwise*: the default of those without one."""
    for key in keys:
        path = f"{before}{key.name}"
        inner, mark = _inner(key.read)
        inside = inner if key.name not in _ELSEWHERE else ()
        default = "*needed*" if key.needed else _shown(key)
        default = default or key.otherwise or otherwise
        yield Row(path, key, default, key.example or of_key(section, path))
        yield from rows(inside, section, otherwise, f"{path}{mark}.")


_ELSEWHERE = ("vm", "steps")  # keys whose own have a section


def _table(keys: Keys, section: str, otherwise: str = "none") -> str:
    text = "| key | value | meaning | default | example |\n| --- | --- | --- | --- | --- |\n"
    for path, key, default, example in rows(keys, section, otherwise):
        kind = _kind(_shape(key.read, {}))
        shown = f"`{example}`" if example else ""
        text += f"| `{path}` | {kind} | {key.meaning} | {default} | {shown} |\n"
    return text + "\n"


def _inner(reader: Reader[Any]) -> tuple[Keys, str]:
    """The keys of a mapping, or of the mappings of a list, which are marked."""
    for thing in (reader.schema, *reader.schema.get("anyOf", ())):
        schema_ = thing.schema if isinstance(thing, Reader) else thing
        if "keys" in schema_:
            return schema_["keys"], ""
        items = schema_.get("items")
        if isinstance(items, Reader) and "keys" in items.schema:
            return items.schema["keys"], "[]"
    return (), ""


def _shown(key: Key[Any]) -> str:
    """A default as somebody would write it."""
    default = key.default
    if default is None:
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if key.name in ("prot", "access"):
        return f"`{format_prot(default)}`"
    if key.name == "bootrom":
        return f"`{format_size(default)}`"
    return f"`{default}`" if default != "" else "empty"


def _kind(shape: dict[str, Any]) -> str:
    """What a value is, in words."""
    if "$ref" in shape:
        name: str = shape["$ref"].rsplit("/", 1)[1]
        words = {"natural": "integer", "prot": "r, w, x", "gpt": "revision", "vm": "mapping"}
        return words.get(name, name)
    if "enum" in shape:
        return ", ".join(f"`{word}`" for word in shape["enum"])
    if "const" in shape:
        return f"`{json.dumps(shape['const'])}`".replace('"', "")
    for several in ("anyOf", "allOf"):
        if several in shape:
            kinds = [_kind(one) for one in shape[several]]
            return " or ".join(dict.fromkeys(kind for kind in kinds if kind))
    kind = shape.get("type", "")
    return {"object": "mapping", "array": "list"}.get(kind, str(kind))


def main() -> None:
    for kind in FILES:
        (SCHEMAS / f"{kind}.schema.json").write_text(schema(kind), encoding="utf-8")


if __name__ == "__main__":
    main()
