"""What differs between two machines, or one machine at two moments, as runs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple, TypeVar

from bhyvesim.kernel.gpt.diff import LeafChange, PteChange, leaf_changes, pte_changes
from bhyvesim.kernel.gpt.levels import LEAF_LEVEL, ROOT_LEVEL, table_span
from bhyvesim.kernel.gpt.rows import NodeRow, node_rows
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import Memmap, Memseg
from bhyvesim.kernel.pages import WINDOW_BITS, UnreadPages

T = TypeVar("T")


class NodeChange(NamedTuple):
    """*tables* neighbouring tables of a level above the leaves, from *gpa* on.

    Before and after: reference count and entries used; None: no table.
    """

    level: int
    gpa: int
    tables: int
    before: tuple[int, int] | None
    after: tuple[int, int] | None


class CounterChange(NamedTuple):
    """A number or word of the machine."""

    name: str
    before: str
    after: str


class Changes(NamedTuple):
    """All that differs; every list is empty where nothing does. *memory*: ``(pfn, pages)``."""

    counters: list[CounterChange]
    segments: tuple[list[Memseg], list[Memseg]]  # gone, come
    memmaps: tuple[list[Memmap], list[Memmap]]
    nodes: list[NodeChange]
    leaves: list[LeafChange]
    entries: list[PteChange]
    memory: list[tuple[int, int]]

    @property
    def any(self) -> bool:
        return any((*self.segments, *self.memmaps, self.counters, *self[3:]))


def changes(before: Machine, after: Machine) -> Changes:
    """What differs between the two."""
    one, other = before.space.gpt.leaves, after.space.gpt.leaves
    leaves = leaf_changes(one, other)
    came_or_went = any(row.before is None or row.after is None for row in leaves)
    return Changes(
        list(_counters(before, after)),
        _gone_and_come(before.segs.values(), after.segs.values()),
        _gone_and_come(before.memmaps, after.memmaps),
        list(_nodes(before, after)) if came_or_went else [],
        leaves,
        pte_changes(one, other),
        _memory(before, after),
    )


def _counters(before: Machine, after: Machine) -> Iterator[CounterChange]:
    ours, theirs = _numbers(before), _numbers(after)
    for name in ours:
        if ours[name] != theirs[name]:
            yield CounterChange(name, ours[name], theirs[name])


def _numbers(machine: Machine) -> dict[str, str]:
    gpt = machine.space.gpt
    return {
        "state": machine.state.value,
        "revision": machine.revision.name,
        "resident pages": str(gpt.resident),
        "dirty tracking": "on" if gpt.tracking else "off",
        "accessed and dirty bits by hardware": "yes" if gpt.sets_bits else "no",
        "holds": ", ".join(f"{n} at {h.gpa:#x}" for n, h in machine.space.holds.items()) or "none",
        "leaf tables that exist twice": str(len(gpt.twins)),
    }


def _gone_and_come(before: Iterable[T], after: Iterable[T]) -> tuple[list[T], list[T]]:
    ours, theirs = list(before), list(after)
    return [x for x in ours if x not in theirs], [x for x in theirs if x not in ours]


def _nodes(before: Machine, after: Machine) -> Iterator[NodeChange]:
    """The tables above the leaves that differ; neighbours that do alike are one row."""
    for level in range(ROOT_LEVEL, LEAF_LEVEL, -1):
        last: NodeChange | None = None
        for start, end, was, now in _sweep(_level(before, level), _level(after, level)):
            span = table_span(level)
            row = NodeChange(level, start, (end - start) // span, was, now)
            if last is not None and last.gpa + last.tables * span == start and last[3:] == row[3:]:
                last = last._replace(tables=last.tables + row.tables)
                continue
            if last is not None:
                yield last
            last = row
        if last is not None:
            yield last


def _level(machine: Machine, level: int) -> list[NodeRow]:
    return [row for row in node_rows(machine.space.gpt) if row.level == level]


_Value = tuple[int, int] | None


def _sweep(
    before: list[NodeRow], after: list[NodeRow]
) -> Iterator[tuple[int, int, _Value, _Value]]:
    """``(start, end, before, after)`` of the stretches where the rows differ, by address."""
    edges = sorted(
        {
            edge
            for row in (*before, *after)
            for edge in (row.gpa, row.gpa + row.tables * table_span(row.level))
        }
    )
    for start, end in pairwise(edges):
        was, now = _value_at(before, start), _value_at(after, start)
        if was != now:
            yield start, end, was, now


def _value_at(rows: list[NodeRow], gpa: int) -> _Value:
    """The table over *gpa* among *rows*, which are by address."""
    at = bisect_right(rows, gpa, key=attrgetter("gpa")) - 1
    if at < 0 or gpa >= rows[at].gpa + rows[at].tables * table_span(rows[at].level):
        return None
    return rows[at].refcnt, rows[at].entries


def _memory(before: Machine, after: Machine) -> list[tuple[int, int]]:
    """Runs ``(first page frame, pages)`` whose bytes differ."""
    ours, theirs = before.contents, after.contents
    frames: set[int] = set()
    for number in ours.windows().keys() | theirs.windows().keys():
        one, other = ours.windows().get(number), theirs.windows().get(number)
        if isinstance(one, UnreadPages) and isinstance(other, UnreadPages):
            if one.key == other.key:
                continue
        for pfn in range(number << WINDOW_BITS, (number + 1) << WINDOW_BITS):
            if ours[pfn] != theirs[pfn]:
                frames.add(pfn)
    runs: list[tuple[int, int]] = []
    for pfn in sorted(frames):
        if runs and sum(runs[-1]) == pfn:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((pfn, 1))
    return runs
