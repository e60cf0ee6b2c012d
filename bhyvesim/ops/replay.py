"""Recorded operations: lines of JSON, run in memory, a result for each.

Knows the format and the machine; reading files and printing is the command's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from bhyvesim import limits
from bhyvesim.errors import BadValue
from bhyvesim.kernel.calls import Listener
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.results import MachineState
from bhyvesim.ops.contents import Fill
from bhyvesim.ops.ioctls import Create
from bhyvesim.ops.operation import Recorder, Result
from bhyvesim.ops.operations import read_operation
from bhyvesim.units import shorten


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
        reason = error.msg if isinstance(error, json.JSONDecodeError) else _reason(error)
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


def _reason(error: ValueError) -> str:
    """Why values are none; of integers, Python's own words speak of Python."""
    return "an integer of thousands of digits" if "int_max_str" in str(error) else str(error)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        often = Counter(key for key, _ in pairs)
        twice = next(key for key in often if often[key] > 1)
        raise ValueError(f"the key {shorten(twice)} stands twice")
    return record


class Replayer:
    """Runs operations on a machine in memory; ``create`` starts a fresh one.

    *listener* hears every entry and return of its kernel, *recorder* of every operation.
    """

    def __init__(self, listener: Listener | None = None, recorder: Recorder | None = None) -> None:
        self.machine: Machine | None = None
        self._filled = 0
        self._listener = listener
        self._recorder = recorder

    def run(self, record: dict[str, Any]) -> Result:
        """The result of *record*. Raises BadValue where it is malformed."""
        operation = read_operation(record)
        if isinstance(operation, Create):
            self.machine = operation.machine(self._recorder)
            self._filled = 0
            if self._listener is not None:
                self.machine.listen(self._listener)
            return {"ok": 0}
        if self.machine is None or self.machine.state is MachineState.DESTROYED:
            return {"error": "ENOENT"}
        if isinstance(operation, Fill):
            self._filled += operation.length
            refused = limits.FILLED.refusal(self._filled)
            if refused is not None:
                raise BadValue(f"fills of {refused[0]}", refused[1])
        return operation.apply(self.machine)
