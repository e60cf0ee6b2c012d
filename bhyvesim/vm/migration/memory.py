"""A guest's RAM at one end of a migration: its bytes, and what else is known to be in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bhyvesim.errors import Refused
from bhyvesim.kernel.gpt.dirty import dirty_runs
from bhyvesim.kernel.gpt.leaf import ALL_ENTRIES, present
from bhyvesim.kernel.gpt.levels import ENTRY_BITS, LEAF_SHIFT
from bhyvesim.kernel.gpt.windows import WINDOW
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import Memmap
from bhyvesim.kernel.npt import sweep_dirty
from bhyvesim.ops import ioctls as ops
from bhyvesim.ops.contents import Write
from bhyvesim.prot import READ, WRITE
from bhyvesim.units import PAGE_SHIFT
from bhyvesim.vm.migration.marks import Marks
from bhyvesim.vm.spec import SegmentSpec, VmSpec


class Part(NamedTuple):
    """One memmap of RAM: its pages in the guest, and where they are."""

    pages: range
    memmap: Memmap
    host_pfn: int  # behind the first of them

    def frame(self, page: int) -> int:
        return self.host_pfn + page - self.pages.start

    def offset(self, page: int) -> int:
        """Where *page* is in its segment, in bytes."""
        return self.memmap.segoff + (page - self.pages.start << PAGE_SHIFT)


class Missing(NamedTuple):
    """Pages that differ from what they should be; and those of which that is not known.

    The latter had an entry without a dirty bit, or none and came by migration: whether
    anything was in them that is not here, nobody can say.
    """

    lost: Marks
    unknown: Marks


class Ram:
    """The RAM of *machine*.

    Simulated guests touch much memory without bytes of their own: ``written`` are the pages
    that certainly hold something all the same, ``unknown`` those that may.
    """

    def __init__(self, machine: Machine, written: Marks, unknown: Marks) -> None:
        self.machine = machine
        self.written = written
        self.unknown = unknown
        self.parts = [
            Part(m.span.pages, m, machine.host_pfn(m))
            for m in machine.memmaps
            if machine.segs[m.segid].is_sysmem
        ]
        if not self.parts:
            raise Refused("EINVAL", "the VM has no RAM that could be migrated")

    @classmethod
    def empty(cls, machine: Machine) -> Ram:
        """Of a target that nothing has arrived at."""
        return cls(machine, Marks(), Marks())

    @classmethod
    def found(cls, machine: Machine, *, arrived: bool) -> Ram:
        """Of a VM as it is.

        What is dirty was written. Of pages whose entry is clean that is not known; nor of
        those without one where the VM's RAM has *arrived* by an earlier migration.
        """
        ram = cls.empty(machine)
        gpt = machine.space.gpt
        for part in ram.parts:
            ram.written |= Marks(dirty_runs(gpt, part.pages))
            pieces = gpt.pieces(part.pages)
            there = ((p, 0 if p.leaf is None else present(p.leaf) & p.mask) for p in pieces)
            ram.unknown |= Marks(
                (p.first, p.end, p.mask if arrived else some)
                for p, some in there
                if some or arrived
            )
        ram.unknown -= ram.written
        return ram

    @property
    def pages(self) -> Marks:
        """All pages of it."""
        return Marks.over(part.pages for part in self.parts)

    @property
    def writable(self) -> list[Part]:
        """What the guest and devices may write to; a device wants to read it as well."""
        both = READ | WRITE
        return [part for part in self.parts if part.memmap.prot & both == both]

    def sweep(self, *, reset: bool) -> Marks:
        """What is dirty; with *reset* it is so no more. Raises Refused as the ioctls do."""
        marks = Marks()
        for part in self.parts:
            marks |= Marks(sweep_dirty(self.machine, part.memmap.span, reset=reset))
        return marks

    def mark(self, pages: Marks) -> None:
        """Set the dirty bits of *pages*: SET_DIRTY, with a bitmap where not all are meant."""
        window, bitmap = 0, 0
        for first, end, bits in pages.runs():
            if bits == ALL_ENTRIES and end - first >= WINDOW:
                self._set_dirty(first, end, None)
                continue
            for index in range(first, end):
                if index // WINDOW != window:
                    self._set_dirty_in(window, bitmap)
                    window, bitmap = index // WINDOW, 0
                bitmap |= bits << (index % WINDOW << ENTRY_BITS)
        self._set_dirty_in(window, bitmap)

    def _set_dirty_in(self, window: int, bitmap: int) -> None:
        """Of the pages of *bitmap*, which is of 128 MiB, as VMMs ask for."""
        if bitmap:
            self._set_dirty(window * WINDOW, (window + 1) * WINDOW, bitmap)

    def _set_dirty(self, first: int, end: int, bitmap: int | None) -> None:
        """Of leaf tables ``[first, end)``; *bitmap*: of these pages only."""
        gpa, length = first << LEAF_SHIFT, end - first << LEAF_SHIFT
        ops.NptOp.on_dirty_bits(gpa, length, "SET_DIRTY", bitmap).do(self.machine)

    def send(self, pages: Marks, target: Ram) -> None:
        """*pages* arrive at *target*, as they are now."""
        target.written |= self.written & pages
        target.unknown |= self.unknown & pages
        for part, page, data in self._bytes():
            if page in pages:
                segid, offset = part.memmap.segid, part.offset(page)
                Write(segid=segid, segoff=offset, data=data).do(target.machine)

    def missing_at(self, target: Ram) -> Missing:
        """What *target* has not, or not as it is here: bytes are compared, page by page."""
        differ = (
            page
            for one, other in ((self, target), (target, self))
            for part, page, data in one._bytes()
            if other._read(part, page) != data
        )
        lost = self.written - target.written | Marks.of(differ)
        return Missing(lost, self.unknown - target.unknown - lost)

    def _bytes(self) -> Iterator[tuple[Part, int, bytes]]:
        """Pages with bytes of their own, by address."""
        for part in self.parts:
            end = part.frame(part.pages.stop)
            for pfn, data in self.machine.contents.between(part.host_pfn, end):
                yield part, part.pages.start + pfn - part.host_pfn, data

    def _read(self, like: Part, page: int) -> bytes:
        """The bytes of *page*, which the other side has in the part *like*."""
        memmap = like.memmap
        seg = self.machine.segs[memmap.segid]
        return self.machine.contents[seg.host_pfn + (like.offset(page) >> PAGE_SHIFT)]


def target_spec(spec: VmSpec, machine: Machine, name: str, gpt: str | None) -> VmSpec:
    """The description of a VM that is to take *machine*'s place, perhaps on another kernel."""
    segments = tuple(SegmentSpec(seg.segid, seg.name, seg.length) for seg in machine.segs.values())
    kernel = spec.kernel if gpt is None else spec.kernel.but(gpt=gpt, digest="")
    mappings = tuple(m for m in machine.slots if m is not None)
    return spec.but(name=name, kernel=kernel, segments=segments, mappings=mappings)
