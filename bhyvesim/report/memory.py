"""Memory maps and segments, as bhyvectl shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bhyvesim.kernel.memory import Memmap, Memseg
from bhyvesim.prot import format_prot
from bhyvesim.report.humanize import humanize
from bhyvesim.report.model import Column, Report


def memory_map(segs: Sequence[Memseg], memmaps: Sequence[Memmap]) -> Report:
    """What is mapped where, by guest address. Source: bhyvectl.c, show_memmap()."""
    names = {seg.segid: seg.label for seg in segs}
    rows, data = [], []
    for m in sorted(memmaps, key=lambda m: m.gpa):
        flags = "wired" if m.wired else ""
        prot = format_prot(m.prot, upper=True)
        name = names[m.segid]
        rows.append((f"{m.gpa:X}", humanize(m.length), name, f"{m.segoff:X}", prot, flags))
        data.append(_map_data(m, name))
    # C's %-12lX %-12s and so on: a minimum, never a limit; the Prot column is "%c%c%c   ".
    exact = "Address     Length      Segment     Offset      Prot  Flags\n" + "".join(
        f"{gpa:<12}{length:<12}{name:<12}{offset:<12}{prot}   {flags}\n"
        for gpa, length, name, offset, prot, flags in rows
    )
    columns = tuple(map(Column, ("Address", "Length", "Segment", "Offset", "Prot", "Flags")))
    return Report(columns, tuple(rows), {"memmap": data}, exact, empty="nothing is mapped")


def _map_data(m: Memmap, name: str) -> dict[str, Any]:
    return {
        "gpa": m.gpa,
        "len": m.length,
        "segid": m.segid,
        "segment": name,
        "offset": m.segoff,
        "prot": format_prot(m.prot),
        "wired": m.wired,
    }


def segments(segs: Sequence[Memseg]) -> Report:
    """The memory segments, by id. Source: bhyvectl.c, show_memseg()."""
    segs = sorted(segs, key=lambda seg: seg.segid)
    rows = tuple((str(s.segid), humanize(s.length), s.label) for s in segs)
    exact = "ID  Length      Name\n" + "".join(
        f"{segid:<4}{length:<12}{name}\n" for segid, length, name in rows
    )
    data = [
        {"segid": s.segid, "len": s.length, "name": s.name, "host_pfn": s.host_pfn} for s in segs
    ]
    columns = tuple(map(Column, ("ID", "Length", "Name")))
    return Report(columns, rows, {"memseg": data}, exact, empty="no segments")
