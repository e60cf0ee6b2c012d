"""Where two results of one operation part, in words.

States are compared table by table and page by page, however either side folds alike
neighbours into rows.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from bhyvesim.kernel.gpt.levels import LEAF_LEVEL, ROOT_LEVEL, table_span
from bhyvesim.ops.operation import Result
from bhyvesim.text import clean
from bhyvesim.units import PAGE_SIZE

_WIDTH = 200  # characters of what is somebody else's
_ADDRESSES = ("gpa", "len", "segoff")
_TABLE = ("count", "entries")
_MEMMAP = ("len", "segid", "segoff", "prot", "wired")


Rows = list[list[int]]
Values = Sequence[int]


class Difference(NamedTuple):
    """At *place*, *got* where *expected* was; ``kind`` is alike for what looks alike."""

    kind: str
    place: str
    got: str
    expected: str

    def __str__(self) -> str:
        return f"{self.place}: {self.got}, expected {self.expected}"


class Run(NamedTuple):
    """*length* neighbours of one *value*, from *start* on, in steps of whatever is counted."""

    start: int
    length: int
    value: Any


def difference(asked: str, expected: Result, got: dict[str, Any]) -> Difference | None:
    """Where *got* parts from *expected*, which is what was *asked* for; None: nowhere.

    Of a dump, memmaps come first, then tables from the leaves up, entries, the counter: what
    is wrong with one is the reason for what is wrong with the next.
    """
    if _canonical(expected) == _canonical(got):
        return None
    ours, theirs = _word(expected), _word(got)
    if ours != theirs:
        return Difference(f"{asked}: {theirs}, {ours}", asked, theirs, ours)
    if "nodes" in expected:
        return _state(expected, got)
    return _by_key(asked, expected, got)


def parting(expected: Iterable[Run], got: Iterable[Run], step: int) -> tuple[int, Any, Any] | None:
    """Where two sequences of runs part first, and what is there in either; None: nowhere.

    *step* is from one neighbour to the next. A value of None: nothing is there.
    """
    ours, theirs = deque(expected), deque(got)
    while ours and theirs:
        one, other = ours.popleft(), theirs.popleft()
        if one.start < other.start:
            return one.start, one.value, None
        if other.start < one.start:
            return other.start, None, other.value
        if one.value != other.value:
            return one.start, one.value, other.value
        common = min(one.length, other.length)
        for run, rest in ((one, ours), (other, theirs)):
            if run.length > common:
                rest.appendleft(Run(run.start + common * step, run.length - common, run.value))
    if ours:
        return ours[0].start, ours[0].value, None
    return (theirs[0].start, None, theirs[0].value) if theirs else None


def _state(expected: Result, got: dict[str, Any]) -> Difference | None:
    for key, width in (("nodes", 5), ("ptes", 3), ("memmap", 6)):
        wrong = _malformed(key, got.get(key), width)
        if wrong is not None:
            return wrong
    return (
        _memmaps(expected["memmap"], got["memmap"])
        or _tables(expected["nodes"], got["nodes"])
        or _entries(expected["ptes"], got["ptes"])
        or _by_key("dump", _without_rows(expected), _without_rows(got))
    )


def _malformed(key: str, rows: Any, width: int) -> Difference | None:
    """What is wrong with *rows*, if they are no rows at all."""
    shape = f"a list of lists of {width} numbers"
    if not isinstance(rows, list):
        return Difference(f"dump {key}", f'dump, "{key}"', _shown(rows), shape)
    for row in rows:
        numbers = isinstance(row, list) and all(type(number) is int for number in row)
        if not numbers or len(row) != width or not _possible(key, row):
            return Difference(f"dump {key}", f'dump, "{key}"', _shown(row), shape)
    return None


def _possible(key: str, row: Sequence[int]) -> bool:
    if key == "nodes":
        return LEAF_LEVEL <= row[0] <= ROOT_LEVEL and row[2] > 0
    return key == "memmap" or row[1] > 0


def _memmaps(expected: Rows, got: Rows) -> Difference | None:
    ours, theirs = (
        [Run(gpa, 1, tuple(rest)) for gpa, *rest in sorted(rows)] for rows in (expected, got)
    )
    found = parting(ours, theirs, 0)
    if found is None:
        return None
    gpa, one, other = found
    return _part("memmap", f"memmap at {gpa:#x}", _MEMMAP, one, other)


def _tables(expected: Rows, got: Rows) -> Difference | None:
    for level in range(LEAF_LEVEL, ROOT_LEVEL + 1):
        ours, theirs = (
            _sorted(Run(gpa, tables, values) for at, gpa, tables, *values in rows if at == level)
            for rows in (expected, got)
        )
        found = parting(ours, theirs, table_span(level))
        if found is not None:
            gpa, one, other = found
            return _part("table", f"table level {level} at {gpa:#x}", _TABLE, one, other)
    return None


def _entries(expected: Rows, got: Rows) -> Difference | None:
    ours, theirs = (
        _sorted(Run(gpa, pages, pte - gpa) for gpa, pages, pte in rows) for rows in (expected, got)
    )
    found = parting(ours, theirs, PAGE_SIZE)
    if found is None:
        return None
    gpa, *values = found
    one, other = (0 if value is None else value + gpa for value in values)
    kind = "entry too many" if not one else "entry missing" if not other else "entry"
    return Difference(kind, f"page {gpa:#x}", f"pte {other:#x}", f"{one:#x}")


def _part(
    what: str, place: str, names: Sequence[str], one: Values | None, other: Values | None
) -> Difference:
    """*one* was expected at *place*, *other* is there: the first of their values that differs."""
    if one is None or other is None:
        expected, got = (_fields(names, values) if values else "none" for values in (one, other))
        kind = "too many" if one is None else "missing"
        return Difference(f"{what} {kind}", place, got, expected)
    name, expected, got = next(
        (name, _value(name, was), _value(name, came))
        for name, was, came in zip(names, one, other, strict=True)
        if was != came
    )
    return Difference(f"{what} {name}", place, f"{name} {got}", expected)


def _sorted(runs: Iterable[Run]) -> list[Run]:
    """By where they start; of two tables of one place, the first stays first."""
    return sorted(runs, key=lambda run: run.start)


def _without_rows(dump: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in dump.items() if key not in ("nodes", "ptes", "memmap")}


def _by_key(asked: str, expected: Result, got: dict[str, Any]) -> Difference | None:
    """The first key that is not as it should be; one that is missing, or too many."""
    for key in dict.fromkeys((*expected, *got)):
        if key not in expected or key not in got:
            was, came = (
                _value(key, side[key]) if key in side else "none" for side in (expected, got)
            )
            return Difference(f"{asked} {key}", asked, f"{key} {came}", was)
        one, other = expected[key], got[key]
        if _canonical(one) == _canonical(other):
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            return _by_key(asked, one, other)
        bit = _bit(asked, one, other) if key == "bitmap" else None
        plain = Difference(f"{asked} {key}", asked, f"{key} {_value(key, other)}", _value(key, one))
        return bit or plain
    return None


def _bit(asked: str, one: str, other: Any) -> Difference | None:
    """Of two bitmaps, the first bit that differs; None where *other* is no such bitmap."""
    try:
        words = [int.from_bytes(bytes.fromhex(text), "little") for text in (one, str(other))]
    except ValueError:
        return None
    differ = words[0] ^ words[1]
    if len(one) != len(str(other)) or not differ:
        return None
    page = (differ & -differ).bit_length() - 1
    was, came = (word >> page & 1 for word in words)
    return Difference(f"{asked} bitmap {came}", asked, f"bitmap {came} for page {page}", str(was))


def _word(result: dict[str, Any]) -> str:
    """What a result comes to, in a word or two."""
    if "error" in result:
        return _shown(result["error"])
    for stop in ("panic", "hang"):
        if stop in result:
            inner = result[stop]
            function = inner.get("function") if isinstance(inner, dict) else inner
            return f"{stop} in {_shown(function)}"
    if "ok" in result:
        return "ok"
    return f"fault {_shown(result['fault'])}" if "fault" in result else _shown(result)


def _fields(names: Sequence[str], values: Sequence[int]) -> str:
    return ", ".join(
        f"{name} {_value(name, value)}" for name, value in zip(names, values, strict=True)
    )


def _value(name: str, value: Any) -> str:
    if name in _ADDRESSES and type(value) is int:
        return f"{value:#x}"
    shown = _shown(value)
    return f'"{shown}"' if isinstance(value, str) and " " in shown else shown


def _shown(value: Any) -> str:
    return clean(value if isinstance(value, str) else _canonical(value), _WIDTH)


_canonical: Callable[[Any], str] = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False
).encode
