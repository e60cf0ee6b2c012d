"""The tree folded into runs: alike neighbours are one row, whatever their number.

Costs are per run of equal leaves; what a filter leaves out is not looked at.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from bhyvesim.kernel.gpt.engine import Gpt, Piece
from bhyvesim.kernel.gpt.leaf import build, classes, entries
from bhyvesim.kernel.gpt.levels import ENTRIES, REACH, table_span
from bhyvesim.kernel.gpt.rows import NodeRow, node_rows
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT, PAGE_SIZE

EVERYWHERE = Span(0, REACH)


class EntryRun(NamedTuple):
    """*npages* neighbouring entries of one class from page *page* on; and that *times* over.

    Each time lies one leaf table (2 MiB) after the one before, and only whole leaves are
    folded so: with *times* above 1, *npages* is below 512.
    """

    page: int
    npages: int
    cls: int
    times: int = 1

    @property
    def gpa(self) -> int:
        return self.page << PAGE_SHIFT

    @property
    def pte(self) -> int:
        """The first entry."""
        return self.cls + self.gpa

    @property
    def pages(self) -> int:
        """How many pages that is in all."""
        return self.npages * self.times


def pages_in(span: Span) -> range:
    """The pages that hold a byte of *span*, as far as the tables reach."""
    end = min(span.end, REACH)
    return range(min(span.start, end) >> PAGE_SHIFT, end + PAGE_SIZE - 1 >> PAGE_SHIFT)


def entry_runs(
    gpt: Gpt, pages: range, wanted: Callable[[int], bool] | None = None
) -> Iterator[EntryRun]:
    """The entries of *pages* that hardware reaches, by address of the first of each run.

    *wanted* picks classes; it is asked once for each in a run of equal leaves.
    """
    last: EntryRun | None = None
    for piece in linked_pieces(gpt, pages):
        for run in _piece_runs(piece, wanted):
            if last is None:
                last = run
            elif _joins(last, run):
                last = last._replace(npages=last.npages + run.npages)
            else:
                yield last
                last = run
    if last is not None:
        yield last


def linked_pieces(gpt: Gpt, pages: range) -> Iterator[Piece]:
    """The pieces of *pages* that have a leaf, without those that a newer, empty twin hides."""
    for piece in gpt.pieces(pages):
        if piece.leaf is None:
            continue
        first = piece.first
        for index in sorted(gpt.twins):
            if first <= index < piece.end:
                if first < index:
                    yield piece._replace(first=first, end=index)
                first = index + 1
        if first < piece.end:
            yield piece._replace(first=first)


def _piece_runs(piece: Piece, wanted: Callable[[int], bool] | None) -> list[EntryRun]:
    assert piece.leaf is not None
    picked = {
        cls: bits & piece.mask
        for cls, bits in classes(piece.leaf).items()
        if bits & piece.mask and (wanted is None or wanted(cls))
    }
    held = entries(build(0, picked))
    base = piece.first * ENTRIES
    times = piece.end - piece.first
    if len(held) == 1 and held[0][:2] == (0, ENTRIES):
        return [EntryRun(base, times * ENTRIES, held[0][2])]
    return [EntryRun(base + first, end - first, cls, times) for first, end, cls in held]


def _joins(a: EntryRun, b: EntryRun) -> bool:
    return a.times == b.times == 1 and a.cls == b.cls and a.page + a.npages == b.page


def table_runs(gpt: Gpt, span: Span = EVERYWHERE, level: int | None = None) -> list[NodeRow]:
    """The tables over *span*, of one *level* or of all, each run before those that lie under it.

    A run is cut where one above it begins, so that a tree can be read off.
    """
    found: list[NodeRow] = []
    cuts: list[int] = []
    clipped = [row for row in (_clip(row, span) for row in node_rows(gpt)) if row is not None]
    for _, rows in groupby(clipped, key=attrgetter("level")):  # from the root down
        pieces = [piece for row in rows for piece in _cut(row, cuts)]
        cuts = [piece.gpa for piece in pieces]
        found += [piece for piece in pieces if level in (None, piece.level)]
    return sorted(found, key=lambda row: (row.gpa, -row.level))


def _clip(row: NodeRow, span: Span) -> NodeRow | None:
    """The tables of *row* that cover a byte of *span*."""
    size = table_span(row.level)
    first = max(row.gpa, span.start // size * size)
    end = min(row.gpa + row.tables * size, -(-span.end // size) * size)
    return row._replace(gpa=first, tables=(end - first) // size) if first < end else None


def _cut(row: NodeRow, cuts: Sequence[int]) -> Iterator[NodeRow]:
    """*row* in pieces, cut at those of *cuts* (ascending) that are inside."""
    size = table_span(row.level)
    start, end = row.gpa, row.gpa + row.tables * size
    for cut in (*cuts[bisect_right(cuts, start) : bisect_left(cuts, end)], end):
        yield row._replace(gpa=start, tables=(cut - start) // size)
        start = cut
