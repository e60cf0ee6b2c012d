"""AMD nested paging (RVI) entries. Source: AMD APM vol. 2, 15.25 and 5.4; vmm/amd/npt."""

from __future__ import annotations

from bhyvesim.prot import EXEC, READ, WRITE

PRESENT = 1 << 0
WRITABLE = 1 << 1
USER = 1 << 2  # nested walks are user accesses: always set
ACCESSED = 1 << 5
DIRTY = 1 << 6
NO_EXECUTE = 1 << 63

_NAMES = (
    (PRESENT, "present"),
    (WRITABLE, "writable"),
    (USER, "user"),
    (ACCESSED, "accessed"),
    (DIRTY, "dirty"),
    (NO_EXECUTE, "noexec"),
)


class Rvi:
    """Readable when present; a page is born accessed."""

    name = "rvi"
    cpu = "amd"
    accessed = ACCESSED
    dirty = DIRTY
    write_back = 0

    def page(self, pfn: int, prot: int) -> int:
        pte = pfn << 12 | PRESENT | USER | ACCESSED
        if prot & WRITE:
            pte |= WRITABLE
        if not prot & EXEC:
            pte |= NO_EXECUTE
        return pte

    def table(self, pfn: int) -> int:
        return pfn << 12 | PRESENT | WRITABLE | USER | ACCESSED

    def prot(self, pte: int) -> int:
        if not pte & PRESENT:
            return 0
        return READ | (WRITE if pte & WRITABLE else 0) | (0 if pte & NO_EXECUTE else EXEC)

    def flags(self, pte: int) -> tuple[str, ...]:
        return tuple(name for bit, name in _NAMES if pte & bit)


RVI = Rvi()
