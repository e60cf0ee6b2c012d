"""Memory segments and memmaps: what vmm.c keeps of them."""

from __future__ import annotations

from typing import NamedTuple

from bhyvesim.prot import ALL
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SIZE

MAX_MEMMAPS = 8

# The APIC access page of an Intel host with APICv, in every VM: one page of no segment.
APIC_SPAN = Span.sized(0xFEE00000, PAGE_SIZE)
APIC_HOST_PFN = 0xFFFFF


class Memseg(NamedTuple):
    """A host-backed object of a VM: *length* bytes from host page frame *host_pfn* on."""

    segid: int
    length: int
    name: str  # empty for sysmem
    host_pfn: int

    @property
    def is_sysmem(self) -> bool:
        return not self.name

    @property
    def label(self) -> str:
        """Its name for people; what has none is sysmem."""
        return self.name or "sysmem"


class Memmap(NamedTuple):
    """A window of a segment in the guest: bytes *segoff* and on at *gpa*."""

    gpa: int
    length: int
    segid: int
    segoff: int
    prot: int = ALL
    wired: bool = False

    @property
    def span(self) -> Span:
        return Span.sized(self.gpa, self.length)
