"""Memory segments and memmaps: what vmm.c keeps of them."""

from __future__ import annotations

from typing import NamedTuple

from bhyvesim.span import Span

MAX_MEMMAPS = 8


class Memseg(NamedTuple):
    """A host-backed object of a VM: *length* bytes from host page frame *host_pfn* on."""

    segid: int
    length: int
    name: str  # empty for sysmem
    host_pfn: int

    @property
    def is_sysmem(self) -> bool:
        return not self.name


class Memmap(NamedTuple):
    """A window of a segment in the guest: bytes *segoff* and on at *gpa*."""

    gpa: int
    length: int
    segid: int
    segoff: int
    prot: int
    wired: bool

    @property
    def span(self) -> Span:
        return Span.sized(self.gpa, self.length)
