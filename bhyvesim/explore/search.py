"""Searching at random, led by what is new: many short lives, each perhaps from where another was.

A search is cut in chunks, each with a random source of its own, so that what a chunk finds
depends on nothing but its number: not on how many there are, nor on who works on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from bhyvesim.explore.causes import Cause
from bhyvesim.explore.generate import SEGMENTS, Generator, kernel
from bhyvesim.explore.trial import Case, State, Trial
from bhyvesim.kernel.gpt.leaf import present
from bhyvesim.kernel.gpt.levels import ENTRIES
from bhyvesim.kernel.machine import Machine
from bhyvesim.ops.ioctls import Create, MmapMemseg
from bhyvesim.ops.operation import Operation

CHUNK = 250  # runs
_STEPS = (3, 16)  # operations of a run, at least and at most
_DEEPEST = 60  # operations of a case; longer ones are not gone on from
_AGAIN = 0.4  # how likely a run goes on from where another one was
_MOST_KEPT = 300  # trials to go on from


@dataclass(frozen=True, slots=True)
class Target:
    """What is searched: a revision, on every build; or one VM, from after its *start* on."""

    gpt: str
    against: str | None = None
    create: Create | None = None
    start: tuple[Operation, ...] = SEGMENTS

    @property
    def kept(self) -> int:
        """How many operations every case begins with, whatever it is shrunk to."""
        return 0 if self.create is None else len(self.start)

    @property
    def places(self) -> tuple[int, ...]:
        """Where the memory of the VM begins and ends; nothing where none is given."""
        maps = (op for op in self.start if isinstance(op, MmapMemseg))
        return tuple(place for m in maps for place in (m.gpa, m.gpa + m.length))


class Chunk(NamedTuple):
    """Some runs of a search: *runs* from the *number*-th chunk of *seed*."""

    target: Target
    seed: int
    number: int
    runs: int


class Found(NamedTuple):
    """The first case of a cause in a chunk, and the number of the run in all of the search."""

    cause: Cause
    case: Case
    run: int


class Searched(NamedTuple):
    """What came of a chunk; *states* were distinct within it, *shapes* are of all trees seen."""

    number: int
    runs: int
    operations: int
    states: int
    shapes: frozenset[int]
    found: tuple[Found, ...]


def search(chunk: Chunk) -> Searched:
    """Do the runs of *chunk*."""
    return _Search(chunk).all()


class _Search:
    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk
        self._target = chunk.target
        self._rng = Random(f"{chunk.seed} {chunk.number}")
        self._sound: set[State] = set()
        self._shapes: set[int] = set()
        self._kept: list[Trial] = []
        self._found: dict[Cause, Found] = {}
        self._operations = 0

    def all(self) -> Searched:
        chunk = self._chunk
        for run in range(chunk.runs):
            self._run(chunk.number * CHUNK + run)
        found = tuple(self._found.values())
        shapes = frozenset(self._shapes)
        return Searched(chunk.number, chunk.runs, self._operations, len(self._sound), shapes, found)

    def _run(self, number: int) -> None:
        rng = self._rng
        generator = Generator(rng, self._target.gpt, self._target.places)
        trial = self._begin(number)
        for _ in range(rng.randint(*_STEPS)):
            if trial.over:
                return
            self._do(trial, generator.next(trial.machine), number)
            if not trial.over and len(trial.operations) < _DEEPEST:
                self._keep_if_new(trial)

    def _do(self, trial: Trial, operation: Operation, number: int) -> None:
        self._operations += 1
        cause = trial.do(operation, self._sound)
        if cause is not None and cause not in self._found:
            self._found[cause] = Found(cause, trial.case, number)

    def _begin(self, number: int) -> Trial:
        """A fresh machine, or the fork of one that was somewhere new."""
        rng, target = self._rng, self._target
        if self._kept and rng.random() < _AGAIN:
            return rng.choice(self._kept).fork()
        trial = Trial(target.create or kernel(rng, target.gpt), target.against)
        for operation in target.start:
            if not trial.over:
                self._do(trial, operation, number)
        return trial

    def _keep_if_new(self, trial: Trial) -> None:
        shape = hash(shape_of(trial.machine))
        if shape in self._shapes:
            return
        self._shapes.add(shape)
        if len(self._kept) < _MOST_KEPT:
            self._kept.append(trial.fork())
        else:
            self._kept[self._rng.randrange(_MOST_KEPT)] = trial.fork()


def shape_of(machine: Machine) -> tuple[int, ...]:
    """The state of *machine* without addresses and numbers: how its leaf tables look, and who
    is there. New shapes are what a search goes on from.
    """
    space, gpt = machine.space, machine.space.gpt
    shape = [
        len(space.mappings),
        len(space.holds),
        len(gpt.twins),
        gpt.tracking,
        sum(m is not None and m.wired for m in machine.slots),
    ]
    for first, end, leaf in gpt.leaves.maximal_runs():
        if leaf is None:
            shape.append(-1)
        else:
            refcnt = 0 if not leaf[0] else 2 if leaf[0] == ENTRIES else 1
            bits = present(leaf)
            filled = 0 if not bits else 2 if bits.bit_count() == ENTRIES else 1
            shape += [refcnt, filled, len(leaf) // 2, min(end - first, 2)]
    return tuple(shape)
