"""What creating, touching, rebooting and destroying VMs came to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from bhyvesim.host.host import Destroyed
from bhyvesim.kernel.gpt.access import FAULTS, Access
from bhyvesim.kernel.results import Held, MachineState
from bhyvesim.kernel.vmrun import VM_RUN_WORDS
from bhyvesim.report.model import Column, Report, one_of
from bhyvesim.report.tones import verdict
from bhyvesim.vm import life
from bhyvesim.vm.spec import VmSpec

FORGOTTEN = "forgotten"
Fault = Annotated[str, one_of(FAULTS)]
Outcome = Annotated[
    str, one_of((*(state.value for state in MachineState if not state.alive), FORGOTTEN))
]


class Touched(NamedTuple):
    """`bhyvesim touch`: pages accessed, entries newly set, the first failure.

    ``vm_run`` is how VM_RUN comes back to the VMM where a vCPU's access failed.
    """

    ok: int
    mapped: int
    fault: Fault | None
    gpa: int | None
    vm_run: Annotated[str, one_of(VM_RUN_WORDS)] | None


class HoldTaken(NamedTuple):
    """`bhyvesim hold`: the hold's id, or why there is none."""

    hold: int | None
    fault: Fault | None
    gpa: int | None


class FaultAt(NamedTuple):
    """An access of the guest that failed."""

    gpa: int
    fault: Fault


class Created(NamedTuple):
    """`bhyvesim create`: what the guest touched when it booted."""

    name: str
    accessed: int
    mapped: int
    faults: tuple[FaultAt, ...]


class LostRun(NamedTuple):
    """Neighbouring pages that lost their entries though their memmap stayed."""

    gpa: int
    pages: int


class Rebooted(NamedTuple):
    """`bhyvesim reboot`: also the pages that lost their entries, and both page counts."""

    name: str
    accessed: int
    mapped: int
    faults: tuple[FaultAt, ...]
    lost: tuple[LostRun, ...]
    resident: int
    present: int


class DestroyedVm(NamedTuple):
    """What became of one VM; null where no kernel destroyed it."""

    name: str
    outcome: Outcome
    leaked: int | None


class AllDestroyed(NamedTuple):
    """`bhyvesim destroy`: one entry a VM; leaked counts page tables."""

    destroyed: tuple[DestroyedVm, ...]


def touched(access: Access, vm_run: str | None) -> Report:
    """Guest accesses: how many pages, how many entries, the first failure, and who sees it."""
    record = Touched(*access, vm_run)
    where = "" if record.gpa is None else f"{record.gpa:#x}"
    row = (str(record.ok), str(record.mapped), record.fault or "none", where, vm_run or "")
    columns = (
        Column("ACCESSED", True),
        Column("MAPPED", True),
        Column("FAULT"),
        Column("AT"),
        Column("VM_RUN"),
    )
    return Report(columns, (row,), record)


def held(hold: Held) -> Report:
    """A hold: its id, or why there is none."""
    record = HoldTaken(*hold)
    where = "" if record.gpa is None else f"{record.gpa:#x}"
    shown = "" if record.hold is None else str(record.hold)
    columns = (Column("HOLD", True), Column("FAULT"), Column("AT"))
    return Report(columns, ((shown, record.fault or "none", where),), record)


def booted(spec: VmSpec, result: life.Booted) -> Report:
    """What the guest touched when it started."""
    record = Created(spec.name, result.accessed, result.mapped, _faults(result))
    counts = (record.accessed, record.mapped, len(record.faults))
    return _counts(("NAME", "TOUCHED", "MAPPED", "FAULTS"), counts, record)


def rebooted(spec: VmSpec, result: life.Rebooted) -> Report:
    """Which pages were lost, and both page counts."""
    record = Rebooted(
        spec.name,
        result.booted.accessed,
        result.booted.mapped,
        _faults(result.booted),
        tuple(LostRun(*run) for run in result.lost),
        result.resident,
        result.present,
    )
    counts = (sum(run.pages for run in record.lost), record.resident, record.present)
    return _counts(("NAME", "LOST", "RESIDENT", "MAPPED"), counts, record)


def destroyed(outcomes: Sequence[Destroyed]) -> Report:
    """What became of each VM, and how many tables leaked."""
    record = AllDestroyed(tuple(DestroyedVm(o.name, _outcome(o), o.leaked) for o in outcomes))
    rows = tuple(
        (vm.name, vm.outcome, "" if vm.leaked is None else str(vm.leaked))
        for vm in record.destroyed
    )
    columns = (Column("NAME"), Column("OUTCOME", tone=verdict), Column("LEAKED", True))
    return Report(columns, rows, record)


def _outcome(outcome: Destroyed) -> str:
    if outcome.stopped is not None:
        return outcome.stopped.state
    return MachineState.DESTROYED.value if outcome.ended is None else FORGOTTEN


def _counts(names: tuple[str, ...], counts: tuple[int, ...], record: Created | Rebooted) -> Report:
    columns = (Column(names[0]), *(Column(name, right=True) for name in names[1:]))
    return Report(columns, ((record.name, *map(str, counts)),), record)


def _faults(result: life.Booted) -> tuple[FaultAt, ...]:
    return tuple(FaultAt(failure.gpa, failure.fault) for failure in result.failures)
