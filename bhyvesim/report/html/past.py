"""What became of a VM step by step, and on which steps two kernels part; bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from bhyvesim.errors import UsageError
from bhyvesim.host.history import History, Through
from bhyvesim.host.rerun import Compared, on_two_kernels
from bhyvesim.kernel.look.changes import Changes, changes
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.pte.format import PteFormat
from bhyvesim.report.diff import difference_lines, recorded
from bhyvesim.report.html.drawing import changed
from bhyvesim.store.rows import EventRow

MAX_STEPS = 60
MAX_RERUN = 200  # events that are done again on two kernels
MAX_PARTINGS = 12  # steps that differ, told one by one
_MAX_ROWS = 15  # of one kind of change in a step
GOES_ON = "goes on"
NOT_REACHED = "does not get here"
_SAME = (("the same differs as before",), 0)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an event: what was asked, what it came to, and *lines* of what it changed.

    *key* is what ``--at`` calls it; *more* rows were left out of *lines*; *drawn* are the runs
    for the map. *action* and *result* are those of the whole event.
    """

    key: str
    word: str
    stage: str
    time_ns: int
    action: dict[str, Any]
    result: dict[str, Any]
    state: str
    lines: tuple[str, ...]
    more: int
    drawn: tuple[tuple[int, int, str, str], ...]


@dataclass(frozen=True, slots=True)
class Past:
    """The last steps of a VM, oldest first; *earlier* events are not among them."""

    steps: tuple[Step, ...]
    earlier: int


@dataclass(frozen=True, slots=True)
class Parting:
    """One step on both kernels: how it went there, and what differs after it.

    *word* is alike or differs; empty where one of the two did not get there.
    """

    step: str
    word: str
    ends: tuple[str, str]
    lines: tuple[str, ...]
    more: int


@dataclass(frozen=True, slots=True)
class TwoKernels:
    """The VM's events on two kernels; of those that differ, the first ones only."""

    kernels: tuple[str, str]
    steps: tuple[Parting, ...]
    more: int


def past_of(history: History, until: int | None = None, through: Through = iter) -> Past:
    """The steps of *history* up to moment *until*, each with what it changed.

    Goes *through* the events.
    """
    events = [event for event in history.events if until is None or _begins(event) <= until]
    kept = _last_events(events)
    steps = islice(_steps(history, through(kept), until), MAX_STEPS)
    return Past(tuple(steps), len(events) - len(kept))


def _begins(event: EventRow) -> int:
    return event.stages[0][1]


def _last_events(events: Sequence[EventRow]) -> list[EventRow]:
    """As many of the last as have not too many steps; the last in any case."""
    kept: list[EventRow] = []
    steps = 0
    for event in reversed(events):
        steps += len(event.stages)
        if kept and steps > MAX_STEPS:
            break
        kept.append(event)
    return kept[::-1]


def _steps(history: History, events: Iterable[EventRow], until: int | None) -> Iterator[Step]:
    before: Machine | None = None
    for event in events:
        if before is None:
            before = history.past_before(event).machine
        word, action, result = _asked(history, event)
        for number, (stage, seq) in enumerate(event.stages, start=1):
            if until is not None and seq > until:
                return
            past = history.past(history.step(event, number))
            found = changes(before, past.machine)
            lines, more = told(found, past.machine.npt)
            drawn = tuple(changed(found))
            key = f"{event.number}.{number}"
            yield Step(
                key, word, stage, event.time_ns, action, result, past.state, lines, more, drawn
            )
            before = past.machine


def _asked(history: History, event: EventRow) -> tuple[str, dict[str, Any], dict[str, Any]]:
    action = history.action(event)
    record = {key: value for key, value in action.record().items() if key != "action"}
    return action.word, record, history.result(event)


def told(found: Changes, npt: PteFormat) -> tuple[tuple[str, ...], int]:
    """*found* as lines, the first rows of each kind; and how many rows were left out."""
    short = found._replace(
        nodes=_first(found.nodes),
        leaves=_first(found.leaves),
        entries=_first(found.entries),
        memory=_first(found.memory),
    )
    lines = list(difference_lines(recorded("before", "after", short), npt, None))
    more = sum(
        max(0, len(rows) - _MAX_ROWS)
        for rows in (found.nodes, found.leaves, found.entries, found.memory)
    )
    return tuple(lines[2:]) if found.any else (), more


def _first(rows: list[T]) -> list[T]:
    return rows[:_MAX_ROWS]


def two_kernels(
    history: History, one: str, other: str, npt: PteFormat, through: Through = iter
) -> TwoKernels:
    """The VM's events on *one* and *other*; goes *through* them.

    Raises UsageError where they cannot be done again from the beginning.
    """
    if len(history.events) > MAX_RERUN:
        raise UsageError(f"{history.name} has more than {MAX_RERUN} events: expected fewer")
    compared = on_two_kernels(history, one, other, through)
    differing = [step for step in compared if step.differs]
    last = differing[:MAX_PARTINGS][-1:]
    kept = compared[: compared.index(last[0]) + 1] if len(differing) > MAX_PARTINGS else compared
    steps = tuple(_partings(kept[:MAX_STEPS], npt))
    return TwoKernels((one, other), steps, len(compared) - len(steps))


def _partings(steps: Sequence[Compared], npt: PteFormat) -> Iterator[Parting]:
    before: Changes | None = None
    gone = ["", ""]
    for step in steps:
        lines: tuple[str, ...] = ()
        more = 0
        if step.changes is not None and step.changes.any:
            lines, more = _SAME if step.changes == before else told(step.changes, npt)
        word = "" if any(gone) else "differs" if step.differs else "alike"
        ends = [end or there or GOES_ON for end, there in zip(step.ends, gone, strict=True)]
        yield Parting(step.name, word, (ends[0], ends[1]), lines, more)
        gone = [_gone(end, there) for end, there in zip(step.ends, gone, strict=True)]
        before = step.changes


def _gone(end: str | None, before: str) -> str:
    """What is to be said of a kernel's later steps."""
    return NOT_REACHED if end is not None and not end.startswith("refuses") else before
