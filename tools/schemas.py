"""JSON Schemas (draft 7) from the types of records: of each document that a command prints."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Iterable
from typing import Any

from bhyvesim.cli.commands.schema import SCHEMAS
from bhyvesim.report import (
    bhyvectl,
    bisect,
    contents,
    crash,
    crash_read,
    diff,
    explain,
    explore,
    failed,
    find,
    findings,
    fsck,
    history,
    host,
    identify,
    imports,
    kernels,
    leaks,
    lifecycle,
    live,
    lockstep,
    memory,
    migration,
    prove,
    scenario,
    show,
    state,
    tables,
    verdicts,
    vms,
    walk,
    words,
)
from bhyvesim.report.model import Note, fields_of

# Every document by its name in the schema. A new one: its record, and a line here.
DOCUMENTS: dict[str, type] = {
    "error": failed.Failed,
    "halted": failed.Halted,
    "create": lifecycle.Created,
    "reboot": lifecycle.Rebooted,
    "migrate": migration.Migration,
    "destroy": lifecycle.AllDestroyed,
    "touch": lifecycle.Touched,
    "hold": lifecycle.HoldTaken,
    "list": vms.Vms,
    "host": host.HostShown,
    "show": show.Show,
    "memmap": memory.MemoryMap,
    "memseg": memory.Segments,
    "lowmem": bhyvectl.Lowmem,
    "highmem": bhyvectl.Highmem,
    "gpa-pmap": bhyvectl.GpaPmap,
    "eptp": bhyvectl.Eptp,
    "stats": bhyvectl.Stats,
    "walk": walk.Walk,
    "gpt": tables.GptTree,
    "find": find.Find,
    "leaks": leaks.Leaks,
    "fsck": fsck.Fsck,
    "log": history.Log,
    "why": history.Why,
    "diff": diff.Difference,
    "diff-on": kernels.KernelDifference,
    "peek": contents.Peeked,
    "bitmap": contents.Bitmap,
    "crash-list": crash.Crashes,
    "crash-show": crash.CrashRecord,
    "explain": explain.Explained,
    "explain-word": words.ExplainedWord,
    "state-check": state.StateChecked,
    "state-compact": state.StateCompacted,
    "run": scenario.Run,
    "matrix": verdicts.Matrix,
    "matrix-fleet": verdicts.FleetMatrix,
    "matrix-rollout": verdicts.Rollout,
    "explore": explore.Explored,
    "prove": prove.Proof,
    "bisect": bisect.Bisected,
    "lockstep": lockstep.Compared,
    "check": findings.Reviewed,
    "import": imports.ImportedAll,
    "import-crash": crash_read.CrashRead,
    "identify": identify.Identified,
    "replay-live": live.Live,
}

_PLAIN = {str: "string", int: "integer", bool: "boolean", float: "number", type(None): "null"}


def output_schema() -> str:
    """The schema of everything that is printed with --format json."""
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "What bhyvesim prints with --format json",
        "anyOf": [{"$ref": f"#/definitions/{name}"} for name in DOCUMENTS],
        "definitions": {name: schema_of(record) for name, record in DOCUMENTS.items()},
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def schema_of(kind: Any) -> dict[str, Any]:
    """The schema of values of type *kind*: a record, a container, or something plain."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return {**schema_of(arguments[0]), **_noted(arguments[1:])}
    if origin in (typing.Union, types.UnionType):
        return _union([schema_of(a) for a in arguments if a is not type(None)], arguments)
    if origin in (tuple, list):
        return _array(arguments)
    if origin is dict or kind is dict:
        inner = schema_of(arguments[1]) if arguments else {}
        return {"type": "object", **({"additionalProperties": inner} if inner else {})}
    if kind is Any:
        return {}
    return {"type": _PLAIN[kind]} if kind in _PLAIN else _object(kind)


def _noted(notes: Iterable[Note]) -> dict[str, Any]:
    """What all of the notes say; the outermost, which is the last, has the last word."""
    pairs = (
        pair
        for note in notes
        for pair in (
            ("enum", list(note.words)),
            ("pattern", note.pattern),
            ("description", note.meaning),
        )
    )
    return {key: value for key, value in pairs if value}


def _array(arguments: tuple[Any, ...]) -> dict[str, Any]:
    if arguments[-1] is Ellipsis or len(arguments) == 1:
        inner = schema_of(arguments[0])
        return {"type": "array", **({"items": inner} if inner else {})}
    length = len(arguments)
    items = [schema_of(argument) for argument in arguments]
    return {"type": "array", "items": items, "minItems": length, "maxItems": length}


def _union(schemas: list[dict[str, Any]], arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Several plain types, or one that may be null."""
    schema = schemas[0] if len(schemas) == 1 else {"type": [one["type"] for one in schemas]}
    return _nullable(schema) if type(None) in arguments else schema


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") == "object":
        return {"anyOf": [{"type": "null"}, schema]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    nullable = {**schema, "type": [*kinds, "null"]}
    if "enum" in schema:
        nullable["enum"] = [*schema["enum"], None]
    return nullable


def _object(record: type) -> dict[str, Any]:
    """A record: every field is there, but for those that are left out where they are None."""
    hints = typing.get_type_hints(record, include_extras=True)
    keys, absent = getattr(record, "KEYS", {}), getattr(record, "ABSENT", ())
    names = fields_of(record)
    kinds = {n: _present(hints[n]) if n in absent else hints[n] for n in names}
    return {
        "type": "object",
        "description": " ".join((inspect.getdoc(record) or "").split()).replace("``", "`"),
        "required": [keys.get(name, name) for name in names if name not in absent],
        "properties": {keys.get(name, name): schema_of(kinds[name]) for name in names},
    }


def _present(kind: Any) -> Any:
    """*kind* where it is not None."""
    return next(a for a in typing.get_args(kind) if a is not type(None))


def main() -> None:
    (SCHEMAS / "output.schema.json").write_text(output_schema(), encoding="utf-8")


if __name__ == "__main__":
    main()
