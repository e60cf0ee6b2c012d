"""What the steps of a scenario do."""

from __future__ import annotations

from dataclasses import dataclass

from bhyvesim.kernel import npt
from bhyvesim.kernel.gpt.access import Access
from bhyvesim.kernel.memory import Memmap
from bhyvesim.ops import ioctls as ops
from bhyvesim.ops.contents import Read, Write
from bhyvesim.scenario.cell import Cell
from bhyvesim.scenario.model import Observed, Series
from bhyvesim.units import PAGE_SIZE
from bhyvesim.vm import life
from bhyvesim.vm.spec import SegmentSpec, TouchSpec


@dataclass(frozen=True, slots=True)
class Create:
    """Allocate, map and boot the cell's VM; from here on there is a machine."""

    def run(self, cell: Cell) -> Observed:
        machine = cell.start()
        life.allocate(machine, cell.spec)
        return _booted(life.boot(machine, cell.spec))


@dataclass(frozen=True, slots=True)
class AllocMemseg:
    segment: SegmentSpec

    def run(self, cell: Cell) -> Observed:
        s = self.segment
        ops.AllocMemseg(s.segid, s.length, s.name, s.host_pfn).do(cell.running)
        return Observed()


@dataclass(frozen=True, slots=True)
class Map:
    memmap: Memmap

    def run(self, cell: Cell) -> Observed:
        before = cell.present()
        ops.MmapMemseg.making(self.memmap).do(cell.running)
        return Observed(mapped=cell.present() - before)


@dataclass(frozen=True, slots=True)
class Unmap:
    gpa: int
    length: int

    def run(self, cell: Cell) -> Observed:
        machine = cell.running
        unmap = ops.MunmapMemseg(self.gpa, self.length)
        lost = life.lost_pages(machine, lambda: unmap.do(machine))
        return Observed(lost=sum(pages for _, pages in lost))


@dataclass(frozen=True, slots=True)
class Touch:
    """Accesses of a span in ascending order, up to the first that fails."""

    touch: TouchSpec

    def run(self, cell: Cell) -> Observed:
        return _accessed(life.touching(self.touch).do(cell.running))


@dataclass(frozen=True, slots=True)
class TouchEvery:
    """A vCPU's accesses of every n-th page of a span, each for itself."""

    touch: TouchSpec
    every: int

    def run(self, cell: Cell) -> Observed:
        end = self.touch.gpa + self.touch.length
        gpas = range(self.touch.gpa, end, self.every * PAGE_SIZE)
        batch = ops.AccessBatch(tuple(gpas), self.touch.prot).do(cell.running)
        gpa, fault = batch.faults[0] if batch.faults else (None, None)
        return Observed(pages=batch.ok, mapped=batch.mapped, fault=fault, gpa=gpa)


@dataclass(frozen=True, slots=True)
class Where:
    """A place in memory: a guest address, or an offset into a segment."""

    gpa: int | None = None
    segid: int = 0
    offset: int = 0

    def write(self, cell: Cell, at: int, data: bytes) -> Observed:
        """Write *data* at *at* bytes from here."""
        operation = Write(*self._place(at), data=data)
        access = operation.do(cell.running).access
        return Observed() if access is None else _accessed(access)

    def read(self, cell: Cell, at: int, size: int) -> tuple[bytes, Observed]:
        """Read *size* bytes at *at* bytes from here."""
        read = Read(*self._place(at), length=size).do(cell.running)
        return read.data, Observed() if read.access is None else _accessed(read.access)

    def _place(self, at: int) -> tuple[int | None, int | None, int]:
        if self.gpa is None:
            return None, self.segid, self.offset + at
        return self.gpa + at, None, 0


@dataclass(frozen=True, slots=True)
class Fill:
    """Write *length* bytes of the same value."""

    where: Where
    length: int
    byte: int

    def run(self, cell: Cell) -> Observed:
        return self.where.write(cell, 0, bytes([self.byte]) * self.length)


@dataclass(frozen=True, slots=True)
class Poke:
    """Write *count* little-endian integers of *size* bytes, *stride* bytes apart."""

    where: Where
    size: int
    count: int
    stride: int
    value: Series

    def run(self, cell: Cell) -> Observed:
        total = Observed()
        for i, value in enumerate(self.value.values(self.count, self.size)):
            data = value.to_bytes(self.size, "little")
            total = _add(total, self.where.write(cell, i * self.stride, data))
            if total.fault is not None:
                break
        return total


