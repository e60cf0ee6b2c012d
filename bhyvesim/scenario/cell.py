"""One cell at work: its machine, and the steps that it goes through."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bhyvesim import limits
from bhyvesim.errors import KernelHang, KernelStop, NotModelled, NotRunning, Refused
from bhyvesim.kernel.calls import Listener
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.reservoir import Share
from bhyvesim.ops.operation import Operation, Recorder
from bhyvesim.scenario.compare import mismatch
from bhyvesim.scenario.deadline import TimeOver, deadline
from bhyvesim.scenario.model import (
    CellResult,
    Failure,
    Observed,
    Scenario,
    Step,
)
from bhyvesim.vm.host_memory import HostSpec
from bhyvesim.vm.life import new_machine, present_pages
from bhyvesim.vm.spec import VmSpec

if TYPE_CHECKING:
    from bhyvesim.vm.migration.plan import Plan
    from bhyvesim.vm.migration.rehearsal import Rehearsed


class Cell:
    """What a step works on; *listener* and *recorder* are told of its machine, if given.

    *host* is what is known of its host, if anything is.
    """

    def __init__(
        self,
        spec: VmSpec,
        listener: Listener | None = None,
        recorder: Recorder | None = None,
        host: HostSpec | None = None,
    ) -> None:
        self.spec = spec
        self.machine: Machine | None = None
        self._host = host
        self._listener = listener
        self._recorder = recorder

    def start(self) -> Machine:
        """From here on there is a machine, an empty one."""
        self.machine = new_machine(self.spec, self._recorder)
        if self._listener is not None:
            self.machine.listen(self._listener)
        if self._host is not None:
            self.machine.host = Share(self._host.memory(), self.spec.reservoir)
        return self.machine

    @property
    def running(self) -> Machine:
        """The machine; ENOENT before create."""
        if self.machine is None:
            raise NotRunning("ENOENT", "there is no machine before create")
        return self.machine

    def move(self, plan: Plan, gpt: str | None) -> Rehearsed:
        """The guest migrates: from here on the machine is where it arrived, of kernel *gpt*.

        Refused, it is where it was, and as it was.
        """
        from bhyvesim.vm.migration.memory import target_spec
        from bhyvesim.vm.migration.rehearsal import leaves_marks, rehearse

        spec = target_spec(self.spec, self.running, self.spec.name, gpt)
        done: list[Operation] = []  # first to the source, then to the target
        there: list[Operation] = []
        guest = self.running.fork()
        guest.recorder = done.append
        target = new_machine(spec, there.append)
        for machine in (guest, target):
            machine.listen(self._listener)
        try:
            came = rehearse(plan, guest, spec, target, arrived=self.spec.arrived)
        except KernelStop:
            self.machine = target if target.stop is not None else guest
            raise
        if self._recorder is not None:
            for operation in (*done, *there):
                self._recorder(operation)
        target.recorder = self._recorder
        self.machine = target
        self.spec = replace(spec, arrived=not leaves_marks(plan, target.revision))
        return came

    def present(self) -> int:
        """How many leaf entries are set."""
        return 0 if self.machine is None else present_pages(self.machine)


def run_cell(
    scenario: Scenario,
    cell_index: int,
    listener: Listener | None = None,
    recorder: Recorder | None = None,
    *,
    seconds: float = limits.SECONDS.most,
) -> CellResult:
    """Take one cell through its scenario; stops at the first step that is not as expected.

    It stops too at a step that is not over *seconds* after the first began. The result calls
    that scenario 0.
    """
    cell = Cell(scenario.cells[cell_index].vm, listener, recorder, scenario.host)
    walk = _Walk(cell, scenario.cells[cell_index].axes, scenario.steps[0])
    started = time.perf_counter()
    try:
        with deadline(seconds) as check:
            for step in scenario.steps:
                if walk.ends_at(step):
                    break
                check()
    except TimeOver:
        walk.ran_out(seconds)
    spent = time.perf_counter() - started
    return CellResult(0, cell_index, walk.outcome, walk.failure, walk.drift, spent)


class _Walk:
    """A cell's way through the steps, and what came of it so far."""

    def __init__(self, cell: Cell, axes: Mapping[str, str], first: Step) -> None:
        self.outcome = "ok"
        self.failure: Failure | None = None
        self.drift = 0
        self._cell = cell
        self._axes = axes
        self._step = first

    def ends_at(self, step: Step) -> bool:
        """Do *step*; whether nothing comes after it."""
        self._step = step
        try:
            observed = observe(step, self._cell)
        except NotModelled as error:
            self.outcome = self.outcome if self.outcome != "ok" else f"unknown at {step.name}"
            self.failure = Failure(
                step.label, step.place, error.expected, error.problem, unknown=True
            )
            return True
        self.outcome = outcome_after(self.outcome, step, observed)
        self.drift = self.drift if observed.drift is None else observed.drift
        wrong = mismatch(step.expectation(self._axes), observed, self._cell.machine)
        if wrong is not None:
            self.failure = Failure(step.label, step.place, *wrong)
        # After a stop that was expected, what follows was meant for the kernels that live.
        return wrong is not None or observed.stop is not None

    def ran_out(self, seconds: float) -> None:
        """The time was over during the last step, or just after it."""
        if self.failure is None:
            self.outcome = f"no end at {self._step.name}"
            expected = f"an end of the cell within {seconds:g} s"
            self.failure = Failure(self._step.label, self._step.place, expected, "none", True)


def observe(step: Step, cell: Cell) -> Observed:
    """Do *step*, and see what comes: refusals, panics and hangs too."""
    try:
        return step.action.run(cell)
    except KernelStop as stop:
        return Observed(stop=stop)
    except Refused as refused:
        return Observed(errno=refused.errno_name)


def outcome_after(before: str, step: Step, observed: Observed) -> str:
    """The most telling thing so far: a panic or hang, else lost pages, else a refusal."""
    if isinstance(observed.stop, KernelHang):
        return f"hang at {step.name}"
    if observed.stop is not None:
        return f"panic {observed.stop.letter} at {step.name}"
    if observed.lost:
        return f"lost pages at {step.name}"
    telling = ("create", "map", "alloc-memseg", "migrate")
    refused = observed.errno is not None and step.name in telling
    if refused and before == "ok":
        return f"refused {observed.errno} at {step.name}"
    return before
