"""What changed between two page tables: entries and leaf tables, as runs, never page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bhyvesim.kernel.gpt.leaf import ALL_ENTRIES, EMPTY, Leaf, classes, present, runs_of
from bhyvesim.kernel.gpt.levels import ENTRIES, LEAF_SHIFT
from bhyvesim.kernel.gpt.windows import Leaves
from bhyvesim.units import PAGE_SHIFT


class PteChange(NamedTuple):
    """*npages* neighbouring entries from *gpa* on; *before* and *after* are the first one's.

    0 stands for none. Within a run both classes are the same, so each entry is a page further.
    """

    gpa: int
    npages: int
    before: int
    after: int


class LeafChange(NamedTuple):
    """*tables* neighbouring leaf tables from *gpa* on: reference counts; None: no table."""

    gpa: int
    tables: int
    before: int | None
    after: int | None


def changed_leaves(
    before: Leaves, after: Leaves
) -> Iterator[tuple[int, int, Leaf | None, Leaf | None]]:
    """``(first, end, before, after)`` of the runs of leaves that differ, by index."""
    for lo, hi in _to_compare(before, after):
        ours, theirs = before.maximal_runs_of(lo, hi), after.maximal_runs_of(lo, hi)
        at = end_before = end_after = lo
        one: Leaf | None = None
        other: Leaf | None = None
        while at < hi:
            if at == end_before:
                _, end_before, one = next(ours)
            if at == end_after:
                _, end_after, other = next(theirs)
            end = min(end_before, end_after)
            if one is not other and one != other:
                yield at, end, one, other
            at = end


def _to_compare(before: Leaves, after: Leaves) -> Iterator[tuple[int, int]]:
    """Everything but the windows that neither has in memory and that are known to be the same."""
    known = {first: (end, unread.key) for first, end, unread in before.parts() if unread}
    at = 0
    for first, end, unread in after.parts():
        if unread and unread.key is not None and known.get(first) == (end, unread.key):
            if at < first:
                yield at, first
            at = end
    if at < before.end:
        yield at, before.end


def pte_changes(before: Leaves, after: Leaves) -> list[PteChange]:
    """The entries that differ, by address; neighbours that changed alike are one row."""
    rows: list[PteChange] = []
    last: tuple[int, int | None, int | None] | None = None  # where it ends, and its classes
    for first, end, one, other in changed_leaves(before, after):
        cuts = _entry_changes(one or EMPTY, other or EMPTY)
        whole = len(cuts) == 1 and cuts[0][:2] == (0, ENTRIES)
        for index in (first,) if whole else range(first, end):
            base = index << LEAF_SHIFT
            for start, stop, was, now in cuts:
                gpa = base + (start << PAGE_SHIFT)
                npages = (end - first) * ENTRIES if whole else stop - start
                if last == (gpa, was, now):
                    rows[-1] = rows[-1]._replace(npages=rows[-1].npages + npages)
                else:
                    rows.append(PteChange(gpa, npages, _entry(was, gpa), _entry(now, gpa)))
                last = gpa + (npages << PAGE_SHIFT), was, now
    return rows


def leaf_changes(before: Leaves, after: Leaves) -> list[LeafChange]:
    """The leaf tables that came, went or changed their count; alike neighbours are one row."""
    rows: list[LeafChange] = []
    for first, end, one, other in changed_leaves(before, after):
        was = None if one is None else one[0]
        now = None if other is None else other[0]
        if was == now:
            continue
        gpa = first << LEAF_SHIFT
        if rows:
            row = rows[-1]
            if row.gpa + (row.tables << LEAF_SHIFT) == gpa and row[2:] == (was, now):
                rows[-1] = row._replace(tables=row.tables + end - first)
                continue
        rows.append(LeafChange(gpa, end - first, was, now))
    return rows


def gone(before: Leaves, after: Leaves) -> list[tuple[int, int]]:
    """Runs ``(gpa, end)`` of pages that had an entry and have none, by address; *end* exclusive."""
    runs: list[tuple[int, int]] = []
    for first, end, one, other in changed_leaves(before, after):
        lost = present(one or EMPTY) & ~present(other or EMPTY)
        whole = lost == ALL_ENTRIES
        for index in (first,) if whole else range(first, end) if lost else ():
            base = index << LEAF_SHIFT
            for start, stop in runs_of(lost):
                at = base + (start << PAGE_SHIFT)
                to = (end << LEAF_SHIFT) if whole else base + (stop << PAGE_SHIFT)
                if runs and runs[-1][1] == at:
                    runs[-1] = (runs[-1][0], to)
                else:
                    runs.append((at, to))
    return runs


def _entry(cls: int | None, gpa: int) -> int:
    return 0 if cls is None else cls + gpa


def _entry_changes(one: Leaf, other: Leaf) -> list[tuple[int, int, int | None, int | None]]:
    """``(first index, end index, class before, class after)`` of the entries that differ."""
    found = [
        (first, end, before, after)
        for before, bits in _with_absent(one)
        for after, others in _with_absent(other)
        if before != after and bits & others
        for first, end in runs_of(bits & others)
    ]
    return sorted(found, key=lambda row: row[0])


def _with_absent(leaf: Leaf) -> list[tuple[int | None, int]]:
    """Classes and their entries; those that are not set are of class None."""
    return [(None, ALL_ENTRIES & ~present(leaf)), *classes(leaf).items()]
