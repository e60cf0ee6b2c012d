"""What the map draws: its folded scale, memmaps, entries, tables and marks, as runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bhyvesim.kernel.gpt.fold import EVERYWHERE, EntryRun, entry_runs, pages_in
from bhyvesim.kernel.gpt.levels import LEAF_LEVEL, LEAF_SHIFT, LEAF_SPAN
from bhyvesim.kernel.gpt.rows import NodeRow
from bhyvesim.kernel.look.areas import Area
from bhyvesim.kernel.look.changes import Changes
from bhyvesim.kernel.machine import Machine
from bhyvesim.prot import format_prot
from bhyvesim.report.html.stretches import Stretch, Stretches
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT, PAGE_SIZE

MAX_STRETCHES = 1500  # of entries, and of tables
MAX_CHANGES = 40  # of one step
_NARROWEST = 0.09  # of the map's width, for what is mapped
_GAP = 0.05
_LENS = 16 * PAGE_SIZE  # on both sides of an edge, enlarged alike, so that both can be compared
_LENS_WIDTH = 0.012


class Piece(NamedTuple):
    """Bytes ``[start, end)`` and the share of the map's width that they take."""

    start: int
    end: int
    width: float
    gap: bool


class Entries(NamedTuple):
    """The entries that hardware reaches: counts, the first runs, and all as stretches.

    ``kind`` of a stretch is its rights.
    """

    pages: int
    dirty: int
    runs: int
    first: tuple[EntryRun, ...]
    stretches: tuple[Stretch, ...]
    bucket: int


def entries_of(machine: Machine, first: int) -> Entries:
    """The entries of *machine*; of the runs, the *first* ones."""
    made = Stretches(MAX_STRETCHES)
    kept: list[EntryRun] = []
    pages = dirty = runs = 0
    npt = machine.npt
    for run in entry_runs(machine.space.gpt, pages_in(EVERYWHERE)):
        marked = run.pages if run.pte & npt.dirty else 0
        end = run.gpa + (run.times - 1 << LEAF_SHIFT) + (run.npages << PAGE_SHIFT)
        made.add(Stretch(run.gpa, end, run.pages, marked, format_prot(npt.prot(run.pte))))
        pages += run.pages
        dirty += marked
        runs += 1
        if runs <= first:
            kept.append(run)
    return Entries(pages, dirty, runs, tuple(kept), tuple(made.rows), made.bucket)


def leaf_stretches(rows: Iterable[NodeRow]) -> tuple[Stretch, ...]:
    """The leaf tables of *rows*, which are by address; neighbours are one stretch."""
    made = Stretches(MAX_STRETCHES)
    last: Stretch | None = None
    for row in rows:
        if row.level != LEAF_LEVEL:
            continue
        new = Stretch(row.gpa, row.gpa + row.tables * LEAF_SPAN, row.tables, 0, "")
        if last is not None and last.end == new.start:
            last = Stretch(last.start, new.end, last.held + new.held, 0, "")
            continue
        if last is not None:
            made.add(last)
        last = new
    if last is not None:
        made.add(last)
    return tuple(made.rows)


def scale(areas: Sequence[Area], others: Iterable[Stretch], marks: Iterable[int]) -> list[Piece]:
    """The whole map, from address 0 on: what is mapped to scale, gaps folded.

    None of it is narrower than can be seen; *others* and *marks* keep gaps that hold some of
    them from being folded, and the map does not end before them.
    """
    held = [*(Span(row.start, row.end) for row in others), *(Span(m, m + 1) for m in marks)]
    end = max((span.end for span in (*(a.span for a in areas), *held)), default=PAGE_SIZE)
    end = -(-end // PAGE_SIZE) * PAGE_SIZE
    total = sum(area.span.length for area in areas) or 1
    pieces = []
    for span, area in _cut(areas, end):
        shown = area is not None or any(span.overlaps(other) for other in held)
        width = span.length / total if area is not None else 0.0
        pieces.append(Piece(*span, max(width, _NARROWEST if shown else _GAP), area is None))
    pieces = list(_with_lenses(pieces))
    whole = sum(piece.width for piece in pieces)
    return [piece._replace(width=piece.width / whole) for piece in pieces]


def _with_lenses(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """*pieces* with what is next to an edge as pieces of their own.

    A page there is as wide as one on the other side, were that a memmap of a few pages.
    """
    for i, piece in enumerate(pieces):
        before = _lens(pieces[i - 1] if i else None, piece)
        after = _lens(pieces[i + 1] if i + 1 < len(pieces) else None, piece)
        start, end = piece.start + before, piece.end - after
        if before:
            yield Piece(piece.start, start, _lens_width(pieces[i - 1]), False)
        yield Piece(start, end, piece.width, piece.gap)
        if after:
            yield Piece(end, piece.end, _lens_width(pieces[i + 1]), False)


def _lens(beside: Piece | None, piece: Piece) -> int:
    """How many bytes of *piece* next to *beside* are enlarged."""
    if beside is None or piece.end - piece.start < 4 * _LENS:
        return 0
    return min(_LENS, beside.end - beside.start)


def _lens_width(beside: Piece) -> float:
    return beside.width if beside.end - beside.start < _LENS else _LENS_WIDTH


def _cut(areas: Sequence[Area], end: int) -> Iterator[tuple[Span, Area | None]]:
    """``[0, end)`` as the areas cut it, and the gaps between them; no part twice."""
    at = 0
    for area in areas:
        if at < area.span.start:
            yield Span(at, area.span.start), None
        start = max(at, area.span.start)
        if start < area.span.end:
            yield Span(start, area.span.end), area
            at = area.span.end
    if at < end:
        yield Span(at, end), None


def changed(changes: Changes) -> list[tuple[int, int, str, str]]:
    """``(start, end, what, how)`` of what *changes* the map can show."""
    left, new = changes.memmaps
    rows = [
        *((*m.span, "map", "went") for m in left),
        *((*m.span, "map", "came") for m in new),
    ]
    made = Stretches(MAX_CHANGES)
    for row in changes.entries:
        how = "changed" if row.before and row.after else "came" if row.after else "went"
        made.add(Stretch(row.gpa, row.gpa + (row.npages << PAGE_SHIFT), row.npages, 0, how))
    rows += [(row.start, row.end, "entries", row.kind or "changed") for row in made.rows]
    return rows


def plain(
    areas: Sequence[Area],
    entries: Entries,
    tables: Sequence[Stretch],
    marks: Mapping[int, str],
) -> dict[str, Any]:
    """All of it as the script reads it."""
    others = [*entries.stretches, *tables]
    return {
        "scale": scale(areas, others, marks),
        "areas": [
            {
                "start": area.span.start,
                "end": area.span.end,
                "name": area.name,
                "segment": area.segid,
                "offset": area.segoff,
                "rights": format_prot(area.prot),
                "wired": area.wired,
            }
            for area in areas
        ],
        "entries": entries.stretches,
        "tables": tables,
        "marks": sorted(marks.items()),
    }
