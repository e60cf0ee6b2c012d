"""Each operation as one frozen class: what it does to a machine, and its JSON form.

That form, and the results, are the replay format.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from bhyvesim.errors import BadValue
from bhyvesim.kernel import npt
from bhyvesim.kernel.calls import Assertions
from bhyvesim.kernel.gpt.access import Access as AccessResult
from bhyvesim.kernel.machine import Machine, check_hold
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.ops import keys as k
from bhyvesim.ops.keys import Key
from bhyvesim.prot import BY

Result = dict[str, Any]
_OK: Result = {"ok": 0}


class Operation(ABC):
    """One thing to do to a machine."""

    op: ClassVar[str]
    keys: ClassVar[tuple[Key, ...]] = ()

    @abstractmethod
    def apply(self, machine: Machine) -> Result:
        """Do it; the result as a replay prints it. Raises Refused and KernelStop."""

    def record(self) -> dict[str, Any]:
        """The JSON form, without what is left at its default."""
        values = ((key, getattr(self, key.argument)) for key in self.keys)
        return {
            "op": self.op,
            **{key.name: key.write(value) for key, value in values if value != key.default},
        }


@dataclass(frozen=True, slots=True)
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

    def machine(self) -> Machine:
        """The machine. Raises BadValue for apicv without EPT."""
        return Machine(
            self.gpt,
            debug=self.debug,
            npt=self.npt,
            track_dirty=self.track_dirty,
            assertions=self.assertions,
            apicv=self.apicv,
        )

    def apply(self, machine: Machine) -> Result:
        raise BadValue("create of a machine that is there", "a fresh one")


@dataclass(frozen=True, slots=True)
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

    def apply(self, machine: Machine) -> Result:
        machine.alloc_memseg(self.segid, self.length, self.name, self.host_pfn)
        return _OK.copy()


@dataclass(frozen=True, slots=True)
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

    def apply(self, machine: Machine) -> Result:
        machine.mmap_memseg(self.gpa, self.segid, self.segoff, self.length, self.prot, self.wired)
        return _OK.copy()


@dataclass(frozen=True, slots=True)
class MunmapMemseg(Operation):
    """VM_MUNMAP_MEMSEG."""

    gpa: int
    length: int

    op: ClassVar[str] = "munmap_memseg"
    keys: ClassVar[tuple[Key, ...]] = (Key.of("gpa", k.number), Key("len", "length", k.number))

    def apply(self, machine: Machine) -> Result:
        machine.munmap_memseg(self.gpa, self.length)
        return _OK.copy()


@dataclass(frozen=True, slots=True)
class Access(Operation):
    """Accesses of *npages* pages in ascending order, by a vCPU or a device."""

    gpa: int
    npages: int
    prot: int
    by: str = "vcpu"

    op: ClassVar[str] = "access"
    keys: ClassVar[tuple[Key, ...]] = (
        Key.of("gpa", k.number),
        Key.of("npages", k.count),
        Key.of("prot", k.access),
        Key.of("by", k.one_of(BY), "vcpu"),
    )

    def __post_init__(self) -> None:
        if self.by == "device":
            check_hold(self.prot)

    def apply(self, machine: Machine) -> Result:
        return shown_access(machine.access(self.gpa, self.npages, self.prot, self.by))


def shown_access(access: AccessResult) -> Result:
    """*access* as a replay prints it."""
    result: Result = {"ok": access.ok, "mapped": access.mapped}
    if access.fault is not None:
        result["fault"] = access.fault
        result["gpa"] = access.gpa
    return result


@dataclass(frozen=True, slots=True)
class AccessBatch(Operation):
    """A vCPU's accesses of single pages, each for itself."""

    gpas: tuple[int, ...]
    prot: int

    op: ClassVar[str] = "access_batch"
    keys: ClassVar[tuple[Key, ...]] = (
        Key("gpas", "gpas", k.numbers, write=list),
        Key.of("prot", k.access),
    )

    def apply(self, machine: Machine) -> Result:
        batch = machine.access_batch(self.gpas, self.prot)
        faults = [[gpa, fault] for gpa, fault in batch.faults]
        return {"ok": batch.ok, "mapped": batch.mapped, "faults": faults}


@dataclass(frozen=True, slots=True)
class Hold(Operation):
    """A hold on a page, kept until it is released."""

    gpa: int
    prot: int

    op: ClassVar[str] = "hold"
    keys: ClassVar[tuple[Key, ...]] = (Key.of("gpa", k.number), Key.of("prot", k.hold))

    def apply(self, machine: Machine) -> Result:
        held = machine.hold(self.gpa, self.prot)
        return {"fault": held.fault, "gpa": held.gpa} if held.id is None else {"ok": held.id}


@dataclass(frozen=True, slots=True)
class Release(Operation):
    """The end of a hold; *dirty*: its holder wrote to the page."""

    hold: int
    dirty: bool = True

    op: ClassVar[str] = "release"
    keys: ClassVar[tuple[Key, ...]] = (
        Key("id", "hold", k.number),
        Key.of("dirty", k.flag, True),
    )

    def apply(self, machine: Machine) -> Result:
        return {"ok": 0, "unmapped": machine.release(self.hold, dirty=self.dirty)}


@dataclass(frozen=True, slots=True)
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

    def apply(self, machine: Machine) -> Result:
        value, bitmap = npt.npt_operation(
            machine, self.gpa, self.length, self.operation, self.bitmap
        )
        return {"ok": value} if bitmap is None else {"ok": value, "bitmap": bitmap.hex()}


@dataclass(frozen=True, slots=True)
class TrackDirtyPages(Operation):
    """VM_TRACK_DIRTY_PAGES."""

    gpa: int
    length: int

    op: ClassVar[str] = "track_dirty_pages"
    keys: ClassVar[tuple[Key, ...]] = (Key.of("gpa", k.number), Key("len", "length", k.number))

    def apply(self, machine: Machine) -> Result:
        return {"ok": 0, "bitmap": npt.track_dirty_pages(machine, self.gpa, self.length).hex()}


@dataclass(frozen=True, slots=True)
class Stats(Operation):
    """The memory statistics of vCPU 0."""

    op: ClassVar[str] = "stats"

    def apply(self, machine: Machine) -> Result:
        stats = machine.stats()
        return {"ok": 0, "resident_bytes": stats.resident, "wired_bytes": stats.wired}


@dataclass(frozen=True, slots=True)
class Reinit(Operation):
    """VM_REINIT."""

    op: ClassVar[str] = "reinit"

    def apply(self, machine: Machine) -> Result:
        machine.reinit()
        return _OK.copy()


@dataclass(frozen=True, slots=True)
class Destroy(Operation):
    """The end of the VM."""

    op: ClassVar[str] = "destroy"

    def apply(self, machine: Machine) -> Result:
        return {"ok": 0, "leaked_nodes": machine.destroy()}


@dataclass(frozen=True, slots=True)
class Dump(Operation):
    """The whole state."""

    op: ClassVar[str] = "dump"

    def apply(self, machine: Machine) -> Result:
        return {"ok": 0, **machine.dump()}


def _all() -> Iterator[type[Operation]]:
    yield from (Create, AllocMemseg, MmapMemseg, MunmapMemseg, Access, AccessBatch)
    yield from (Hold, Release, NptOp, TrackDirtyPages, Stats, Reinit, Destroy, Dump)


OPERATIONS: dict[str, type[Operation]] = {cls.op: cls for cls in _all()}
