"""The ioctls and accesses as operations: one frozen class each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from bhyvesim.errors import BadValue
from bhyvesim.kernel.calls import Assertions
from bhyvesim.kernel.gpt.access import Access as AccessResult
from bhyvesim.kernel.machine import Machine, check_hold
from bhyvesim.kernel.memory import Memmap
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.results import BatchAccess, Held, MemoryStats
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.ops import keys as k
from bhyvesim.ops.keys import Key
from bhyvesim.ops.operation import Operation, Recorder, Result
from bhyvesim.prot import BY

if TYPE_CHECKING:
    from bhyvesim.kernel.npt import NptResult


class Create(Operation):
    """Start a fresh machine."""

    gpt: str
    debug: bool
    npt: str
    track_dirty: bool = False
    assertions: str = "panic"
    apicv: bool = False

    op: ClassVar[str] = "create"
    keys: ClassVar[tuple[Key, ...]] = (
        Key.of("gpt", k.one_of(REVISIONS)),
        Key.of("debug", k.flag),
        Key.of("npt", k.one_of(list(FORMATS))),
        Key.of("track_dirty", k.flag, False),
        Key.of("assertions", k.one_of([a.value for a in Assertions]), "panic"),
        Key.of("apicv", k.flag, False),
    )

    def machine(self, recorder: Recorder | None = None) -> Machine:
        """The machine, recorded from here on. Raises BadValue for apicv without EPT."""
        machine = Machine(
            self.gpt,
            debug=self.debug,
            npt=self.npt,
            track_dirty=self.track_dirty,
            assertions=self.assertions,
            apicv=self.apicv,
        )
        machine.recorder = recorder
        if recorder is not None:
            recorder(self)
        return machine

    def perform(self, machine: Machine) -> None:
        raise BadValue("create of a machine that is there", "a fresh one")


class AllocMemseg(Operation):
    """VM_ALLOC_MEMSEG."""

    segid: int
    length: int
    name: str
    host_pfn: int | None = None

    op: ClassVar[str] = "alloc_memseg"
    keys: ClassVar[tuple[Key, ...]] = (
        Key.of("segid", k.number),
        Key("len", "length", k.number),
        Key.of("name", k.text),
        Key.of("host_pfn", k.host_pfn, None),
    )

    def perform(self, machine: Machine) -> None:
        machine.alloc_memseg(self.segid, self.length, self.name, self.host_pfn)


class MmapMemseg(Operation):
    """VM_MMAP_MEMSEG."""

    gpa: int
    segid: int
    segoff: int
    length: int
    prot: int
    wired: bool = False

    op: ClassVar[str] = "mmap_memseg"
    keys: ClassVar[tuple[Key, ...]] = (
        Key.of("gpa", k.number),
        Key.of("segid", k.number),
        Key.of("segoff", k.number),
        Key("len", "length", k.number),
        Key.of("prot", k.prot),
        Key.of("wired", k.flag, False),
    )

    @classmethod
    def making(cls, m: Memmap) -> MmapMemseg:
        """What makes the memmap *m*, in the lowest free slot."""
        return cls(m.gpa, m.segid, m.segoff, m.length, m.prot, m.wired)

    def perform(self, machine: Machine) -> None:
        machine.mmap_memseg(self.gpa, self.segid, self.segoff, self.length, self.prot, self.wired)


class MunmapMemseg(Operation):
    """VM_MUNMAP_MEMSEG."""

    gpa: int
    length: int

    op: ClassVar[str] = "munmap_memseg"
    keys: ClassVar[tuple[Key, ...]] = (Key.of("gpa", k.number), Key("len", "length", k.number))

    def perform(self, machine: Machine) -> None:
        machine.munmap_memseg(self.gpa, self.length)


class Access(Operation):
    """Accesses of *npages* pages in ascending order, by a vCPU or a device."""

    gpa: int
    npages: int
    prot: int
    by: str = "vcpu"

    op: ClassVar[str] = "access"
    keys: ClassVar[tuple[Key, ...]] = (
        Key.of("gpa", k.number),
        Key.of("npages", k.page_count),
        Key.of("prot", k.access),
        Key.of("by", k.one_of(BY), "vcpu"),
    )

    def check(self) -> None:
        if self.by == "device":
            check_hold(self.prot)

    @property
    def guest(self) -> bool:
        return True

    def perform(self, machine: Machine) -> AccessResult:
        return machine.access(self.gpa, self.npages, self.prot, self.by)

    def shown(self, value: AccessResult) -> Result:
        return shown_access(value)


def shown_access(access: AccessResult) -> Result:
    """*access* as a replay prints it."""
    result: Result = {"ok": access.ok, "mapped": access.mapped}
    if access.fault is not None:
        result["fault"] = access.fault
        result["gpa"] = access.gpa
    return result


class AccessBatch(Operation):
    """A vCPU's accesses of single pages, each for itself."""

    gpas: tuple[int, ...]
    prot: int

    op: ClassVar[str] = "access_batch"
    keys: ClassVar[tuple[Key, ...]] = (
        Key("gpas", "gpas", k.numbers, write=list),
        Key.of("prot", k.access),
    )

    @property
    def guest(self) -> bool:
        return True

    def perform(self, machine: Machine) -> BatchAccess:
        return machine.access_batch(self.gpas, self.prot)

    def shown(self, value: BatchAccess) -> Result:
        faults = [[gpa, fault] for gpa, fault in value.faults]
        return {"ok": value.ok, "mapped": value.mapped, "faults": faults}


