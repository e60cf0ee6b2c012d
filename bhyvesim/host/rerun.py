"""Events done again: to hear what the kernel did in them, or on other kernels than theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import zip_longest
from typing import NamedTuple

from bhyvesim.errors import Frame, KernelStop, Refused, UsageError
from bhyvesim.host.actions import Action, Create
from bhyvesim.host.history import History, Through
from bhyvesim.kernel.calls import Firing
from bhyvesim.kernel.look.changes import Changes, changes
from bhyvesim.kernel.machine import Machine
from bhyvesim.ops.operation import Recorder
from bhyvesim.store.rows import EventRow
from bhyvesim.units import PAGE_SHIFT
from bhyvesim.vm.life import new_machine
from bhyvesim.vm.spec import VmSpec


class Cause(NamedTuple):
    """One change of the entry or the leaf table of an address, and who made it.

    ``step`` counts from 1. ``culprit`` is the function in which it came, ``callers`` those
    that led there, innermost first. ``before`` and ``after`` are the entry; ``table``: whether
    there was a leaf table before, and after. ``alike`` neighbouring calls did the same.
    """

    event: EventRow
    step: int
    culprit: Frame
    callers: tuple[Frame, ...]
    before: int
    after: int
    table: tuple[bool, bool]
    alike: int

    @property
    def stage(self) -> str:
        return self.event.stages[self.step - 1][0]

    @property
    def asked(self) -> Frame | None:
        """The outermost function that was asked for a range of addresses."""
        ranged = [f for f in (self.culprit, *self.callers) if {"end", "len"} & set(f.names)]
        return ranged[-1] if ranged else None

    def called(self, function: str) -> bool:
        """Whether *function* was under way."""
        return any(frame.function == function for frame in (self.culprit, *self.callers))


def causes(history: History, gpa: int, through: Through = iter) -> Iterator[Cause]:
    """Every change of the entry of *gpa*, newest first, as far back as events are kept.

    Goes *through* the events.
    """
    cuts = set(history.cuts(gpa))
    for event in through(history.events[::-1]):
        if cuts.isdisjoint(seq for _, seq in event.stages):
            continue
        yield from reversed(_heard(history, event, gpa))


def _heard(history: History, event: EventRow, gpa: int) -> list[Cause]:
    """The changes in *event*, in their order, by doing it again."""
    past = history.past_before(event)
    action = history.action(event)
    watch = _Watch(past.machine, gpa, event)
    if not action.again:
        watch.became(history.past(history.after(event)).machine, action.word)
        return watch.found
    past.machine.listen(watch)
    try:
        action.run(past.machine, past.spec, watch.done)
    except KernelStop as stop:
        watch.stopped(stop)
    except Refused:
        pass
    return watch.found


class _Watch:
    """Looks at one entry whenever a function is entered or returns."""

    def __init__(self, machine: Machine, gpa: int, event: EventRow) -> None:
        self.found: list[Cause] = []
        self._gpt = machine.space.gpt
        self._page = gpa >> PAGE_SHIFT
        self._event = event
        self._step = 1
        self._last = self._now()
        self._times = 1

    def __call__(self, firing: Firing) -> None:
        callers = tuple(reversed(firing.stack))
        if firing.returned:
            self._look(firing.frame, callers, firing.times)
        elif callers:
            self._look(callers[0], callers[1:], self._times)
        self._times = firing.times

    def done(self, stage: str) -> None:
        """A stage is over; what is left to see was done by nobody who could be heard."""
        self._look(Frame(stage), (), 1)
        self._step += 1

    def became(self, machine: Machine, word: str) -> None:
        """*machine* is what became of it, by *word*: nobody could be heard."""
        self._gpt = machine.space.gpt
        self._look(Frame(word), (), 1)

    def stopped(self, stop: KernelStop) -> None:
        """The kernel goes no further than the calls of *stop*."""
        self._look(stop.stack[0], stop.stack[1:], 1)

    def _look(self, culprit: Frame, callers: tuple[Frame, ...], times: int) -> None:
        now = self._now()
        if now == self._last:
            return
        (had, before), (has, after) = self._last, now
        self._last = now
        step = min(self._step, len(self._event.stages))
        self.found.append(
            Cause(self._event, step, culprit, callers, before, after, (had, has), times)
        )

    def _now(self) -> tuple[bool, int]:
        return self._gpt.has_leaf(self._page << PAGE_SHIFT), self._gpt.entry(self._page)


def retell(history: History, recorder: Recorder) -> bool:
    """Do all events again, so that *recorder* hears of every operation since the create.

    False, and nothing is done, where the beginning is not kept.
    """
    if not _begins(history):
        return False
    machine = new_machine(history.past_before(history.events[0]).spec, recorder)
    for event in history.events:
        with suppress(KernelStop, Refused):
            spec = history.past_before(event).spec
            history.action(event).run(machine, spec, lambda stage: None)
    return True


def _begins(history: History) -> bool:
    """Whether the beginning of the VM's life is kept, and can be done again."""
    first = history.events[0] if history.events else None
    return first is not None and history.before(first) is None and history.action(first).again


