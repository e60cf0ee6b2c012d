"""What the tree asks of a PTE format."""

from __future__ import annotations

from typing import Protocol

PFN_BITS = 40  # bits 12-51 of an entry
PFN_MASK = ((1 << PFN_BITS) - 1) << 12


def pfn_of(pte: int) -> int:
    """The host page frame number in *pte* (either format)."""
    return (pte & PFN_MASK) >> 12


class PteFormat(Protocol):
    """One vendor's leaf and table entries. All entries are plain 64-bit ints."""

    name: str  # "rvi" or "ept"
    cpu: str  # "amd" or "intel"
    accessed: int
    dirty: int
    write_back: int  # the bits that make a page cached; without them it is not (EPT)

    def page(self, pfn: int, prot: int) -> int:
        """The entry the kernel writes for a page; *prot* is a mask of R=1, W=2, X=4."""

    def table(self, pfn: int) -> int:
        """The entry of a lower table that lies in *pfn*."""

    def prot(self, pte: int) -> int:
        """What hardware lets through a leaf entry: a mask of R=1, W=2, X=4."""

    def flags(self, pte: int) -> tuple[str, ...]:
        """The names of the bits that are set, besides the PFN."""


def bit_names(npt: PteFormat) -> tuple[str, ...]:
    """Every name that :meth:`PteFormat.flags` has, lowest bit first."""
    bits = (*(1 << bit for bit in range(64)), npt.write_back)
    return tuple(dict.fromkeys(name for bit in bits for name in npt.flags(bit)))


def unnamed(npt: PteFormat, pte: int) -> int:
    """The bits of *pte*, besides the PFN, that no name stands for."""
    flags = npt.flags(pte)
    bits = (1 << bit for bit in range(64) if pte & ~PFN_MASK & 1 << bit)
    return sum(bit for bit in bits if npt.flags(pte ^ bit) == flags)