class Hold(Operation):
    """A hold on a page, kept until it is released."""

    gpa: int
    prot: int

    op: ClassVar[str] = "hold"
    keys: ClassVar[tuple[Key, ...]] = (Key.of("gpa", k.number), Key.of("prot", k.hold))

    def perform(self, machine: Machine) -> Held:
        return machine.hold(self.gpa, self.prot)

    def shown(self, value: Held) -> Result:
        return {"fault": value.fault, "gpa": value.gpa} if value.id is None else {"ok": value.id}


class Release(Operation):
    """The end of a hold; *dirty*: its holder wrote to the page."""

    hold: int
    dirty: bool = True

    op: ClassVar[str] = "release"
    keys: ClassVar[tuple[Key, ...]] = (
        Key("id", "hold", k.number),
        Key.of("dirty", k.flag, True),
    )

    def perform(self, machine: Machine) -> bool:
        return machine.release(self.hold, dirty=self.dirty)

    def shown(self, value: bool) -> Result:
        return {"ok": 0, "unmapped": value}


class NptOp(Operation):
    """VM_NPT_OPERATION, by its raw number."""

    gpa: int
    length: int
    operation: int
    bitmap: bytes | None = None

    op: ClassVar[str] = "npt_op"
    keys: ClassVar[tuple[Key, ...]] = (
        Key.of("gpa", k.number),
        Key("len", "length", k.number),
        Key.of("operation", k.npt_operation),
        Key("bitmap", "bitmap", k.bitmap, None, write=bytes.hex),
    )

    @classmethod
    def on_dirty_bits(cls, gpa: int, length: int, name: str, pages: int | None) -> NptOp:
        """GET_DIRTY, SET_DIRTY or RESET_DIRTY of a range, or of *pages* of it (a bitmap)."""
        from bhyvesim.kernel.npt import dirty_operation

        return cls(gpa, length, *dirty_operation(name, length, pages))

    def perform(self, machine: Machine) -> NptResult:
        from bhyvesim.kernel.npt import npt_operation

        return npt_operation(machine, self.gpa, self.length, self.operation, self.bitmap)

    def shown(self, value: NptResult) -> Result:
        if value.bitmap is None:
            return {"ok": value.value}
        return {"ok": value.value, "bitmap": value.bitmap.hex()}


class TrackDirtyPages(Operation):
    """VM_TRACK_DIRTY_PAGES."""

    gpa: int
    length: int

    op: ClassVar[str] = "track_dirty_pages"
    keys: ClassVar[tuple[Key, ...]] = (Key.of("gpa", k.number), Key("len", "length", k.number))

    def perform(self, machine: Machine) -> bytes:
        from bhyvesim.kernel.npt import track_dirty_pages

        return track_dirty_pages(machine, self.gpa, self.length)

    def shown(self, value: bytes) -> Result:
        return {"ok": 0, "bitmap": value.hex()}


class Stats(Operation):
    """The memory statistics of vCPU 0."""

    op: ClassVar[str] = "stats"
    changes: ClassVar[bool] = False

    def perform(self, machine: Machine) -> MemoryStats:
        return machine.stats()

    def shown(self, value: MemoryStats) -> Result:
        return {"ok": 0, "resident_bytes": value.resident, "wired_bytes": value.wired}


class Pause(Operation):
    """VM_PAUSE."""

    op: ClassVar[str] = "pause"

    def perform(self, machine: Machine) -> None:
        machine.pause()


class Resume(Operation):
    """VM_RESUME."""

    op: ClassVar[str] = "resume"

    def perform(self, machine: Machine) -> None:
        machine.resume()


class Reinit(Operation):
    """VM_REINIT."""

    op: ClassVar[str] = "reinit"

    def perform(self, machine: Machine) -> None:
        machine.reinit()


class Destroy(Operation):
    """The end of the VM."""

    op: ClassVar[str] = "destroy"

    def perform(self, machine: Machine) -> int:
        return machine.destroy()

    def shown(self, value: int) -> Result:
        return {"ok": 0, "leaked_nodes": value}


class Dump(Operation):
    """The whole state."""

    op: ClassVar[str] = "dump"
    changes: ClassVar[bool] = False

    def perform(self, machine: Machine) -> dict[str, Any]:
        return machine.dump()

    def shown(self, value: dict[str, Any]) -> Result:
        return {"ok": 0, **value}
