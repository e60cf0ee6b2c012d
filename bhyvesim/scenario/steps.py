"""What the steps of a scenario do: operations, and what is made of several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from bhyvesim.kernel.gpt.access import Access
from bhyvesim.kernel.npt import NptResult
from bhyvesim.kernel.results import BatchAccess, Held
from bhyvesim.kernel.vmrun import vm_run_sees
from bhyvesim.ops import ioctls as ops
from bhyvesim.ops.contents import Bytes, Fill, Read, Write
from bhyvesim.ops.operation import Operation
from bhyvesim.scenario.cell import Cell
from bhyvesim.scenario.model import Little, Observed, Pages, Series, Work
from bhyvesim.units import PAGE_SIZE
from bhyvesim.vm import life
from bhyvesim.vm.migration.plan import Plan
from bhyvesim.vm.spec import TouchSpec


@dataclass(frozen=True, slots=True)
class Do:
    """One operation."""

    operation: Operation

    @property
    def work(self) -> Work:
        filled = self.operation.length if isinstance(self.operation, Fill) else 0
        return Work(filled=filled)

    def run(self, cell: Cell) -> Observed:
        value = self.operation.do(cell.running)
        if isinstance(self.operation, ops.Destroy):
            return Observed(leaks=value)
        seen = observed(value)
        if isinstance(self.operation, ops.Access) and self.operation.by == "vcpu":
            seen.vm_run = vm_run_sees(cell.running, value)
        return seen


def observed(value: Any) -> Observed:
    """What an operation came to, as expectations look at it."""
    return _OBSERVED[type(value)](value)


def _accessed(access: Access) -> Observed:
    return Observed(pages=access.ok, mapped=access.mapped, fault=access.fault, gpa=access.gpa)


def _batch(batch: BatchAccess) -> Observed:
    gpa, fault = batch.faults[0] if batch.faults else (None, None)
    return Observed(pages=batch.ok, mapped=batch.mapped, fault=fault, gpa=gpa)


def _tracked(bitmap: bytes | None, returns: int | None = None) -> Observed:
    dirty = None if bitmap is None else int.from_bytes(bitmap, "little")
    return Observed(bitmap=bitmap, dirty=dirty, returns=returns)


def _bytes(got: Bytes) -> Observed:
    seen = Observed() if got.access is None else _accessed(got.access)
    seen.data = got.data
    return seen


_OBSERVED: dict[type, Callable[[Any], Observed]] = {
    type(None): lambda _: Observed(),
    bool: lambda _: Observed(),  # of a release: no expectation asks
    Access: _accessed,
    BatchAccess: _batch,
    Held: lambda held: Observed(hold=held.id, fault=held.fault, gpa=held.gpa),
    NptResult: lambda result: _tracked(result.bitmap, result.value),
    bytes: _tracked,
    Bytes: _bytes,
}


@dataclass(frozen=True, slots=True)
class Create(Little):
    """Allocate, map and boot the cell's VM; from here on there is a machine."""

    def run(self, cell: Cell) -> Observed:
        machine = cell.start()
        life.allocate(machine, cell.spec)
        return _booted(life.boot(machine, cell.spec))


@dataclass(frozen=True, slots=True)
class Reboot(Little):
    def run(self, cell: Cell) -> Observed:
        rebooted = life.reboot(cell.running, cell.spec)
        seen = _booted(rebooted.booted)
        seen.lost = sum(pages for _, pages in rebooted.lost)
        seen.drift = rebooted.resident - rebooted.present
        return seen


def _booted(booted: life.Booted) -> Observed:
    seen = Observed(pages=booted.accessed, mapped=booted.mapped)
    if booted.failures:
        seen.gpa, seen.fault = booted.failures[0]
    return seen


@dataclass(frozen=True, slots=True)
class Map(Little):
    """A memmap made, and how many entries came with it."""

    operation: ops.MmapMemseg

    def run(self, cell: Cell) -> Observed:
        before = cell.present()
        self.operation.do(cell.running)
        return Observed(mapped=cell.present() - before)


