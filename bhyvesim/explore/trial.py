"""A machine on trial: what is done to it, and what is wrong with it after each operation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from bhyvesim.errors import KernelStop, Refused
from bhyvesim.explore.causes import Cause, before, judged, stopped
from bhyvesim.explore.twin import Twin
from bhyvesim.kernel.machine import Machine
from bhyvesim.ops.ioctls import Create, Destroy
from bhyvesim.ops.operation import Operation
from bhyvesim.ops.operations import read_operation

State = tuple[Any, ...]


class Case(NamedTuple):
    """A kernel, and what is done on it; *against* is a revision that must do the same."""

    create: Create
    operations: tuple[Operation, ...]
    against: str | None = None

    @property
    def all(self) -> tuple[Operation, ...]:
        return (self.create, *self.operations)

    def records(self) -> list[dict[str, Any]]:
        """Its operations as a replay reads them."""
        return [operation.record() for operation in self.all]

    @classmethod
    def of(cls, records: Iterable[dict[str, Any]], against: str | None = None) -> Case:
        """The inverse of :meth:`records`. Raises ValueError or BadValue."""
        create, *operations = map(read_operation, records)
        if not isinstance(create, Create):
            raise ValueError("no create")
        return cls(create, tuple(operations), against)


class Trial:
    """The machine of a case on its way; ``over`` once nothing more can be done to it.

    With *against*, it is only asked what a kernel of that revision does differently.

    ``met``: every cause so far. Until one that is not harmless the machine is sound: what
    comes after it may be its consequence, so a trial ends there.
    """

    def __init__(self, create: Create, against: str | None = None) -> None:
        self.create = create
        self.against = against
        self.machine = create.machine()
        self.twin = None if against is None else Twin(create, against)
        self.operations: tuple[Operation, ...] = ()
        self.met: frozenset[Cause] = frozenset()
        self.over = False
        self.stop: KernelStop | None = None
        self.came: Any = None  # of the last operation: its value, or the Refused that it raised

    def fork(self) -> Trial:
        """Another in the same state."""
        other = object.__new__(Trial)
        other.__dict__.update(self.__dict__)
        other.machine = self.machine.fork()
        other.twin = None if self.twin is None else self.twin.fork()
        return other

    @property
    def case(self) -> Case:
        return Case(self.create, self.operations, self.against)

    def do(self, operation: Operation, sound: set[State] | None = None) -> Cause | None:
        """Do *operation*; what is wrong now that was not before, if anything: the worst of it.

        What else is wrong at the same moment is taken for its consequence. States in *sound*
        are not looked at again; one that is found sound is put there.
        """
        self.operations += (operation,)
        machine = self.machine
        was = before(machine, operation)
        try:
            came = operation.perform(machine)
        except KernelStop as stop:
            self.stop = stop
            found = [stopped(stop)]
        except Refused as refused:
            found = self._judged(operation, was, refused, sound)
        else:
            found = self._judged(operation, was, came, sound)
        if self.twin is not None:
            found = self.twin.differs(operation, self)
        new = next((cause for cause in found if cause not in self.met), None)
        ended = self.stop is not None or isinstance(operation, Destroy)
        self.over = ended or (new is not None and not new.harmless)
        if new is not None:
            self.met |= {new}
        return new

    def _judged(
        self, operation: Operation, was: Any, came: Any, sound: set[State] | None
    ) -> list[Cause]:
        self.came = came
        if isinstance(operation, Destroy) and not isinstance(came, Refused):
            return judged(self.machine, operation, was, came, fresh=False)
        if sound is None:
            return judged(self.machine, operation, was, came)
        state = state_of(self.machine)
        found = judged(self.machine, operation, was, came, fresh=state not in sound)
        if not found:
            sound.add(state)
        return found


def state_of(machine: Machine) -> State:
    """Everything of *machine* that what it does later depends on, and its page counter."""
    space, gpt = machine.space, machine.space.gpt
    return (
        tuple(gpt.leaves.maximal_runs()),
        tuple(machine.slots),
        tuple(machine.segs.values()),
        tuple(space.holds.items()),
        gpt.twins,
        gpt.tracking,
        gpt.sets_bits,
        gpt.resident,
    )


def causes(case: Case) -> Iterator[tuple[int, Cause, Trial]]:
    """What goes wrong in *case*: after which operation, counted from 0, and the trial then."""
    trial = Trial(case.create, case.against)
    for number, operation in enumerate(case.operations):
        cause = trial.do(operation)
        if cause is not None:
            yield number, cause, trial
        if trial.over:
            return


def reproduced(case: Case, wanted: Cause) -> Case | None:
    """*case* up to where *wanted* comes; None if it does not, or something worse comes before."""
    for number, cause, _ in causes(case):
        if cause == wanted:
            return case._replace(operations=case.operations[: number + 1])
    return None
