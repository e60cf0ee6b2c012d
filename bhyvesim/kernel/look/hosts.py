"""A host page from the guest's side: what maps it, whose it is, what would map it."""

from __future__ import annotations

from typing import NamedTuple

from bhyvesim.kernel.gpt.inverse import pages_mapping
from bhyvesim.kernel.look.areas import Area, areas
from bhyvesim.kernel.look.verdicts import verdict
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import Memseg
from bhyvesim.units import PAGE_SHIFT


class Offer(NamedTuple):
    """*area* has the page at *gpa*, where no entry is set; whether a fault would, and why."""

    area: Area
    gpa: int
    maps: bool
    why: str


def entries_for(machine: Machine, pfn: int) -> list[tuple[int, int]]:
    """``(gpa, entry)`` of every entry that leads to host page *pfn*, by address."""
    gpt = machine.space.gpt
    return [(page << PAGE_SHIFT, gpt.entry(page)) for page in pages_mapping(gpt, pfn)]


def owners(machine: Machine, pfn: int) -> list[tuple[Memseg, int]]:
    """The segments that host page *pfn* belongs to, each with the page's offset in bytes.

    More than one where descriptions put segments over each other.
    """
    return [
        (seg, pfn - seg.host_pfn << PAGE_SHIFT)
        for seg in machine.segs.values()
        if 0 <= pfn - seg.host_pfn < seg.length >> PAGE_SHIFT
    ]


def offers(machine: Machine, pfn: int) -> list[Offer]:
    """What covers host page *pfn* with no entry there; the verdict is that of a first access."""
    found = []
    for area in areas(machine):
        gpa = area.span.start + (pfn - area.host_pfn << PAGE_SHIFT)
        if not area.span.start <= gpa < area.span.end or machine.space.gpt.entry(gpa >> PAGE_SHIFT):
            continue
        tried = verdict(machine, gpa, area.prot & -area.prot)  # the first right that it grants
        found.append(Offer(area, gpa, tried.maps, tried.why))
    return found