@dataclass(frozen=True, slots=True)
class Unmap(Little):
    """One memmap taken away, or all of devmem; and how many pages of others were lost with it."""

    operation: ops.MunmapMemseg | ops.Reinit

    def run(self, cell: Cell) -> Observed:
        machine = cell.running
        lost = life.lost_pages(machine, lambda: self.operation.do(machine))
        return Observed(lost=sum(pages for _, pages in lost))


@dataclass(frozen=True, slots=True)
class Migrate:
    """The guest goes to another machine; what never arrives, or may not have, is lost."""

    plan: Plan
    gpt: str | None

    @property
    def work(self) -> Work:
        return Work(touches=self.plan.writes_in_all)

    def run(self, cell: Cell) -> Observed:
        came = cell.move(self.plan, self.gpt)
        return Observed(lost=came.lost + came.unknown, sent=came.sent, again=came.again)


@dataclass(frozen=True, slots=True)
class TouchEvery:
    """A vCPU's accesses of every n-th page of a span, each for itself."""

    touch: TouchSpec
    every: int

    @property
    def work(self) -> Work:
        return Work(touches=-(-self.touch.length // (self.every * PAGE_SIZE)))

    def run(self, cell: Cell) -> Observed:
        end = self.touch.gpa + self.touch.length
        gpas = range(self.touch.gpa, end, self.every * PAGE_SIZE)
        return _batch(ops.AccessBatch(tuple(gpas), self.touch.prot).do(cell.running))


@dataclass(frozen=True, slots=True)
class DirtyBits(Little):
    """VM_NPT_OPERATION on the dirty bits of a range, or of some of its *pages*."""

    gpa: int
    length: int
    name: str
    pages: Pages | None

    def run(self, cell: Cell) -> Observed:
        pages = None if self.pages is None else self.pages.bitmap()
        operation = ops.NptOp.on_dirty_bits(self.gpa, self.length, self.name, pages)
        return observed(operation.do(cell.running))


class Where(NamedTuple):
    """A place in memory: a guest address, or an offset into a segment."""

    gpa: int | None = None
    segid: int | None = None
    segoff: int = 0

    def plus(self, offset: int) -> Where:
        """The place *offset* bytes further on."""
        if self.gpa is None:
            return self._replace(segoff=self.segoff + offset)
        return self._replace(gpa=self.gpa + offset)


@dataclass(frozen=True, slots=True)
class Poke:
    """Write *count* little-endian integers of *size* bytes, *stride* bytes apart."""

    where: Where
    size: int
    count: int
    stride: int
    value: Series

    @property
    def work(self) -> Work:
        return Work(values=self.count)

    def run(self, cell: Cell) -> Observed:
        total = Observed()
        for i, value in enumerate(self.value.values(self.count, self.size)):
            data = value.to_bytes(self.size, "little")
            write = Write(*self.where.plus(i * self.stride), data)
            total = _add(total, _bytes(write.do(cell.running)))
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

    @property
    def work(self) -> Work:
        return Work(values=self.count)

    def run(self, cell: Cell) -> Observed:
        total = Observed(values=[])
        for i in range(self.count):
            read = Read(*self.where.plus(i * self.stride), self.size)
            got = read.do(cell.running)
            total = _add(total, _bytes(got))
            if total.fault is not None:
                break
            assert total.values is not None
            total.values.append(int.from_bytes(got.data, "little"))
        return total


def _add(total: Observed, more: Observed) -> Observed:
    """*more* after *total*: pages and mappings add up, a fault is the last one's."""
    pages = (total.pages or 0) + (more.pages or 0)
    mapped = (total.mapped or 0) + (more.mapped or 0)
    values = total.values
    return Observed(pages=pages, mapped=mapped, fault=more.fault, gpa=more.gpa, values=values)