@dataclass(frozen=True, slots=True)
class Peek:
    """Read *count* little-endian integers of *size* bytes, *stride* bytes apart."""

    where: Where
    size: int
    count: int
    stride: int

    def run(self, cell: Cell) -> Observed:
        total = Observed(values=[])
        for i in range(self.count):
            data, observed = self.where.read(cell, i * self.stride, self.size)
            total = _add(total, observed)
            if total.fault is not None:
                break
            assert total.values is not None
            total.values.append(int.from_bytes(data, "little"))
        return total


@dataclass(frozen=True, slots=True)
class PeekBytes:
    """Read *length* bytes."""

    where: Where
    length: int

    def run(self, cell: Cell) -> Observed:
        data, observed = self.where.read(cell, 0, self.length)
        observed.data = data
        return observed


@dataclass(frozen=True, slots=True)
class Reboot:
    def run(self, cell: Cell) -> Observed:
        rebooted = life.reboot(cell.running, cell.spec)
        observed = _booted(rebooted.booted)
        observed.lost = sum(pages for _, pages in rebooted.lost)
        observed.drift = rebooted.resident - rebooted.present
        return observed


@dataclass(frozen=True, slots=True)
class Destroy:
    def run(self, cell: Cell) -> Observed:
        return Observed(leaks=ops.Destroy().do(cell.running))


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold on the page that holds *gpa*, kept until it is released."""

    gpa: int
    prot: int

    def run(self, cell: Cell) -> Observed:
        held = ops.Hold(self.gpa, self.prot).do(cell.running)
        return Observed(hold=held.id, fault=held.fault, gpa=held.gpa)


@dataclass(frozen=True, slots=True)
class Release:
    hold: int
    dirty: bool

    def run(self, cell: Cell) -> Observed:
        ops.Release(self.hold, self.dirty).do(cell.running)
        return Observed()


@dataclass(frozen=True, slots=True)
class Npt:
    """VM_NPT_OPERATION by its raw number."""

    gpa: int
    length: int
    operation: int
    bitmap: bytes | None

    def run(self, cell: Cell) -> Observed:
        operation = ops.NptOp(self.gpa, self.length, self.operation, self.bitmap)
        value, bitmap = operation.do(cell.running)
        return _tracked(bitmap, value)


@dataclass(frozen=True, slots=True)
class TrackDirty:
    """VM_TRACK_DIRTY_PAGES: reads the dirty bits of a range, and clears them."""

    gpa: int
    length: int

    def run(self, cell: Cell) -> Observed:
        return _tracked(ops.TrackDirtyPages(self.gpa, self.length).do(cell.running))


@dataclass(frozen=True, slots=True)
class Dirty:
    """GET, SET or RESET of the dirty bits of a range, as VM_NPT_OPERATION does it.

    *bitmap* says which pages; None stands for all. Observed is what comes back: the pages
    that were dirty, or that a SET made dirty; nothing for a range too long for a bitmap.
    """

    gpa: int
    length: int
    operation: str
    bitmap: int | None

    def run(self, cell: Cell) -> Observed:
        operation, given = npt.dirty_operation(self.operation, self.length, self.bitmap)
        return Npt(self.gpa, self.length, operation, given).run(cell)


def _tracked(bitmap: bytes | None, returns: int | None = None) -> Observed:
    dirty = None if bitmap is None else int.from_bytes(bitmap, "little")
    return Observed(bitmap=bitmap, dirty=dirty, returns=returns)


def _accessed(access: Access) -> Observed:
    return Observed(pages=access.ok, mapped=access.mapped, fault=access.fault, gpa=access.gpa)


def _booted(booted: life.Booted) -> Observed:
    observed = Observed(pages=booted.accessed, mapped=booted.mapped)
    if booted.failures:
        observed.gpa, observed.fault = booted.failures[0]
    return observed


def _add(total: Observed, more: Observed) -> Observed:
    """*more* after *total*: pages and mappings add up, a fault is the last one's."""
    pages = (total.pages or 0) + (more.pages or 0)
    mapped = (total.mapped or 0) + (more.mapped or 0)
    values = total.values
    return Observed(pages=pages, mapped=mapped, fault=more.fault, gpa=more.gpa, values=values)
