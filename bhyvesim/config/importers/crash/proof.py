"""The guest of a crash, run through its life on every kernel; and that life as a scenario."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from bhyvesim.config.importers.crash.cause import Known
from bhyvesim.config.importers.crash.reader import Crash
from bhyvesim.config.importers.draft import Draft
from bhyvesim.config.vm import load
from bhyvesim.errors import KernelHang
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.ops.ioctls import Access, Hold, MunmapMemseg
from bhyvesim.prot import READ
from bhyvesim.scenario.cell import Cell, observe, outcome_after
from bhyvesim.scenario.model import Observed, Scenario, Step
from bhyvesim.scenario.steps import Do, Unmap
from bhyvesim.scenario.verdict import KernelChoice, life_on
from bhyvesim.units import PAGE_SIZE
from bhyvesim.vm.spec import VmSpec


class Life(NamedTuple):
    """What came of each step on one kernel, to the one where it stopped; and in a word."""

    kernel: KernelChoice
    steps: tuple[Observed, ...]
    outcome: str

    @property
    def letter(self) -> str | None:
        """Of the panic or hang (empty) that it came to; None without."""
        stop = self.steps[-1].stop
        if stop is None:
            return None
        return "" if isinstance(stop, KernelHang) else stop.letter


class Proof(NamedTuple):
    """The steps, and the lives of one VM on all kernels, oldest first, DEBUG before production.

    ``intel``: those on Intel hosts, where nothing tells the processor and ``lives`` are on AMD.
    """

    steps: tuple[Step, ...]
    lives: tuple[Life, ...]
    intel: tuple[Life, ...] = ()

    def reproduced(self, known: Known) -> tuple[str, ...]:
        """Those of the revisions that were meant on which the model comes to the same stop."""
        came = {
            life.kernel.gpt
            for life in (*self.lives, *self.intel)
            if life.letter == known.stop.letter
        }
        return tuple(name for name in known.revisions if name in came)

    def only_on_intel(self, known: Known) -> bool:
        """Whether the model comes to the same stop, and on Intel hosts alone."""
        on_amd = Proof(self.steps, self.lives).reproduced(known)
        return not on_amd and bool(self.reproduced(known))

    def safe(self) -> tuple[str, ...]:
        """The revisions on which neither build comes to harm."""
        harmed = {life.kernel.gpt for life in (*self.lives, *self.intel) if life.outcome != "ok"}
        return tuple(name for name in REVISIONS if name not in harmed)


def prove(draft: Draft, known: Known, crash: Crash) -> Proof:
    """Run the VM of *draft* on every kernel, the way in which *known* comes about."""
    text = draft.text()
    steps, lives = _lives(text, draft.source, known, crash)
    intel: tuple[Life, ...] = ()
    if not draft.cpu:
        _, intel = _lives(f"{text}cpu: intel\n", draft.source, known, crash)
    return Proof(steps, lives, intel)


def _lives(
    text: str, source: str, known: Known, crash: Crash
) -> tuple[tuple[Step, ...], tuple[Life, ...]]:
    spec = load(text, f"the description of {source}")
    kernels = [KernelChoice(name, debug) for name in REVISIONS for debug in (True, False)]
    scenario = life_on(kernels, spec, source)
    scenario = replace(scenario, steps=_way(scenario.steps, known, crash, spec))
    lives = [_live(scenario, index, kernel) for index, kernel in enumerate(kernels)]
    return scenario.steps, tuple(lives)


def _way(steps: tuple[Step, ...], known: Known, crash: Crash, spec: VmSpec) -> tuple[Step, ...]:
    """The steps of a life, those that led to the crash before others can end it."""
    if not known.stop.letter:
        return _unmapped_while_held(steps[0], spec)
    if known.stop.letter == "B" and steps[-1].name == "device access":
        return (*steps[-2:], *steps[1:-2])
    if any(frame.function == "vm_destroy" for frame in crash.frames):
        destroy = next(step for step in steps if step.name == "destroy")
        return (steps[0], destroy, *steps)
    return steps


def _unmapped_while_held(create: Step, spec: VmSpec) -> tuple[Step, ...]:
    """The way into the hang: a page of a memmap is held while that is unmapped."""
    first = spec.mappings[0]
    hold = replace(create, name="hold", label="hold", action=Do(Hold(first.gpa, READ)))
    unmap = Unmap(MunmapMemseg(first.gpa, first.length))
    return create, hold, replace(create, name="unmap", label="unmap", action=unmap)


def _live(scenario: Scenario, index: int, kernel: KernelChoice) -> Life:
    cell = Cell(scenario.cells[index].vm)
    seen: list[Observed] = []
    outcome = "ok"
    for step in scenario.steps:
        seen.append(observe(step, cell))
        outcome = outcome_after(outcome, step, seen[-1])
        if seen[-1].stop is not None:
            break
    return Life(kernel, tuple(seen), outcome)


def scenario_text(draft: Draft, known: Known, proof: Proof, told: Sequence[str]) -> str:
    """A scenario over all revisions, DEBUG, that passes: it expects what came when it was run."""
    vm = [line for line in draft.text().splitlines() if not line.startswith("#")]
    lines = [
        *(f"# {line}" for line in told),
        f"title: {json.dumps(f'{known.stop.name}, read from a crash')}",
        "vm:",
        *(f"  {line}" for line in vm),
        "matrix:",
        "  gpt: all",
        "  debug: [true]",
        "steps:",
    ]
    for number, step in enumerate(proof.steps):
        lines += _step(number, step, proof.lives)
    return "\n".join(lines) + "\n"


def _step(number: int, step: Step, lives: Sequence[Life]) -> Iterator[str]:
    came: dict[str, list[str]] = {}
    for life in lives:
        if life.kernel.debug and number < len(life.steps):
            expected = _expected(life.steps[number])
            if expected:
                came.setdefault(expected, []).append(life.kernel.gpt)
    head = _HEADS[step.name](step)
    if not came:
        yield f"  - {head}"
        return
    yield f"  - {head}" if ":" in head else f"  - {head}:"
    yield "    expect:"
    for expected, revisions in came.items():
        yield f"      - {{when: {{gpt: {json.dumps(revisions)}}}, {expected}}}"


def _expected(seen: Observed) -> str:
    if isinstance(seen.stop, KernelHang):
        return f"hang: {seen.stop.function}"
    if seen.stop is not None:
        known = seen.stop.letter != "?"
        return f"panic: {seen.stop.letter if known else json.dumps(seen.stop.message)}"
    for key, value in (("errno", seen.errno), ("fault", seen.fault), ("lost", seen.lost)):
        if value:
            return f"{key}: {value}"
    return ""


def _touch(step: Step) -> str:
    assert isinstance(step.action, Do)
    access = step.action.operation
    assert isinstance(access, Access)
    return (
        f"touch: {{gpa: {access.gpa:#x}, len: {access.npages * PAGE_SIZE}, access: r, by: device}}"
    )


def _hold(step: Step) -> str:
    assert isinstance(step.action, Do)
    assert isinstance(step.action.operation, Hold)
    return f"hold: {{gpa: {step.action.operation.gpa:#x}, access: r}}"


def _unmap(step: Step) -> str:
    assert isinstance(step.action, Unmap)
    assert isinstance(step.action.operation, MunmapMemseg)
    operation = step.action.operation
    return f"unmap: {{gpa: {operation.gpa:#x}, len: {operation.length}}}"


_HEADS = {
    "create": lambda _: "create",
    "reboot": lambda _: "reboot",
    "destroy": lambda _: "destroy",
    "device access": _touch,
    "hold": _hold,
    "unmap": _unmap,
}
