"""Intel extended page table (EPT) entries. Source: Intel SDM vol. 3C, 29.3."""

from __future__ import annotations

from bhyvesim.prot import ALL

ACCESSED = 1 << 8
DIRTY = 1 << 9
WRITE_BACK = 6 << 3  # memory type, bits 3-5

_NAMES = (
    (1 << 0, "read"),
    (1 << 1, "write"),
    (1 << 2, "execute"),
    (ACCESSED, "accessed"),
    (DIRTY, "dirty"),
)


class Ept:
    """The protection stands in bits 0-2, so any of them means present."""

    name = "ept"
    cpu = "intel"
    accessed = ACCESSED
    dirty = DIRTY
    write_back = WRITE_BACK

    def page(self, pfn: int, prot: int) -> int:
        return pfn << 12 | WRITE_BACK | prot

    def table(self, pfn: int) -> int:
        return pfn << 12 | ALL

    def prot(self, pte: int) -> int:
        return pte & ALL

    def flags(self, pte: int) -> tuple[str, ...]:
        names = tuple(name for bit, name in _NAMES if pte & bit)
        return (*names, "wb") if pte & (7 << 3) == WRITE_BACK else names


EPT = Ept()
