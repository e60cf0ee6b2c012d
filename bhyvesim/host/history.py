"""The past of a VM: its events, any moment of its life, and the last event taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from bhyvesim.errors import Refused, UsageError
from bhyvesim.host.actions import Action, read_action
from bhyvesim.host.event import new_stamp
from bhyvesim.kernel.gpt.levels import LEAF_SHIFT
from bhyvesim.kernel.machine import Machine
from bhyvesim.store import lives
from bhyvesim.store.maps import decoding
from bhyvesim.store.rows import EventRow
from bhyvesim.store.store import LostRace, Store
from bhyvesim.units import shorten
from bhyvesim.vm.life import new_machine
from bhyvesim.vm.spec import VmSpec

# How to go through events: one by one, for one that waits perhaps with a word between them.
Through = Callable[[Sequence[EventRow]], Iterable[EventRow]]

_FORMS = "an event such as 2, a step of it such as 2.1, or -1 for before the last"


class Past(NamedTuple):
    """A machine as it was, and when that was, for people: ``event 2 step 1 (reinit)``."""

    spec: VmSpec
    machine: Machine
    state: str
    when: str


class Place(NamedTuple):
    """A moment of a life by its number, and what to call it."""

    seq: int
    when: str


class History:
    """The events of one VM, oldest first, and the machine after any of their steps.

    Events count from 1; those that were pruned are not there any more. Of a name that no VM
    has any more, it is the history of the last that had it.
    """

    def __init__(self, store: Store, name: str) -> None:
        """Raises Refused (ENOENT) where no VM ever had that name."""
        self.store = store
        self.name = name
        with store.reading() as transaction:
            life = transaction.last_life(name)
            if life is None:
                raise Refused("ENOENT", f"there is no VM named {name}, and none in the past")
            self.life = life
            self.events = transaction.events(name, life)
            oldest = transaction.first_moment(life)
        first = self.events[0].stages[0][1] if self.events else None
        # The moment before the oldest event: none where that created the VM.
        self._base = oldest if first is None or oldest is None or oldest < first else None
        self._base_number = self.events[0].number - 1 if self.events else 0

    def action(self, event: EventRow) -> Action:
        """What was asked of the VM."""
        with decoding(self.name):
            return read_action(json.loads(event.action))

    def result(self, event: EventRow) -> dict[str, Any]:
        """What it came to."""
        with decoding(self.name):
            return dict(json.loads(event.result))

    def find(self, when: str) -> Place:
        """What ``2`` (after event 2), ``2.1`` (after its first step), ``0`` (before event 1) or
        ``-1`` (before the last) stands for. Raises UsageError for anything else.
        """
        number, step = _numbers(when)
        if when.startswith("-"):
            number += self.last
        if number == self._base_number and self._base is not None and step is None:
            return Place(self._base, f"before event {number + 1}")
        event = next((event for event in self.events if event.number == number), None)
        if event is None:
            raise UsageError(f"--at {shorten(when)}: {self._there()}")
        if step is None:
            return self.after(event)
        if not 1 <= step <= len(event.stages):
            steps = ", ".join(f"{number}.{i} ({s})" for i, (s, _) in enumerate(event.stages, 1))
            raise UsageError(f"--at {shorten(when)} is no step: expected one of {steps}")
        return self.step(event, step)

    def step(self, event: EventRow, step: int) -> Place:
        """The moment after the *step*-th step of *event*, counted from 1."""
        stage, seq = event.stages[step - 1]
        return Place(seq, f"event {event.number} step {step} ({stage})")

    def after(self, event: EventRow) -> Place:
        """The moment after *event*."""
        return Place(event.stages[-1][1], f"after event {event.number}")

    def before(self, event: EventRow) -> Place | None:
        """The moment before *event*; None where there was no VM yet."""
        when = f"before event {event.number}"
        earlier = [other for other in self.events if other.number < event.number]
        if earlier:
            return Place(earlier[-1].stages[-1][1], when)
        return None if self._base is None else Place(self._base, when)

    def past(self, place: Place) -> Past:
        """The machine at that moment."""
        with self.store.reading() as transaction:
            moment, text = transaction.moment(self.name, self.life, place.seq)
            stored = lives.load_moment(transaction, self.name, self.life, place.seq, moment, text)
        return Past(stored.spec, stored.machine, moment.state, place.when)

    def past_before(self, event: EventRow) -> Past:
        """The machine before *event*; where there was none, one of its kind with nothing in it."""
        place = self.before(event)
        if place is not None:
            return self.past(place)
        spec = self.past(self.after(event)).spec
        return Past(spec, new_machine(spec), "none", f"before event {event.number}")

    def newest(self) -> Past:
        """The machine as the last event left it; before it was destroyed, if it was."""
        last = self.past(self.after(self.events[-1]) if self.events else self.find("0"))
        if last.state == "destroyed":
            return self.past_before(self.events[-1])
        return last

    def cuts(self, gpa: int) -> list[int]:
        """The moments, newest first, with which the tables around *gpa* may have changed."""
        with self.store.reading() as transaction:
            return transaction.cuts(self.life, gpa >> LEAF_SHIFT)

    def undo(self) -> EventRow:
        """Take the last event back, and its crash dump; the event.

        A VM that it created is gone then, one that it destroyed is back. Raises Refused where
        there is no event, LostRace where another came meanwhile.
        """
        if not self.events:
            raise Refused("ENOENT", f"{self.name} has no event that could be taken back")
        last = self.events[-1]
        before = self.before(last)
        with self.store.writing() as transaction:
            alone = transaction.last_life(self.name) == self.life
            if not alone or transaction.last_event(self.life) != last.number:
                raise LostRace(self.name)
            transaction.take_back(last, None if before is None else before.seq)
            if before is None:
                transaction.remove(self.name)
            else:
                transaction.point(self.name, self.life, before.seq, new_stamp())
        return last

    def prune(self, keep: int) -> int:
        """Forget all events but the last *keep*; how many those were."""
        with self.store.writing() as transaction:
            return transaction.prune(self.life, keep)

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.events[-1].number if self.events else self._base_number

    def _there(self) -> str:
        """Which moments there are."""
        first = self._base_number + (self._base is None)
        if not self.events:
            return f"{self.name} has no events yet: expected {first}"
        if self._base is None:
            return f"there was no VM before event {first}: expected {first} to {self.last}"
        return f"expected {first} (before the oldest event that is kept) to {self.last}"


def _numbers(when: str) -> tuple[int, int | None]:
    number, dot, step = when.partition(".")
    for digits in (number.removeprefix("-"), step) if dot else (number.removeprefix("-"),):
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
            raise UsageError(f"--at {shorten(when)} is no moment: expected {_FORMS}")
    if dot and number.startswith("-"):
        raise UsageError(f"--at {shorten(when)} is no moment: expected {_FORMS}")
    return int(number), int(step) if dot else None
