"""Memory maps and segments, as bhyvectl shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bhyvesim.kernel.memory import Memmap, Memseg
from bhyvesim.prot import format_prot
from bhyvesim.report.humanize import humanize
from bhyvesim.report.model import Column, Report


class MappedRow(NamedTuple):
    """One memmap: a window of a segment in the guest; lengths and offsets in bytes."""

    gpa: int
    len: int
    segid: int
    segment: str
    offset: int
    prot: str
    wired: bool


class MemoryMap(NamedTuple):
    """`--get-memmap`: the memmaps by address."""

    memmap: tuple[MappedRow, ...]


class SegmentRow(NamedTuple):
    """One segment; one without a name is sysmem."""

    segid: int
    len: int
    name: str
    host_pfn: int


class Segments(NamedTuple):
    """`--get-memseg`: the segments by id."""

    memseg: tuple[SegmentRow, ...]


def memory_map(segs: Sequence[Memseg], memmaps: Sequence[Memmap]) -> Report:
    """What is mapped where, by guest address. Source: bhyvectl.c, show_memmap()."""
    names = {seg.segid: seg.label for seg in segs}
    record = MemoryMap(
        tuple(
            MappedRow(
                m.gpa, m.length, m.segid, names[m.segid], m.segoff, format_prot(m.prot), m.wired
            )
            for m in sorted(memmaps, key=lambda m: m.gpa)
        )
    )
    rows = [
        (
            f"{m.gpa:X}",
            humanize(m.len),
            m.segment,
            f"{m.offset:X}",
            m.prot.upper(),
            "wired" if m.wired else "",
        )
        for m in record.memmap
    ]
    # C's %-12lX %-12s and so on: a minimum, never a limit; the Prot column is "%c%c%c   ".
    exact = "Address     Length      Segment     Offset      Prot  Flags\n" + "".join(
        f"{gpa:<12}{length:<12}{name:<12}{offset:<12}{prot}   {flags}\n"
        for gpa, length, name, offset, prot, flags in rows
    )
    columns = tuple(map(Column, ("Address", "Length", "Segment", "Offset", "Prot", "Flags")))
    return Report(columns, tuple(rows), record, exact, empty="nothing is mapped")


def segments(segs: Sequence[Memseg]) -> Report:
    """The memory segments, by id. Source: bhyvectl.c, show_memseg()."""
    segs = sorted(segs, key=lambda seg: seg.segid)
    record = Segments(tuple(SegmentRow(s.segid, s.length, s.label, s.host_pfn) for s in segs))
    rows = tuple((str(s.segid), humanize(s.length), s.label) for s in segs)
    exact = "ID  Length      Name\n" + "".join(
        f"{segid:<4}{length:<12}{name}\n" for segid, length, name in rows
    )
    columns = tuple(map(Column, ("ID", "Length", "Name")))
    return Report(columns, rows, record, exact, empty="no segments")
