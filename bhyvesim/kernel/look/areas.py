"""What is mapped where: the memmaps, and the APIC access page, which is none."""

from __future__ import annotations

from collections.abc import Iterable

from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import APIC_HOST_PFN, APIC_SPAN
from bhyvesim.prot import READ, WRITE
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT
from bhyvesim.values import Value

APIC_NAME = "APIC access page"


class Area(Value):
    """Guest bytes *span*, on host pages from *host_pfn* on.

    ``segid`` and ``segoff`` say which part of which segment that is; they and ``slot`` are
    None for the APIC access page, which has neither a segment nor a memmap slot.
    """

    span: Span
    host_pfn: int
    name: str
    prot: int
    wired: bool
    slot: int | None
    segid: int | None
    segoff: int | None

    def pfn(self, gpa: int) -> int:
        """The host page frame of *gpa*, which is inside."""
        return self.host_pfn + (gpa - self.span.start >> PAGE_SHIFT)

    @property
    def title(self) -> str:
        """Its slot, its name and its span, for people."""
        slot = "" if self.slot is None else f"slot {self.slot}: "
        return f"{slot}{self.name} {self.span}"


def areas(machine: Machine) -> list[Area]:
    """All of them, by address."""
    found = []
    for slot, m in enumerate(machine.slots):
        if m is not None:
            seg = machine.segs[m.segid]
            pfn = seg.host_pfn + (m.segoff >> PAGE_SHIFT)
            found.append(Area(m.span, pfn, seg.label, m.prot, m.wired, slot, m.segid, m.segoff))
    if machine.apicv:
        found.append(
            Area(APIC_SPAN, APIC_HOST_PFN, APIC_NAME, READ | WRITE, False, None, None, None)
        )
    return sorted(found, key=lambda area: area.span)


def over(found: Iterable[Area], gpa: int) -> Area | None:
    """The one of *found* that covers *gpa*."""
    return next((area for area in found if area.span.start <= gpa < area.span.end), None)
