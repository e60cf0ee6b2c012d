"""What can be asked of a VM, as values: each may be stored, and done again.

An action goes through stages; after each the machine is at a moment that history keeps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from bhyvesim.errors import BadValue
from bhyvesim.kernel.machine import Machine
from bhyvesim.ops import ioctls as ops
from bhyvesim.ops.operation import Operation
from bhyvesim.units import MIB
from bhyvesim.values import Value
from bhyvesim.vm import life
from bhyvesim.vm.spec import VmSpec

if TYPE_CHECKING:
    from bhyvesim.vm.layouts import Layout


class Action(Value, ABC):
    """One thing that is asked of a VM. ``word`` is its name, for people and in dumps."""

    stages: ClassVar[tuple[str, ...]]
    starts: ClassVar[bool] = False  # whether the guest runs afterwards, powered off or not
    again: ClassVar[bool] = True  # whether what is stored is enough to do it again

    @property
    @abstractmethod
    def word(self) -> str: ...

    @abstractmethod
    def run(self, machine: Machine, spec: VmSpec, done: life.Done) -> Any:
        """Do it; *done* is told of each stage. Raises Refused and KernelStop."""

    def result(self, value: Any) -> dict[str, Any]:
        """What :meth:`run` came to, as a log shows it: small."""
        return {}

    def described(self, spec: VmSpec) -> VmSpec:
        """The description of the VM afterwards."""
        return spec

    def record(self) -> dict[str, Any]:
        """Its JSON form."""
        return {"action": self.word}


class Create(Action):
    """Allocate, map and boot a VM."""

    stages: ClassVar[tuple[str, ...]] = ("memory", "boot")
    starts: ClassVar[bool] = True

    @property
    def word(self) -> str:
        return "create"

    def run(self, machine: Machine, spec: VmSpec, done: life.Done) -> life.Booted:
        life.allocate(machine, spec)
        done("memory")
        booted = life.boot(machine, spec)
        done("boot")
        return booted

    def result(self, value: life.Booted) -> dict[str, Any]:
        return _booted(value)


class Reboot(Action):
    """VM_REINIT, the devmem mapped again, the guest booted."""

    stages: ClassVar[tuple[str, ...]] = ("reinit", "map", "boot")
    starts: ClassVar[bool] = True

    @property
    def word(self) -> str:
        return "reboot"

    def run(self, machine: Machine, spec: VmSpec, done: life.Done) -> life.Rebooted:
        return life.reboot(machine, spec, done)

    def result(self, value: life.Rebooted) -> dict[str, Any]:
        return {**_booted(value.booted), "lost": sum(pages for _, pages in value.lost)}


class Destroy(Action):
    """The end of a VM as the kernel does it."""

    stages: ClassVar[tuple[str, ...]] = ("destroy",)

    @property
    def word(self) -> str:
        return "destroy"

    def run(self, machine: Machine, spec: VmSpec, done: life.Done) -> int:
        leaked: int = ops.Destroy().do(machine)
        done("destroy")
        return leaked

    def result(self, value: int) -> dict[str, Any]:
        return {"leaked": value}


class PowerOff(Action):
    """The guest stops; its memory stays."""

    stages: ClassVar[tuple[str, ...]] = ("power-off",)

    @property
    def word(self) -> str:
        return "power-off"

    def run(self, machine: Machine, spec: VmSpec, done: life.Done) -> None:
        done("power-off")


class SetMemory(Action):
    """RAM for a VM that has none, bhyve's way: rounded up to 2 MiB, and no ROM.

    Source: vm_setup_memory().
    """

    mebibytes: int

    stages: ClassVar[tuple[str, ...]] = ("memory",)

    def check(self) -> None:
        if self.mebibytes <= 0:
            raise BadValue(f"{self.mebibytes} MiB of memory", "a number from 1 on")

    @property
    def word(self) -> str:
        return "set-mem"

    @property
    def _layout(self) -> Layout:
        from bhyvesim.vm.layouts import LAYOUTS

        return LAYOUTS["bhyve"](-(-self.mebibytes // 2) * 2 * MIB, 0, {})

    def run(self, machine: Machine, spec: VmSpec, done: life.Done) -> None:
        segments, mappings = self._layout
        life.allocate(machine, spec.but(segments=segments, mappings=mappings))
        done("memory")

    def described(self, spec: VmSpec) -> VmSpec:
        segments, mappings = self._layout
        return spec.but(
            segments=(*spec.segments, *segments),
            mappings=(*spec.mappings, *mappings),
        )

    def record(self) -> dict[str, Any]:
        return {"action": self.word, "mebibytes": self.mebibytes}


class Values(NamedTuple):
    """What operations came to, a value each; and ``(gpa, pages)`` that lost their entries.

    Those are pages of memmaps that stayed.
    """

    values: tuple[Any, ...]
    lost: tuple[tuple[int, int], ...]


class Do(Action):
    """Operations on the machine as it is, one after the other."""

    name: str
    operations: tuple[Operation, ...]

    stages: ClassVar[tuple[str, ...]] = ("operation",)

    @property
    def word(self) -> str:
        return self.name

    @property
    def by_guest(self) -> bool:
        """Whether the guest does any of it itself."""
        return any(operation.guest for operation in self.operations)

    def run(self, machine: Machine, spec: VmSpec, done: life.Done) -> Values:
        values: list[Any] = []
        lost = life.lost_pages(
            machine, lambda: values.extend(one.do(machine) for one in self.operations)
        )
        done(self.name)
        return Values(tuple(values), lost)

    def result(self, value: Values) -> dict[str, Any]:
        """The last operation's, without what may be long; and how many pages were lost."""
        shown = self.operations[-1].shown(value.values[-1])
        result = {key: what for key, what in shown.items() if key not in ("data", "bitmap")}
        lost = sum(pages for _, pages in value.lost)
        return {**result, "lost": lost} if lost else result

    def record(self) -> dict[str, Any]:
        ops = [operation.record() for operation in self.operations]
        return {"action": self.word, "ops": ops}


_PLAIN: dict[str, Action] = {a.word: a for a in (Create(), Reboot(), Destroy(), PowerOff())}


def read_action(record: dict[str, Any]) -> Action:
    """The inverse of :meth:`Action.record`. Raises BadValue, LookupError and TypeError."""
    word = record["action"]
    if "ops" in record:
        from bhyvesim.ops.operations import read_operation

        return Do(word, tuple(read_operation(op) for op in record["ops"]))
    if word == "migrate":
        from bhyvesim.host.moving import read_moving

        return read_moving(record)
    if word == "set-mem":
        return SetMemory(record["mebibytes"])
    return _PLAIN[word]


def _booted(booted: life.Booted) -> dict[str, Any]:
    return {
        "accessed": booted.accessed,
        "mapped": booted.mapped,
        "faults": len(booted.failures),
    }
