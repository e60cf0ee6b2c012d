"""One mapping of a vmspace: guest pages backed by contiguous host pages."""

from __future__ import annotations

from typing import NamedTuple

from bhyvesim.kernel.gpt.engine import Backing
from bhyvesim.kernel.pte import PteFormat
from bhyvesim.kernel.revisions.revision import VMSPACE_END
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT

_LOOKUP_END = VMSPACE_END >> PAGE_SHIFT


class Mapping(NamedTuple):
    """Guest bytes *span*, from host page frame *host_pfn* on, with protection *prot*.

    ``[first, end)`` are the page numbers at which a look-up by address finds it: nothing is
    found from the end of the vmspace on, even where an old kernel let a mapping reach past.
    ``mmio``: device registers of the VM's own, of no segment and in no memmap slot.
    """

    span: Span
    host_pfn: int
    prot: int
    first: int
    end: int
    backing: Backing
    mmio: bool

    @classmethod
    def over(
        cls, span: Span, host_pfn: int, prot: int, npt: PteFormat, *, mmio: bool = False
    ) -> Mapping:
        """A mapping whose entries *npt* would write; those of *mmio* are not cached."""
        pages = span.pages
        entry = npt.page(host_pfn, prot) & ~(npt.write_back if mmio else 0)
        backing = Backing(entry - (pages.start << PAGE_SHIFT), prot)
        end = min(pages.stop, _LOOKUP_END)
        return cls(span, host_pfn, prot, pages.start, end, backing, mmio)
