"""One mapping of a vmspace: guest pages backed by contiguous host pages."""

from __future__ import annotations

from dataclasses import dataclass

from bhyvesim.gpt.engine import Backing
from bhyvesim.pte import PteFormat
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT


@dataclass(frozen=True, slots=True)
class Mapping:
    """Guest bytes *span*, from host page frame *host_pfn* on, with protection *prot*."""

    span: Span
    host_pfn: int
    prot: int
    first: int  # page numbers, [first, end)
    end: int
    backing: Backing

    @classmethod
    def over(cls, span: Span, host_pfn: int, prot: int, npt: PteFormat) -> Mapping:
        """A mapping whose entries *npt* would write."""
        pages = span.pages
        new_class = npt.page(host_pfn, prot) - (pages.start << PAGE_SHIFT)
        return cls(span, host_pfn, prot, pages.start, pages.stop, Backing(new_class, prot))
