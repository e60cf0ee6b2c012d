"""What goes on in the guest while it is migrated: seeded writes, by vCPUs and by devices."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from bhyvesim.ops import ioctls as ops
from bhyvesim.ops.contents import Write
from bhyvesim.prot import READ, WRITE
from bhyvesim.units import PAGE_SHIFT, PAGE_SIZE
from bhyvesim.vm.migration.memory import Ram
from bhyvesim.vm.migration.plan import Plan

GUEST, DEVICE = "guest", "device"
_CELL = 16  # bytes that are written at once: the write's number, and the page's
_AGAIN = 0.75  # how often it is a page of those that this guest is at all the time


class Writes(NamedTuple):
    """How many there were."""

    guest: int
    device: int

    def plus(self, other: Writes) -> Writes:
        """Both together."""
        return Writes(self.guest + other.guest, self.device + other.device)


class Workload:
    """The writes of one rehearsal, the same for the same seed.

    ``wrote`` has the last who wrote to a page, by page number. Most writes are to a few pages
    that are written again and again; each leaves bytes that no other does.
    """

    def __init__(self, plan: Plan, ram: Ram) -> None:
        self.wrote: dict[int, str] = {}
        self._plan = plan
        self._random = Random(plan.seed)
        self._number = 0
        self._loaded: set[int] = set()  # pages that the VMM's mapping of guest space has
        self._late: list[Write] = []
        self._ram = ram
        self._parts = ram.writable
        size = max(1, plan.writes // 2) if self._parts else 0
        self._often = [self._anywhere() for _ in range(size)]

    def at(self, ram: Ram) -> None:
        """From here on the guest runs there, with another VMM."""
        self._ram = ram
        self._parts = ram.writable
        self._loaded.clear()

    def run(self, writes: int) -> Writes:
        """So many *writes*; how many by whom."""
        by_device = 0
        for _ in range(writes if self._parts else 0):
            if self._random.random() < _AGAIN:
                part, page = self._often[self._random.randrange(len(self._often))]
            else:
                part, page = self._anywhere()
            device = self._random.randrange(100) < self._plan.devices
            by_device += device
            self._write(part, page, device=device)
        return Writes(writes - by_device if self._parts else 0, by_device)

    def settle(self) -> None:
        """What devices had released before they wrote to it, they write to now."""
        for store in self._late:
            store.do(self._ram.machine)
        self._late.clear()

    def _anywhere(self) -> tuple[int, int]:
        """The number of a part, and of a page of it, by chance."""
        sizes = [len(part.pages) for part in self._parts]
        at = self._random.randrange(sum(sizes))
        for number, size in enumerate(sizes):
            if at < size:
                return number, at
            at -= size
        raise AssertionError("past the last part")

    def _write(self, number: int, index: int, *, device: bool) -> None:
        part = self._parts[number]
        page = part.pages[index]
        self._number += 1
        cell = self._random.randrange(PAGE_SIZE // _CELL) * _CELL
        data = self._number.to_bytes(8, "little") + page.to_bytes(8, "little")
        self.wrote[page] = DEVICE if device else GUEST
        if device:
            store = Write(segid=part.memmap.segid, segoff=part.offset(page) + cell, data=data)
            _BY_DEVICE[self._plan.device_writes](self, page << PAGE_SHIFT, store)
        else:
            Write((page << PAGE_SHIFT) + cell, data=data).do(self._ram.machine)

    def _held(self, gpa: int, store: Write, *, dirty: bool = True) -> None:
        held = ops.Hold(gpa, READ | WRITE).do(self._ram.machine)
        store.do(self._ram.machine)
        ops.Release(held.id, dirty=dirty).do(self._ram.machine)

    def _later(self, gpa: int, store: Write) -> None:
        ops.Access(gpa, 1, READ | WRITE, "device").do(self._ram.machine)
        self._late.append(store)

    def _deferred(self, gpa: int, store: Write) -> None:
        self._held(gpa, store, dirty=False)

    def _mapped(self, gpa: int, store: Write) -> None:
        if gpa not in self._loaded:
            self._loaded.add(gpa)
            ops.Access(gpa, 1, READ | WRITE, "device").do(self._ram.machine)
        store.do(self._ram.machine)

    def _marked(self, gpa: int, store: Write) -> None:
        self._mapped(gpa, store)
        ops.NptOp.on_dirty_bits(gpa, PAGE_SIZE, "SET_DIRTY", None).do(self._ram.machine)


_BY_DEVICE: dict[str, Callable[[Workload, int, Write], None]] = {
    "held": Workload._held,
    "late": Workload._later,
    "deferred": Workload._deferred,
    "mapped": Workload._mapped,
    "marked": Workload._marked,
}
