"""The tables and entries of a GPT as rows, derived from its leaves.

Interior tables are not stored: one exists where a leaf below it does, its reference
count is the number of its child tables, and each child takes one entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bhyvesim.kernel.gpt.engine import Gpt
from bhyvesim.kernel.gpt.leaf import Leaf, entries, present
from bhyvesim.kernel.gpt.levels import (
    ENTRIES,
    ENTRY_BITS,
    LEAF_LEVEL,
    LEAF_SHIFT,
    ROOT_LEVEL,
    table_span,
)
from bhyvesim.units import PAGE_SHIFT


class NodeRow(NamedTuple):
    """*tables* neighbouring tables of one level, from *gpa* on, that look alike."""

    level: int
    gpa: int
    tables: int
    refcnt: int
    entries: int


class PteRow(NamedTuple):
    """*npages* neighbouring entries of one class, from *gpa* on; *pte* is the first."""

    gpa: int
    npages: int
    pte: int


class _Tables(NamedTuple):
    """Tables ``[first, end)`` of some level, by index, with the same count."""

    first: int
    end: int
    refcnt: int


def node_rows(gpt: Gpt) -> list[NodeRow]:
    """Every table, from the root down and by address; alike neighbours are one row."""
    leaves = [
        (_Tables(first, end, leaf[0]), present(leaf).bit_count())
        for first, end, leaf in gpt.leaves.runs(0, gpt.leaves.end)
        if leaf is not None
    ]
    rows: list[list[NodeRow]] = [_merge(_leaf_rows(leaves, gpt.twins))]
    below: list[_Tables] = [tables for tables, _ in leaves]
    for level in range(LEAF_LEVEL + 1, ROOT_LEVEL):
        below = list(_parents(below))
        rows.append(_merge(_interior_rows(level, below, gpt.twins)))
    children = sum(tables.end - tables.first for tables in below)
    rows.append([NodeRow(ROOT_LEVEL, 0, 1, children, children)])
    return [row for level_rows in reversed(rows) for row in level_rows]


def pte_rows(gpt: Gpt) -> list[PteRow]:
    """Every leaf entry that hardware can reach, by address; neighbours of one class are one row."""
    rows: list[PteRow] = []
    run_gpa = run_pages = run_cls = 0
    for gpa, npages, cls in _pte_runs(gpt):
        if run_pages and cls == run_cls and gpa == run_gpa + (run_pages << PAGE_SHIFT):
            run_pages += npages
            continue
        if run_pages:
            rows.append(PteRow(run_gpa, run_pages, run_cls + run_gpa))
        run_gpa, run_pages, run_cls = gpa, npages, cls
    if run_pages:
        rows.append(PteRow(run_gpa, run_pages, run_cls + run_gpa))
    return rows


def _reachable(gpt: Gpt) -> Iterator[tuple[int, int, Leaf]]:
    """``(first, end, leaf)`` of the runs of leaves, but for those hidden by a newer, empty twin."""
    for first, end, leaf in gpt.leaves.runs(0, gpt.leaves.end):
        if leaf is None:
            continue
        for index in gpt.twins:
            if first <= index < end:
                if first < index:
                    yield first, index, leaf
                first = index + 1
        if first < end:
            yield first, end, leaf


def _pte_runs(gpt: Gpt) -> Iterator[tuple[int, int, int]]:
    for first, end, leaf in _reachable(gpt):
        held = entries(leaf)
        if len(held) == 1 and held[0][:2] == (0, ENTRIES):
            yield first << LEAF_SHIFT, (end - first) * ENTRIES, held[0][2]
            continue
        for index in range(first, end) if held else ():
            base = index << LEAF_SHIFT
            for start, stop, cls in held:
                yield base + (start << PAGE_SHIFT), stop - start, cls


def _leaf_rows(leaves: Iterable[tuple[_Tables, int]], twins: tuple[int, ...]) -> Iterator[NodeRow]:
    for (first, end, refcnt), used in leaves:
        for index in twins:
            if first <= index < end:
                if first < index:
                    yield _row(LEAF_LEVEL, first, index, refcnt, used)
                yield _row(LEAF_LEVEL, index, index + 1, 0, 0)  # the newer stands in front
                first = index
        yield _row(LEAF_LEVEL, first, end, refcnt, used)


def _interior_rows(
    level: int, tables: Iterable[_Tables], twins: tuple[int, ...]
) -> Iterator[NodeRow]:
    doubled = {index >> ENTRY_BITS for index in twins} if level == LEAF_LEVEL + 1 else set()
    for first, end, children in tables:
        for table in sorted(doubled):
            if first <= table < end:
                if first < table:
                    yield _row(level, first, table, children, children)
                yield _row(level, table, table + 1, children + 1, children)
                first = table + 1
        if first < end:
            yield _row(level, first, end, children, children)


def _row(level: int, first: int, end: int, refcnt: int, used: int) -> NodeRow:
    return NodeRow(level, first * table_span(level), end - first, refcnt, used)


def _merge(rows: Iterable[NodeRow]) -> list[NodeRow]:
    merged: list[NodeRow] = []
    for row in rows:
        if merged:
            last = merged[-1]
            if row.gpa == last.gpa + last.tables * table_span(row.level) and row[3:] == last[3:]:
                merged[-1] = last._replace(tables=last.tables + row.tables)
                continue
        merged.append(row)
    return merged


def _parents(children: Iterable[_Tables]) -> Iterator[_Tables]:
    """The tables one level up, counted; *children* are ascending."""
    open_table, count = -1, 0
    for first, end, _ in children:
        while first < end:
            table = first >> ENTRY_BITS
            if table != open_table:
                if count:
                    yield _Tables(open_table, open_table + 1, count)
                open_table, count = table, 0
            whole = (end >> ENTRY_BITS) - table
            if not count and first & (ENTRIES - 1) == 0 and whole > 0:
                yield _Tables(table, table + whole, ENTRIES)
                first += whole << ENTRY_BITS
                continue
            stop = min(end, (table + 1) << ENTRY_BITS)
            count += stop - first
            first = stop
    if count:
        yield _Tables(open_table, open_table + 1, count)
