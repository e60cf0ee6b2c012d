"""What differs between two machines, like a diff of two files: runs, never page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bhyvesim.kernel.gpt.levels import LEAF_LEVEL, table_span
from bhyvesim.kernel.look.changes import Changes
from bhyvesim.kernel.memory import Memmap, Memseg
from bhyvesim.kernel.pte.format import PteFormat, pfn_of
from bhyvesim.prot import format_prot
from bhyvesim.report.fit import Page, paragraph
from bhyvesim.report.tones import COME, GONE, PLACE, marked
from bhyvesim.units import PAGE_SHIFT, format_size


@dataclass(frozen=True, slots=True)
class DiffCounter:
    """A number or word of the machine that is another."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class DiffSegment:
    """A segment that went (-) or came (+)."""

    sign: str
    segid: int
    len: int
    name: str


@dataclass(frozen=True, slots=True)
class DiffMemmap:
    """A memmap that went (-) or came (+)."""

    sign: str
    gpa: int
    len: int
    segid: int
    offset: int
    prot: str
    wired: bool


@dataclass(frozen=True, slots=True)
class DiffTables:
    """Neighbouring tables of a level that differ alike; reference counts, null: no table."""

    level: int
    gpa: int
    tables: int
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class DiffEntries:
    """Neighbouring entries that differ alike; the first one's values, 0x0: none."""

    gpa: int
    pages: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class DiffMemory:
    """Neighbouring host pages whose bytes differ."""

    pfn: int
    pages: int


@dataclass(frozen=True, slots=True)
class Difference:
    """`bhyvesim diff`: what differs between a and b, as runs."""

    a: str
    b: str
    equal: bool
    counters: tuple[DiffCounter, ...]
    segments: tuple[DiffSegment, ...]
    memmaps: tuple[DiffMemmap, ...]
    tables: tuple[DiffTables, ...]
    entries: tuple[DiffEntries, ...]
    memory: tuple[DiffMemory, ...]


def difference(a: str, b: str, npt: PteFormat, changes: Changes) -> Page:
    """What *changes* from *a* to *b* (what they are called); *npt* is the format of entries."""
    record = recorded(a, b, changes)
    return Page(record, lambda width: list(difference_lines(record, npt, width)))


def recorded(a: str, b: str, changes: Changes) -> Difference:
    """*changes* as a record."""
    gone, come = changes.segments
    left, new = changes.memmaps
    tables = [
        *(
            DiffTables(n.level, n.gpa, n.tables, n.before and n.before[0], n.after and n.after[0])
            for n in changes.nodes
        ),
        *(
            DiffTables(LEAF_LEVEL, row.gpa, row.tables, row.before, row.after)
            for row in changes.leaves
        ),
    ]
    return Difference(
        a,
        b,
        not changes.any,
        tuple(DiffCounter(*counter) for counter in changes.counters),
        tuple(_segment(sign, s) for sign, segs in (("-", gone), ("+", come)) for s in segs),
        tuple(_memmap(sign, m) for sign, maps in (("-", left), ("+", new)) for m in maps),
        tuple(tables),
        tuple(
            DiffEntries(row.gpa, row.npages, f"{row.before:#x}", f"{row.after:#x}")
            for row in changes.entries
        ),
        tuple(DiffMemory(*run) for run in changes.memory),
    )


def _segment(sign: str, seg: Memseg) -> DiffSegment:
    return DiffSegment(sign, seg.segid, seg.length, seg.label)


def _memmap(sign: str, m: Memmap) -> DiffMemmap:
    return DiffMemmap(sign, m.gpa, m.length, m.segid, m.segoff, format_prot(m.prot), m.wired)


def difference_lines(record: Difference, npt: PteFormat, width: int | None) -> Iterator[str]:
    """*record* as a diff of two files has it."""
    if record.equal:
        yield from paragraph(f"{record.a} and {record.b} are equal", width)
        return
    yield marked(f"--- {record.a}", GONE)
    yield marked(f"+++ {record.b}", COME)
    for title, rows in (
        ("counters", _counter_rows(record.counters)),
        ("segments", _segment_rows(record.segments)),
        ("memmaps", _memmap_rows(record.memmaps)),
        ("tables", _table_rows(record.tables)),
        ("entries", _entry_rows(record.entries, npt)),
        ("memory", _memory_rows(record.memory)),
    ):
        lines = [
            marked(line, GONE if text[0] == "-" else COME)
            for text in rows
            for line in paragraph(text[1:], width, text[0], "  ")
        ]
        if lines:
            yield marked(f"@@ {title}", PLACE)
            yield from lines


def _counter_rows(counters: Sequence[DiffCounter]) -> Iterator[str]:
    for counter in counters:
        yield f"-{counter.name} {counter.before}"
        yield f"+{counter.name} {counter.after}"


def _segment_rows(segments: Sequence[DiffSegment]) -> Iterator[str]:
    for s in segments:
        yield f"{s.sign}segment {s.segid} ({s.name}), {format_size(s.len)}"


def _memmap_rows(memmaps: Sequence[DiffMemmap]) -> Iterator[str]:
    for m in memmaps:
        yield (
            f"{m.sign}{_range(m.gpa, m.len)} {m.prot} segment {m.segid} from {m.offset:#x}"
            f"{' wired' if m.wired else ''}"
        )


def _table_rows(tables: Sequence[DiffTables]) -> Iterator[str]:
    for row in tables:
        where = f"level {row.level} {_range(row.gpa, row.tables * table_span(row.level))}"
        count = f"{row.tables} table{'s' * (row.tables != 1)}"
        for sign, refcnt in (("-", row.before), ("+", row.after)):
            if refcnt is not None:
                yield f"{sign}{where} {count}, reference count {refcnt}"


def _entry_rows(entries: Sequence[DiffEntries], npt: PteFormat) -> Iterator[str]:
    for row in entries:
        where = _range(row.gpa, row.pages << PAGE_SHIFT)
        count = f"{row.pages} page{'s' * (row.pages != 1)}"
        for sign, value in (("-", row.before), ("+", row.after)):
            pte = int(value, 16)
            if pte:
                flags = " ".join(npt.flags(pte))
                yield f"{sign}{where} {count}: {value}, PFN {pfn_of(pte):#x}, {flags}"


def _memory_rows(memory: Sequence[DiffMemory]) -> Iterator[str]:
    for run in memory:
        yield f"+host pages {run.pfn:#x} to {run.pfn + run.pages - 1:#x} hold other bytes"


def _range(gpa: int, length: int) -> str:
    """Half-open, as everywhere."""
    return f"[{gpa:#x}, {gpa + length:#x})"
