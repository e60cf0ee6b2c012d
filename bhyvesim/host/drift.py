"""When the kernel's page counter parted from the pages that are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bhyvesim.host.history import History, Through
from bhyvesim.kernel.gpt.diff import gone
from bhyvesim.kernel.gpt.windows import Leaves, entries_set
from bhyvesim.kernel.machine import Machine
from bhyvesim.units import PAGE_SHIFT
from bhyvesim.vm.life import not_freed


class Drift(NamedTuple):
    """One step after which counter and pages are further apart, or nearer, by ``pages``.

    ``unmapped`` pages lost their entries in it, the counter fell by ``fell`` (negative: rose);
    ``lost`` are those of them whose memmap stayed, as ``(gpa, pages)``.
    """

    event: int
    step: int
    stage: str
    pages: int
    unmapped: int
    fell: int
    lost: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        where = f"event {self.event} step {self.step} ({self.stage})"
        moved = f"fell by {self.fell}" if self.fell >= 0 else f"rose by {-self.fell}"
        lost = ", ".join(f"{_pages(pages)} at {gpa:#x}" for gpa, pages in self.lost)
        of = f"; of memmaps that stayed: {lost}" if lost else ""
        return f"{where}: {_pages(self.unmapped)} lost their entries, the counter {moved}{of}"


def drifts(history: History, until: int | None = None, through: Through = iter) -> Iterator[Drift]:
    """The steps at which the counter drifted, oldest first, up to moment *until*.

    Goes *through* the events.
    """
    before: _Look | None = None
    for event in through(history.events):
        if before is None:
            before = _Look(history.past_before(event).machine)
        for step, (stage, seq) in enumerate(event.stages, start=1):
            if until is not None and seq > until:
                return
            after = _Look(history.past(history.step(event, step)).machine)
            if after.drift != before.drift:
                yield _drift(event.number, step, stage, before, after)
            before = after


class _Look:
    """What is to be known of a machine at one moment; its windows are read when they matter."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.leaves: Leaves = machine.space.gpt.leaves
        self.resident = machine.resident
        self.drift = machine.resident - entries_set(self.leaves)


def _drift(event: int, step: int, stage: str, before: _Look, after: _Look) -> Drift:
    runs = gone(before.leaves, after.leaves)
    freed = after.machine.freed_by(before.machine.slots)
    return Drift(
        event,
        step,
        stage,
        after.drift - before.drift,
        sum(end - start for start, end in runs) >> PAGE_SHIFT,
        before.resident - after.resident,
        tuple(not_freed(runs, freed)),
    )


def _pages(count: int) -> str:
    return f"{count} page{'s' * (count != 1)}"
