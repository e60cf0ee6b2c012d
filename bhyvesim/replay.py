"""The replay format: operations as JSON objects, one result object for each.

Knows the format and the machine; reading files and printing is the command's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bhyvesim.errors import BadValue, KernelHang, KernelPanic, Refused
from bhyvesim.gpt.revisions import REVISIONS
from bhyvesim.kernel import Assertions
from bhyvesim.machine import npt
from bhyvesim.machine.vm import Machine, MachineState, check_hold
from bhyvesim.prot import BY, parse_prot
from bhyvesim.pte import FORMATS
from bhyvesim.units import parse_bitmap, parse_size, shorten

Result = dict[str, Any]
_MISSING = object()


class Step(NamedTuple):
    """One operation as read, and the result that the file expects of it, if it says."""

    op: dict[str, Any]
    expected: Result | None


def parse_line(line: str) -> Iterator[Step]:
    """The steps of one line: an operation, or ``{"ops": […], "results": […]}``.

    Raises BadValue where the line is neither.
    """
    try:
        record = json.loads(line, object_pairs_hook=_unique)
    except RecursionError:
        raise BadValue("too deeply nested", "a JSON object") from None
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        column = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadValue(f"not JSON ({reason}{column})", "one JSON object a line") from None
    if not isinstance(record, dict):
        raise BadValue(f"{shorten(json.dumps(record))} is not an operation", "a JSON object")
    if "ops" not in record:
        yield Step(record, None)
        return
    ops, results = record["ops"], record.get("results")
    if not isinstance(ops, list) or not all(isinstance(op, dict) for op in ops):
        raise BadValue('"ops" is something else', "a list of operations")
    if results is None:
        results = [None] * len(ops)
    if not isinstance(results, list) or len(results) != len(ops):
        raise BadValue('"results" does not match "ops"', "a list with a result for each operation")
    yield from map(Step, ops, results)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shorten(twice)} stands twice")
    return record


class Replayer:
    """Runs operations on a machine in memory; ``create`` starts a fresh one."""

    def __init__(self) -> None:
        self.machine: Machine | None = None

    def run(self, op: dict[str, Any]) -> Result:
        """The result of *op*. Raises BadValue where *op* itself is malformed."""
        name = op.get("op", _MISSING)
        if name is _MISSING:
            raise BadValue('the key "op" is missing', f"one of {', '.join(_OPERATIONS)}")
        operation = _OPERATIONS.get(name) if isinstance(name, str) else None
        if operation is None:
            shown = shorten(json.dumps(name))
            raise BadValue(f"unknown op {shown}", f"one of {', '.join(_OPERATIONS)}")
        values = operation.read(op)
        machine = self.machine
        if name == "create":
            self.machine = Machine(**values)
            return {"ok": 0}
        if values.get("by") == "device":
            check_hold(values["prot"])
        if machine is None or machine.state is MachineState.DESTROYED:
            return {"error": "ENOENT"}
        try:
            return operation.run(machine, values)
        except KernelPanic as panic:
            return {"panic": {"function": panic.function, "message": panic.message}}
        except KernelHang as hang:
            return {"hang": {"function": hang.function}}
        except Refused as refused:
            return {"error": refused.errno_name}


class _Key(NamedTuple):
    name: str
    read: Callable[[Any], Any]
    argument: str
    default: Any = _MISSING


class _Operation(NamedTuple):
    keys: tuple[_Key, ...]
    run: Callable[[Machine, dict[str, Any]], Result]

    def read(self, op: dict[str, Any]) -> dict[str, Any]:
        """The arguments in *op*, by name.

        Raises BadValue for a key that is missing, ill-typed or unknown.
        """
        values = {}
        present = 1
        for key in self.keys:
            if key.name not in op:
                if key.default is _MISSING:
                    raise BadValue(f'{op["op"]} lacks the key "{key.name}"', "it to be there")
                values[key.argument] = key.default
                continue
            present += 1
            try:
                values[key.argument] = key.read(op[key.name])
            except BadValue as error:
                where = f'{op["op"]}: "{key.name}"'
                raise BadValue(f"{where}: {error.problem}", error.expected) from None
        if present != len(op):
            unknown = next(name for name in op if name != "op" and name not in self.names)
            known = ", ".join(self.names) or "no other key"
            raise BadValue(f"{op['op']} has no key {shorten(unknown)}", known)
        return values

    @property
    def names(self) -> list[str]:
        return [key.name for key in self.keys]


def _number(value: Any) -> int:
    if type(value) is int:
        return value
    if isinstance(value, str):
        return parse_size(value)
    raise BadValue(f"{shorten(json.dumps(value))} is not a number", 'an integer, "0x…" or "2M"')


def _count(value: Any) -> int:
    number = _number(value)
    if number < 0:
        raise BadValue(f"{number} is negative", "a number of pages")
    return number


def _numbers(value: Any) -> list[int]:
    if not isinstance(value, list):
        raise BadValue(f"{shorten(json.dumps(value))} is not a list", "a list of addresses")
    return [_number(item) for item in value]


def _host_pfn(value: Any) -> int | None:
    return None if value is None else _count(value)


def _prot(value: Any) -> int:
    return parse_prot(value) if isinstance(value, str) else _number(value)


def _access(value: Any) -> int:
    prot = _prot(value)
    if not 0 < prot < 8:
        raise BadValue(f"{prot} is not an access", "a mask of R=1, W=2, X=4")
    return prot


def _hold(value: Any) -> int:
    prot = _prot(value)
    check_hold(prot)
    return prot


def _operation(value: Any) -> int:
    number = _number(value)
    if not 0 <= number < 1 << 32:
        raise BadValue(f"{number} is no operation", "an unsigned number of 32 bits")
    return number


def _hex(value: Any) -> bytes | None:
    if value is None:
        return None
    return parse_bitmap(_text(value))


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise BadValue(f"{shorten(json.dumps(value))} is not a boolean", "true or false")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise BadValue(f"{shorten(json.dumps(value))} is not a string", "a string")


def _one_of(choices: list[str]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value in choices and isinstance(value, str):
            return value
        raise BadValue(
            f"unknown value {shorten(json.dumps(value))}", f"one of {', '.join(choices)}"
        )

    return read


def _done(run: Callable[..., object]) -> Callable[[Machine, dict[str, Any]], Result]:
    """An operation whose only success is ``{"ok": 0}``."""

    def operation(machine: Machine, values: dict[str, Any]) -> Result:
        run(machine, **values)
        return {"ok": 0}

    return operation


def _run_access(machine: Machine, values: dict[str, Any]) -> Result:
    access = machine.access(**values)
    result: Result = {"ok": access.ok, "mapped": access.mapped}
    if access.fault is not None:
        result["fault"] = access.fault
        result["gpa"] = access.gpa
    return result


def _run_hold(machine: Machine, values: dict[str, Any]) -> Result:
    held = machine.hold(**values)
    if held.id is not None:
        return {"ok": held.id}
    return {"fault": held.fault, "gpa": held.gpa}


def _run_release(machine: Machine, values: dict[str, Any]) -> Result:
    return {"ok": 0, "unmapped": machine.release(values["hold_id"], dirty=values["dirty"])}


def _run_npt(machine: Machine, values: dict[str, Any]) -> Result:
    value, bitmap = npt.npt_operation(machine, **values)
    return {"ok": value} if bitmap is None else {"ok": value, "bitmap": bitmap.hex()}


def _run_track(machine: Machine, values: dict[str, Any]) -> Result:
    return {"ok": 0, "bitmap": npt.track_dirty_pages(machine, **values).hex()}


def _run_stats(machine: Machine, values: dict[str, Any]) -> Result:
    stats = machine.stats()
    return {"ok": 0, "resident_bytes": stats.resident, "wired_bytes": stats.wired}


def _run_access_batch(machine: Machine, values: dict[str, Any]) -> Result:
    batch = machine.access_batch(**values)
    faults = [[gpa, fault] for gpa, fault in batch.faults]
    return {"ok": batch.ok, "mapped": batch.mapped, "faults": faults}


_OPERATIONS = {
    "create": _Operation(
        (
            _Key("gpt", _one_of(list(REVISIONS)), "gpt"),
            _Key("debug", _bool, "debug"),
            _Key("npt", _one_of(list(FORMATS)), "npt"),
            _Key("track_dirty", _bool, "track_dirty", False),
            _Key("assertions", _one_of([a.value for a in Assertions]), "assertions", "panic"),
            _Key("apicv", _bool, "apicv", False),
        ),
        lambda machine, values: {"ok": 0},
    ),
    "alloc_memseg": _Operation(
        (
            _Key("segid", _number, "segid"),
            _Key("len", _number, "length"),
            _Key("name", _text, "name"),
            _Key("host_pfn", _host_pfn, "host_pfn", None),
        ),
        _done(Machine.alloc_memseg),
    ),
    "mmap_memseg": _Operation(
        (
            _Key("gpa", _number, "gpa"),
            _Key("segid", _number, "segid"),
            _Key("segoff", _number, "segoff"),
            _Key("len", _number, "length"),
            _Key("prot", _prot, "prot"),
            _Key("wired", _bool, "wired", False),
        ),
        _done(Machine.mmap_memseg),
    ),
    "munmap_memseg": _Operation(
        (_Key("gpa", _number, "gpa"), _Key("len", _number, "length")),
        _done(Machine.munmap_memseg),
    ),
    "access": _Operation(
        (
            _Key("gpa", _number, "gpa"),
            _Key("npages", _count, "npages"),
            _Key("prot", _access, "prot"),
            _Key("by", _one_of(list(BY)), "by", "vcpu"),
        ),
        _run_access,
    ),
    "access_batch": _Operation(
        (_Key("gpas", _numbers, "gpas"), _Key("prot", _access, "prot")),
        _run_access_batch,
    ),
    "hold": _Operation((_Key("gpa", _number, "gpa"), _Key("prot", _hold, "prot")), _run_hold),
    "release": _Operation(
        (_Key("id", _number, "hold_id"), _Key("dirty", _bool, "dirty", True)), _run_release
    ),
    "npt_op": _Operation(
        (
            _Key("gpa", _number, "gpa"),
            _Key("len", _number, "length"),
            _Key("operation", _operation, "operation"),
            _Key("bitmap", _hex, "bitmap", None),
        ),
        _run_npt,
    ),
    "track_dirty_pages": _Operation(
        (_Key("gpa", _number, "gpa"), _Key("len", _number, "length")), _run_track
    ),
    "stats": _Operation((), _run_stats),
    "reinit": _Operation((), _done(Machine.reinit)),
    "destroy": _Operation((), lambda machine, _: {"ok": 0, "leaked_nodes": machine.destroy()}),
    "dump": _Operation((), lambda machine, _: {"ok": 0, **machine.dump()}),
}
