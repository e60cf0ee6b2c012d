"""From a host page, or an entry's value, back to the guest addresses: a subtraction a class."""

from __future__ import annotations

from collections.abc import Iterator

from bhyvesim.kernel.gpt.engine import Gpt
from bhyvesim.kernel.gpt.fold import linked_pieces
from bhyvesim.kernel.gpt.leaf import classes, flags_of
from bhyvesim.kernel.gpt.levels import ENTRIES, ENTRY_BITS, LEAVES
from bhyvesim.kernel.pte.format import PFN_MASK
from bhyvesim.units import PAGE_SHIFT


def pages_mapping(gpt: Gpt, pfn: int) -> list[int]:
    """The guest page numbers, ascending, whose entries lead to host page *pfn*."""
    return sorted(page for page, _ in _candidates(gpt, pfn))


def pages_holding(gpt: Gpt, pte: int) -> list[int]:
    """The guest page numbers, ascending, whose entries are exactly *pte*."""
    pfn = (pte & PFN_MASK) >> PAGE_SHIFT
    return sorted(page for page, entry in _candidates(gpt, pfn) if entry == pte)


def _candidates(gpt: Gpt, pfn: int) -> Iterator[tuple[int, int]]:
    """``(page, entry)`` of every entry that hardware reaches and that has *pfn*.

    Host and guest pages of one class differ by one number, so each class of a run of equal
    leaves has at most one such page.
    """
    for piece in linked_pieces(gpt, range(LEAVES * ENTRIES)):
        assert piece.leaf is not None
        for cls, bits in classes(piece.leaf).items():
            page = pfn - (cls - flags_of(cls) >> PAGE_SHIFT)
            index = page >> ENTRY_BITS
            if piece.first <= index < piece.end and bits >> (page & ENTRIES - 1) & 1:
                yield page, cls + (page << PAGE_SHIFT)
