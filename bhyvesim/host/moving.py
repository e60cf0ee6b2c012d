"""Migrations as actions: of the VM that the guest left, and of the one where it arrived."""

from __future__ import annotations

from typing import Any, ClassVar

from bhyvesim.errors import KernelStop, Refused
from bhyvesim.host.actions import Action, Destroy
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.vm import life
from bhyvesim.vm.migration.plan import Plan
from bhyvesim.vm.migration.rehearsal import Rehearsed, leaves_marks, rehearse
from bhyvesim.vm.spec import VmSpec


class MovedAway(Destroy):
    """The guest lives on as *name*: what is left of it here is destroyed."""

    name: str

    @property
    def word(self) -> str:
        return "migrate"

    def record(self) -> dict[str, Any]:
        return {"action": self.word, "to": self.name}


class Arrived(Action):
    """A VM that came by migration, from one that was called *source*.

    That one is not here any more, at least not as it was: it cannot be done again.
    """

    source: str
    plan: Plan

    stages: ClassVar[tuple[str, ...]] = ("arrive",)
    starts: ClassVar[bool] = True
    again: ClassVar[bool] = False

    @property
    def word(self) -> str:
        return "migrate"

    def run(self, machine: Machine, spec: VmSpec, done: life.Done) -> Rehearsed:
        raise Refused("ENOENT", f"{self.source} as it was before its migration is not kept")

    def result(self, value: Rehearsed) -> dict[str, Any]:
        lost = value.lost + value.unknown
        return {"sent": value.sent, **({"lost": lost} if lost else {})}

    def record(self) -> dict[str, Any]:
        return {"action": self.word, "from": self.source, "plan": self.plan.record()}


class Arriving(Arrived):
    """The same while it happens: *machine* and *spec* are the source's, to be worked on."""

    machine: Machine
    spec: VmSpec

    def run(self, machine: Machine, spec: VmSpec, done: life.Done) -> Rehearsed:
        try:
            came = rehearse(self.plan, self.machine, spec, machine, arrived=self.spec.arrived)
        except KernelStop as stop:
            if machine.stop is not None:
                raise
            # What is stored of a stop is the target's: of another's it is said, no more.
            raise Refused("EBUSY", f"another kernel stopped on the way: {stop}") from None
        done("arrive")
        return came

    def described(self, spec: VmSpec) -> VmSpec:
        """What arrived without a dirty bit is remembered."""
        revision = REVISIONS[spec.kernel.gpt]
        return spec.but(arrived=not leaves_marks(self.plan, revision))


def read_moving(record: dict[str, Any]) -> Action:
    """The inverse of their :meth:`Action.record`. Raises BadValue, LookupError and TypeError."""
    if "to" in record:
        return MovedAway(record["to"])
    return Arrived(record["from"], Plan(**record["plan"]))
