"""The page table folded into runs: as a tree to be read at a glance, as a table, as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bhyvesim.kernel.gpt.filters import EntryFilter
from bhyvesim.kernel.gpt.fold import EVERYWHERE, EntryRun, entry_runs, pages_in, table_runs
from bhyvesim.kernel.gpt.levels import LEAF_LEVEL, ROOT_LEVEL, table_span
from bhyvesim.kernel.gpt.rows import NodeRow
from bhyvesim.kernel.look.areas import Area, areas, over
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.pte import PteFormat
from bhyvesim.kernel.pte.format import pfn_of
from bhyvesim.prot import format_prot
from bhyvesim.report.fit import Page, aligned, paragraph, table
from bhyvesim.report.model import Column
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT, format_size

Row = NodeRow | EntryRun

_COLUMNS = (
    Column("LEVEL"),
    Column("GPA"),
    Column("COUNT", True),
    Column("REFS", True),
    Column("SET", True),
    Column("ENTRY"),
    Column("PROT"),
    Column("BITS"),
)
_TIMES = "xN: the same in each of N leaf tables, 2M apart"


@dataclass(frozen=True, slots=True)
class GptTables:
    """Neighbouring tables of one level that look alike: reference count, entries in use."""

    level: int
    gpa: int
    tables: int
    refcnt: int
    entries: int


@dataclass(frozen=True, slots=True)
class GptEntries:
    """Neighbouring pages whose entries differ in nothing but the page; ``entry`` is the first.

    ``times``: the same again in each of so many leaf tables, each 2 MiB after the one before.
    """

    gpa: int
    pages: int
    times: int
    entry: str
    pfn: int
    prot: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GptTree:
    """`bhyvesim gpt`: the page table in runs, as far as it was asked for.

    ``more``: how many runs ``--limit`` left out.
    """

    vm: str
    state: str
    gpt: str
    npt: str
    tables: tuple[GptTables, ...]
    entries: tuple[GptEntries, ...]
    more: int


class Wanted(NamedTuple):
    """What is to be shown: a range, a level, and entries alone where they are picked."""

    span: Span = EVERYWHERE
    level: int | None = None
    entries: EntryFilter | None = None
    limit: int | None = None


def tree_rows(machine: Machine, wanted: Wanted) -> list[Row]:
    """Runs of tables, each before what lies under it, and of entries; by address."""
    gpt = machine.space.gpt
    pages = pages_in(wanted.span)
    picked = wanted.entries
    if picked is not None:
        return list(entry_runs(gpt, pages, lambda cls: picked.picks(machine.npt, cls)))
    rows: list[Row] = []
    for tables in table_runs(gpt, wanted.span, wanted.level):
        rows.append(tables)
        if tables.level == LEAF_LEVEL:
            under = pages_in(Span.sized(tables.gpa, tables.tables * table_span(LEAF_LEVEL)))
            both = range(max(pages.start, under.start), min(pages.stop, under.stop))
            rows += entry_runs(gpt, both)
    return rows


def tree_page(title: str, vm: str, machine: Machine, wanted: Wanted, fmt: str) -> Page:
    """The runs of *machine* that are *wanted*; *fmt* is tree, or any other for a table."""
    rows = tree_rows(machine, wanted)
    shown = rows[: wanted.limit]
    npt = machine.npt
    record = GptTree(
        vm=vm,
        state=machine.state.value,
        gpt=machine.revision.name,
        npt=npt.name,
        tables=tuple(GptTables(*row) for row in shown if isinstance(row, NodeRow)),
        entries=tuple(_entries(row, npt) for row in shown if isinstance(row, EntryRun)),
        more=len(rows) - len(shown),
    )

    def text(width: int | None) -> Iterator[str]:
        if fmt == "tree":
            yield from paragraph(title, width)
            yield from _tree(shown, npt, areas(machine), width)
        elif shown:
            yield from table(_COLUMNS, [_cells(row, npt) for row in shown], width)
        if not shown and width is not None:
            yield "nothing of that"
        if width is not None and any(isinstance(row, EntryRun) and row.times > 1 for row in shown):
            yield from paragraph(_TIMES, width)
        if record.more:
            yield from paragraph(f"{record.more} more rows: --limit says how many to show", width)

    return Page(record, lambda width: list(text(width)))


def _entries(run: EntryRun, npt: PteFormat) -> GptEntries:
    return GptEntries(
        run.gpa,
        run.npages,
        run.times,
        f"{run.pte:#x}",
        pfn_of(run.pte),
        format_prot(npt.prot(run.pte)),
        npt.flags(run.pte),
    )


def _cells(row: Row, npt: PteFormat) -> tuple[str, ...]:
    if isinstance(row, NodeRow):
        level, gpa, *counts = row
        return (str(level), f"{gpa:#x}", *map(str, counts), "", "", "")
    told = _entries(row, npt)
    times = f" x{row.times}" if row.times > 1 else ""
    bits = " ".join(told.flags)
    return ("page", f"{row.gpa:#x}", f"{row.npages}{times}", "", "", told.entry, told.prot, bits)


def _tree(
    rows: Sequence[Row], npt: PteFormat, mapped: Sequence[Area], width: int | None
) -> list[str]:
    """A line a row; what does not fit goes from the right: bits, then names, then host pages."""
    tables = any(isinstance(row, NodeRow) for row in rows)
    cells = [
        _table_cells(row) if isinstance(row, NodeRow) else _entry_cells(row, npt, mapped, tables)
        for row in rows
    ]
    lines: list[str] = []
    for kept, gap in ((6, 2), (5, 2), (4, 2), (4, 1), (3, 1)):
        lines = aligned([row[:kept] for row in cells], (False, True), gap)
        if width is None or max(map(len, lines), default=0) <= width:
            break
    return lines


def _table_cells(row: NodeRow) -> tuple[str, ...]:
    place = f"{' ' * (ROOT_LEVEL - row.level)}L{row.level} {row.gpa:#x}"
    size = f"{row.tables} x {format_size(table_span(row.level))}"
    return place, size, f"refs {row.refcnt}", f"{row.entries} set", "", ""


def _entry_cells(
    run: EntryRun, npt: PteFormat, mapped: Sequence[Area], tables: bool
) -> tuple[str, ...]:
    size = format_size(run.npages << PAGE_SHIFT) + (f" x{run.times}" if run.times > 1 else "")
    bits = npt.flags(run.pte)
    marks = "".join(name[0].upper() for name in ("accessed", "dirty") if name in bits)
    area = over(mapped, run.gpa)
    return (
        f"{' ' * (ROOT_LEVEL if tables else 0)}{run.gpa:#x}",
        size,
        f"{format_prot(npt.prot(run.pte))} {marks}",
        f"-> {pfn_of(run.pte):#x}",
        "" if area is None else area.name,
        " ".join(bits),
    )
