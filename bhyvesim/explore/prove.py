"""Going through everything within a bound, and looking after each operation.

What goes right is recognised fast, and by nothing but comparison with what was looked at in
full before: the part of the tables that an operation touched must look, with the memmaps over
it, exactly as in a state that fsck found to be in order, and the rest must be as it was. What
is not recognised is looked at in full. States are hashed, so that what follows from one is
gone through once, whatever led there.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any, NamedTuple

from bhyvesim.errors import KernelStop, Refused
from bhyvesim.explore.bound import (
    Bound,
    Shape,
    create,
    mapped,
    memmap,
    middles,
    ranges,
    segments,
    size_of,
)
from bhyvesim.explore.causes import Before, Cause, before, broken, judged, stopped
from bhyvesim.kernel.gpt.leaf import EMPTY, Leaf, present
from bhyvesim.kernel.gpt.levels import ENTRIES, ENTRY_BITS, LEAF_SHIFT
from bhyvesim.kernel.gpt.windows import entries_set
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import Memmap
from bhyvesim.ops.ioctls import Destroy, MunmapMemseg, Reinit
from bhyvesim.ops.operation import Operation
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT

Causes = tuple[Cause, ...]
One = tuple[int, int, bool]  # of a shape
Runs = list[tuple[int, int, Leaf | None]]  # all of a table's leaves, neighbours alike in one


class Task(NamedTuple):
    """The shapes of *maps* memmaps whose second (or only) one is *beginning*.

    What follows a reinit does not depend on the first memmap: so it is met again and again
    within a task.
    """

    bound: Bound
    gpt: str
    debug: bool
    npt: str
    maps: int
    beginning: One


class Proved(NamedTuple):
    """What came of a task: how much was gone through, and what fails.

    A life is a sequence from create to destroy, of which a shape has several; *lives* counts
    those that share beginnings and ends as if each had been run. *states* are hashes of distinct
    states; *failing*: by cause, how many shapes, and the smallest of them.
    """

    lives: int
    shapes: int
    generated: int
    depth: int
    states: frozenset[bytes]
    failing: dict[Cause, tuple[int, Shape]]
    drifting: int  # shapes after which the page counter is wrong


def prove(task: Task) -> Proved:
    """Go through the shapes of *task*."""
    return _Prover(task).all()


class _Prover:
    def __init__(self, task: Task) -> None:
        self._bound = task.bound
        self._task = task
        self._ranges = ranges(task.bound)
        self._wireds = (False, True) if task.bound.wired else (False,)
        self._in_order = _in_order(task.bound, task.gpt, task.debug, task.npt)
        self._after: dict[bytes, tuple[Causes, bool]] = {}  # what follows from a state
        self._states: set[bytes] = set()
        self._failing: dict[Cause, tuple[int, Shape]] = {}
        self._lives = self._shapes = self._generated = self._depth = self._drifting = 0

    def all(self) -> Proved:
        task = self._task
        machine = create(self._bound, task.gpt, debug=task.debug, npt=task.npt).machine()
        for segment in segments(self._bound):
            segment.perform(machine)
        if task.maps == 1:
            self._go_on(machine, _runs(machine), (), task.beginning)
        else:
            for first in self._free(()):
                if _apart(first, task.beginning):
                    self._with_first(machine, first)
        return Proved(
            self._lives,
            self._shapes,
            self._generated,
            self._depth,
            frozenset(self._states),
            self._failing,
            self._drifting,
        )

    def _with_first(self, machine: Machine, first: One) -> None:
        """The shapes with this first memmap; where it fails alone, so do they all."""
        forked = machine.fork()
        failed = self._map(forked, _runs(machine), (), first)
        if failed:
            self._fail_all((first, self._task.beginning), failed)
        else:
            self._go_on(forked, _runs(forked), (first,), self._task.beginning)

    def _go_on(self, machine: Machine, was: Runs, shape: Shape, new: One) -> None:
        """The shapes that begin with *shape*, of which *machine* is, and a memmap *new*."""
        now = (*shape, new)
        forked = machine.fork()
        failed = self._map(forked, was, shape, new)
        if failed:
            self._fail_all(now, failed)
        elif len(now) == self._task.maps:
            self._live(forked, now)
        else:
            runs = _runs(forked)
            for following in self._free(now):
                self._go_on(forked, runs, now, following)

    def _free(self, shape: Shape) -> Iterator[One]:
        """The memmaps that there may be beside those of *shape*."""
        for start, end in self._ranges:
            if all(end <= s or e <= start for s, e, _ in shape):
                for wired in self._wireds:
                    yield start, end, wired

    def _map(self, machine: Machine, was: Runs, shape: Shape, new: One) -> Causes:
        """Make the memmap *new*, and touch its ends; what goes wrong."""
        leaves = machine.space.gpt.leaves.copy()
        slots = machine.slots[:]
        m = memmap(self._bound, len(shape), *new)
        self._generated += 3
        came: Any = None
        try:
            for operation in mapped(m):
                came = operation.perform(machine)
                if came is not None and came.fault is not None:
                    return self._judged(machine, operation, Before(leaves, slots, None), came)
        except KernelStop as stop:
            return (stopped(stop),)
        if self._calm(machine, was, _runs(machine), m.span, freed=None):
            return ()
        return self._judged(machine, operation, Before(leaves, slots, None), came)

    def _live(self, machine: Machine, shape: Shape) -> None:
        """The lives of *shape*, whose memmaps are all there."""
        maps = [m for m in machine.slots if m is not None]
        found: set[Cause] = set()
        drifted = False
        variants = middles(self._bound, maps)
        for middle in variants:
            forked = machine if len(variants) == 1 else machine.fork()
            failed = self._middle(forked, middle)
            if not failed:
                runs = _runs(forked)
                self._seen(forked, runs)
                failed, drifts = self._end(forked, runs, Reinit(), maps)
                drifted |= drifts
            found.update(failed)
        self._shapes += 1
        self._lives += len(shape) * len(variants)
        self._drifting += drifted
        self._depth = max(self._depth, 4 * len(shape) + max(map(len, variants)) + 1)
        self._fail(shape, found)

    def _middle(self, machine: Machine, operations: Sequence[Operation]) -> Causes:
        for operation in operations:
            self._generated += 1
            was = before(machine, operation)
            try:
                came: Any = operation.perform(machine)
            except KernelStop as stop:
                return (stopped(stop),)
            except Refused as refused:
                came = refused
            failed = self._judged(machine, operation, was, came)
            if failed:
                return failed
        return ()

    def _end(
        self, machine: Machine, was: Runs, operation: Operation, maps: Sequence[Memmap]
    ) -> tuple[Causes, bool]:
        """What goes wrong from *operation* on, and whether the page counter is wrong then.

        *was* are the leaves before it, *maps* the memmaps; the first of them goes with *operation*.
        """
        leaves = machine.space.gpt.leaves.copy()
        slots = machine.slots[:]
        self._generated += 1
        try:
            came = operation.perform(machine)
        except KernelStop as stop:
            return (stopped(stop),), False
        now = _runs(machine)
        if not self._calm(machine, was, now, maps[0].span, freed=maps[0].span):
            failed = self._judged(machine, operation, Before(leaves, slots, None), came)
            if failed:
                return failed, False
        key = self._seen(machine, now)
        known = self._after.get(key)
        if known is None:
            known = self._after[key] = self._rest(machine, now, maps[1:])
        return known

    def _rest(self, machine: Machine, runs: Runs, maps: Sequence[Memmap]) -> tuple[Causes, bool]:
        """What follows: destroy; and munmap of the next, and so on."""
        drifts = machine.resident != entries_set(machine.space.gpt.leaves)
        failed = list(self._destroyed(machine.fork()))
        if maps:
            m = maps[0]
            more, drift = self._end(machine, runs, MunmapMemseg(m.gpa, m.length), maps)
            failed += [cause for cause in more if cause not in failed]
            drifts |= drift
        return tuple(failed), drifts

    def _destroyed(self, machine: Machine) -> Causes:
        self._generated += 1
        was = Before(machine.space.gpt.leaves.copy(), machine.slots[:], None)
        try:
            leaked = machine.destroy()
        except KernelStop as stop:
            return (stopped(stop),)
        return tuple(judged(machine, Destroy(), was, leaked, fresh=False)[:1])

    def _calm(self, machine: Machine, was: Runs, now: Runs, span: Span, freed: Span | None) -> bool:
        """Whether what changed looks as it did when all was well; no entry but *freed* is gone."""
        gpt = machine.space.gpt
        if gpt.twins or (self._bound.drift and machine.resident != entries_set(gpt.leaves)):
            return False
        lo, hi = span.start >> LEAF_SHIFT, (span.end - 1 >> LEAF_SHIFT) + 1
        one, other = _differing(was, now)
        if one:
            if _any_gone(one, other, freed):
                return False
            lo, hi = min(lo, one[0][0]), max(hi, one[-1][1])
        part = (
            tuple(gpt.leaves.runs(lo, hi)),
            tuple(
                (max(m.first, lo << ENTRY_BITS), min(m.end, hi << ENTRY_BITS), m.backing.cls)
                for m in machine.space.mappings
                if m.first < hi << ENTRY_BITS and lo << ENTRY_BITS < m.end
            ),
            tuple((m.gpa, m.wired) for m in machine.slots if m is not None and m.wired),
        )
        if part in self._in_order:
            return True
        if any(not cause.harmless for cause in broken(machine)):
            return False
        self._in_order.add(part)
        return True

    def _judged(self, machine: Machine, operation: Operation, was: Before, came: Any) -> Causes:
        found = judged(machine, operation, was, came)
        if not self._bound.drift:
            found = [cause for cause in found if not cause.harmless]
        return tuple(found[:1])

    def _seen(self, machine: Machine, runs: Runs) -> bytes:
        """The hash of the state of *machine*, which is noted."""
        gpt = machine.space.gpt
        key = blake2b(
            marshal.dumps(
                (
                    tuple(runs),
                    tuple(None if m is None else tuple(m) for m in machine.slots),
                    tuple((number, *held) for number, held in machine.space.holds.items()),
                    gpt.twins,
                    gpt.resident if self._bound.drift else 0,
                ),
                2,
            ),
            digest_size=12,
        ).digest()
        self._states.add(key)
        return key

    def _fail_all(self, shape: Shape, failed: Causes) -> None:
        """Every shape that begins with *shape* fails in the same way."""
        count = self._count(shape)
        self._shapes += count
        self._lives += count * self._task.maps * len(middles(self._bound, ()))
        for cause in failed:
            number, smallest = self._failing.get(cause, (0, shape))
            self._failing[cause] = number + count, min(smallest, shape, key=size_of)

    def _count(self, shape: Shape) -> int:
        """How many shapes of the task's number of memmaps begin with *shape*."""
        if len(shape) == self._task.maps:
            return 1
        return sum(self._count((*shape, new)) for new in self._free(shape))

    def _fail(self, shape: Shape, found: set[Cause]) -> None:
        for cause in found:
            number, smallest = self._failing.get(cause, (0, shape))
            self._failing[cause] = number + 1, min(smallest, shape, key=size_of)


