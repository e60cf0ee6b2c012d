"""The memory that a host has for its VMs: the reservoir, and transient memory beside it.

Bytes throughout. Source: vmm_reservoir.c.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from bhyvesim.errors import Refused
from bhyvesim.units import PAGE_SIZE, U64_END, is_page_aligned, roughly


def limit_of(memory: int, locked: int = 0) -> int:
    """What the kernel takes as its limit, on a host of *memory* bytes.

    *locked* is the kernel's number of pages that may not be locked, in bytes.
    """
    return (memory // PAGE_SIZE * 10 - locked // PAGE_SIZE * 12) * PAGE_SIZE // 10


@dataclass(slots=True)
class HostMemory:
    """What is free and what is taken; ``limit`` None: not known, and never reached.

    ``free`` and ``allocated`` make up the reservoir. VMs that were not created with reservoir
    memory take ``transient`` memory: never what is free in the reservoir, but all of it
    together stays within the limit.

    >>> host = HostMemory(limit=8 << 30, free=2 << 30)
    >>> host.take(3 << 30, reserved=True)
    Traceback (most recent call last):
    bhyvesim.errors.Refused: the reservoir is short by 1G: 3G asked, 2G free (ENOMEM)
    >>> host.take(6 << 30, reserved=False)
    >>> host.lacks(1, reserved=False)
    1
    """

    limit: int | None
    free: int = 0
    allocated: int = 0
    transient: int = 0

    @property
    def reservoir(self) -> int:
        """The size of the reservoir."""
        return self.free + self.allocated

    @property
    def left(self) -> int | None:
        """How much more the limit lets in; below 0 where it was passed already."""
        return None if self.limit is None else self.limit - self.reservoir - self.transient

    def copy(self) -> Self:
        return replace(self)

    def lacks(self, length: int, *, reserved: bool) -> int:
        """By how much *length* bytes more are too many; 0 where they can be had."""
        if reserved:
            return max(0, length - self.free)
        return 0 if self.left is None else max(0, length - self.left)

    def take(self, length: int, *, reserved: bool) -> None:
        """Allocate for a segment. Raises Refused (ENOMEM), and takes nothing then."""
        lacks = self.lacks(length, reserved=reserved)
        if lacks:
            raise Refused("ENOMEM", self.shortage(length, lacks, reserved=reserved))
        self.count(length, reserved=reserved)

    def count(self, length: int, *, reserved: bool) -> None:
        """*length* bytes more are held, without asking whether they can be had."""
        if reserved:
            self.free -= length
            self.allocated += length
        else:
            self.transient += length

    def shortage(self, length: int, lacks: int, *, reserved: bool) -> str:
        """That it *lacks* bytes for *length* more, in words."""
        where = "the reservoir" if reserved else "the host"
        free = self.free if reserved else max(0, self.left or 0)
        return (
            f"{where} is short by {roughly(lacks)}: {roughly(length)} asked, {roughly(free)} free"
        )

    def give_back(self, length: int, *, reserved: bool) -> None:
        """Free a segment's memory: that of the reservoir goes back into it."""
        self.count(-length, reserved=reserved)

    def resize(self, target: int) -> None:
        """VMM_RESV_SET_TARGET: make the reservoir *target* bytes large.

        Raises Refused, in the kernel's order: EINVAL (not whole pages, or the largest
        number), ENOSPC (shrinking by more than is free; growing past the limit).
        """
        if not is_page_aligned(target) or not 0 <= target < U64_END - 1:
            raise Refused("EINVAL", f"a reservoir of {target:#x} bytes")
        grows = target - self.reservoir
        if grows < 0 and -grows > self.free:
            raise Refused(
                "ENOSPC", f"{roughly(self.allocated)} of the reservoir are allocated to VMs"
            )
        if grows > 0 and self.left is not None and grows > self.left:
            raise Refused(
                "ENOSPC",
                f"the limit lets the reservoir grow by {roughly(max(0, self.left))} at most",
            )
        self.free += grows


@dataclass(slots=True)
class Share:
    """One VM's way to its host's memory: *reserved*, from the reservoir, or not."""

    memory: HostMemory
    reserved: bool

    def copy(self) -> Self:
        return type(self)(self.memory.copy(), self.reserved)

    def take(self, length: int) -> None:
        """See :meth:`HostMemory.take`."""
        self.memory.take(length, reserved=self.reserved)

    def give_back(self, length: int) -> None:
        """See :meth:`HostMemory.give_back`."""
        self.memory.give_back(length, reserved=self.reserved)