class Compared(NamedTuple):
    """One step on two kernels: what differs after it, and how each ended, if it did there.

    An end is a panic, a hang or a refusal, in words; after one there is nothing to compare.
    """

    name: str
    changes: Changes | None
    ends: tuple[str | None, str | None]

    @property
    def differs(self) -> bool:
        differs = self.changes is not None and self.changes.any
        return differs or self.ends[0] != self.ends[1]


def on_two_kernels(
    history: History, one: str, other: str, through: Through = iter
) -> list[Compared]:
    """The VM's events on the kernels *one* and *other*, step by step; goes *through* them.

    Raises UsageError where the beginning of its history is not there.
    """
    if not _begins(history):
        raise UsageError(f"{history.name}'s history does not begin with its create: expected that")
    worlds = _World(one), _World(other)
    steps: list[Compared] = []
    for event in through(history.events):
        action = history.action(event)
        spec = history.past_before(event).spec
        went = [list(world.through(action, spec)) for world in worlds]
        for i, (ours, theirs) in enumerate(zip_longest(*went), start=1):
            steps.append(_compared(f"event {event.number} step {i}", ours, theirs))
        if any(world.machine is None for world in worlds):
            break
    return steps


class _Stage(NamedTuple):
    """A stage of an event on one kernel: the machine after it, or how that ended."""

    name: str
    machine: Machine
    end: str | None


class _World:
    """The VM on one kernel; no machine is left when it has panicked, hung or is destroyed."""

    def __init__(self, gpt: str) -> None:
        self._gpt = gpt
        self.machine: Machine | None = None

    def through(self, action: Action, spec: VmSpec) -> Iterator[_Stage]:
        """The stages of *action*."""
        spec = spec.but(kernel=spec.kernel.but(gpt=self._gpt, digest=""))
        if isinstance(action, Create):
            self.machine = new_machine(spec)
        machine = self.machine
        if machine is None:
            return
        stages: list[_Stage] = []
        try:
            action.run(machine, spec, lambda stage: stages.append(self._stage(stage, None)))
        except KernelStop as stop:
            word = f"panics ({stop.letter})" if stop.letter else "hangs"
            stages.append(self._stage(action.stages[len(stages)], f"{word}: {stop.message}"))
            self.machine = None
        except Refused as refused:
            stages.append(self._stage(action.stages[len(stages)], f"refuses: {refused}"))
        if machine.state.value == "destroyed":
            self.machine = None
        yield from stages

    def _stage(self, name: str, end: str | None) -> _Stage:
        assert self.machine is not None
        return _Stage(name, self.machine.fork(), end)


def _compared(name: str, ours: _Stage | None, theirs: _Stage | None) -> Compared:
    there = ours or theirs
    assert there is not None
    name = f"{name} ({there.name})"
    ends = tuple(None if stage is None else stage.end for stage in (ours, theirs))
    if ours is None or theirs is None:
        return Compared(name, None, (ends[0], ends[1]))
    found = changes(ours.machine, theirs.machine)
    kept = [counter for counter in found.counters if counter.name != "revision"]
    return Compared(name, found._replace(counters=kept), (ends[0], ends[1]))