@cache
def _in_order(bound: Bound, gpt: str, debug: bool, npt: str) -> set[Any]:
    """Parts of tables as they were when all was well; for all tasks that this process does."""
    return set()


def _apart(one: One, other: One) -> bool:
    return one[1] <= other[0] or other[1] <= one[0]


def _runs(machine: Machine) -> Runs:
    return machine.space.gpt.leaves.all_runs()


def _differing(one: Runs, other: Runs) -> tuple[Runs, Runs]:
    """What of two tables is not alike, from the first run that differs to the last."""
    first, most = 0, min(len(one), len(other))
    while first < most and one[first] == other[first]:
        first += 1
    last = 0
    while last < most - first and one[-1 - last] == other[-1 - last]:
        last += 1
    return one[first : len(one) - last], other[first : len(other) - last]


def _any_gone(one: Runs, other: Runs, freed: Span | None) -> bool:
    """Whether entries of *one* are not in *other*, besides those of *freed*; of the same leaves."""
    i = 0
    for start, end, leaf in one:
        if leaf is None or len(leaf) == 1:
            continue
        while other[i][1] <= start:
            i += 1
        k = i
        while k < len(other) and other[k][0] < end:
            first, stop, now = other[k]
            if leaf != now and _gone(leaf, now, max(start, first), min(end, stop), freed):
                return True
            k += 1
    return False


def _gone(one: Leaf, other: Leaf | None, first: int, end: int, freed: Span | None) -> bool:
    """Whether leaves ``[first, end)`` lost entries that are not in *freed*."""
    lost = present(one) & ~present(other or EMPTY)
    if not lost:
        return False
    if freed is None:
        return True
    lo, hi = freed.start >> PAGE_SHIFT, freed.end >> PAGE_SHIFT
    if end - first > 1:
        return not lo <= first << ENTRY_BITS <= end << ENTRY_BITS <= hi
    base = first << ENTRY_BITS
    after, below = (min(max(0, at - base), ENTRIES) for at in (hi, lo))
    mine = (1 << after) - (1 << below)
    return bool(lost & ~mine)
