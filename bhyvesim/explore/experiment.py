"""The shortest experiment that tells kernels apart: searched, operation by operation.

All candidates run the same operations side by side. What one of them does next depends on its
own state alone, so each of its steps is done once, and the search goes over numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

from bhyvesim.errors import KernelHang
from bhyvesim.explore.identify import Candidate
from bhyvesim.explore.moves import MOVES, Move
from bhyvesim.explore.seen import visible
from bhyvesim.explore.trial import State, state_of
from bhyvesim.kernel.machine import Machine
from bhyvesim.ops.operation import Operation, Result

_NODES = 12_000  # places that a search looks at; all six revisions need 7000


class Danger(NamedTuple):
    """A step, counted from 1, at which a kernel stops, and how."""

    step: int
    candidate: Candidate
    stop: str


class Experiment(NamedTuple):
    """Operations for a fresh VM, each with what it is in words, and what each kernel answers."""

    moves: tuple[Move, ...]
    answers: dict[Candidate, tuple[Result, ...]]
    dangers: tuple[Danger, ...]

    @property
    def operations(self) -> tuple[Operation, ...]:
        return tuple(move.operation for move in self.moves)

    @property
    def alike(self) -> list[list[Candidate]]:
        """The candidates, those together that answer the same."""
        by_answer: dict[str, list[Candidate]] = {}
        for candidate, results in self.answers.items():
            by_answer.setdefault(json.dumps(results), []).append(candidate)
        return list(by_answer.values())


class Found(NamedTuple):
    """What a search came to: safe experiments, dangerous ones that tell more, and the rest.

    ``alike``: revisions, or builds of one, that none tells apart. ``whole``: everything
    within the bound was looked at.
    """

    experiments: tuple[Experiment, ...]
    alike: tuple[tuple[str, ...], ...]
    whole: bool


def experiments(among: Sequence[Candidate], steps: int) -> Found:
    """The shortest ones of at most *steps* operations that tell the revisions of *among* apart.

    Of one revision alone it is the builds that are told apart. One at which no kernel stops
    comes first; then, where it tells more, one that is dangerous. Mostly one is enough.
    """
    search = _Search(among)
    found: list[Experiment] = []
    left, whole = search.wanted, True
    for safe in (True, False):
        reachable = left
        while reachable & left & search.core:
            best = search.best(left, safe=safe, steps=steps)
            reachable = best.reachable
            whole = whole and best.whole
            if not best.separated & left & search.core:
                break
            found.append(performed(among, best.moves))
            left &= ~best.separated
    return Found(tuple(found), tuple(search.together(left)), whole)


def performed(among: Sequence[Candidate], moves: Sequence[Move]) -> Experiment:
    """What *moves* come to on fresh VMs; after a stop nothing more is done to that one."""
    answers: dict[Candidate, tuple[Result, ...]] = {}
    dangers: list[Danger] = []
    for candidate in among:
        machine = candidate.machine()
        results: list[Result] = []
        for step, move in enumerate(moves, start=1):
            if machine.stop is None:
                results.append(visible(move.operation.apply(machine)))
                if machine.stop is not None:
                    dangers.append(Danger(step, candidate, _stop(machine)))
        answers[candidate] = tuple(results)
    return Experiment(tuple(moves), answers, tuple(dangers))


def _stop(machine: Machine) -> str:
    stop = machine.stop
    assert stop is not None
    return "hang" if isinstance(stop, KernelHang) else f"panic {stop.letter}"


class _Answer(NamedTuple):
    """What a move comes to from one state of one candidate: all of it as numbers."""

    result: int
    state: int
    stops: bool


class _Runner:
    """One candidate: the states that it was in, and what each move came to there."""

    def __init__(self, candidate: Candidate, results: dict[str, int]) -> None:
        self._results = results  # of all candidates, by their text
        self._ids: dict[State, int] = {}
        self._machines: list[Machine] = []
        self.answers: list[list[_Answer | None]] = []  # by state and move, as far as asked
        self.start = self._state(candidate.machine())

    def _state(self, machine: Machine) -> int:
        # In which order memmaps were made matters to no move: none frees several.
        tables, _, *rest = state_of(machine)
        gpt = machine.space.gpt
        # An engine of somebody else's may keep more than ours do.
        kept = tuple((k, v) for k, v in vars(gpt).items() if isinstance(v, (int, str, tuple)))
        key = (tables, *machine.memmaps, machine.state, machine.space.last_hold, kept, *rest)
        number = self._ids.setdefault(key, len(self._machines))
        if number == len(self._machines):
            self._machines.append(machine)
            self.answers.append([None] * len(MOVES))
        return number

    def ask(self, state: int, move: int) -> _Answer:
        """What *move* comes to from *state*."""
        machine = self._machines[state].fork()
        result = json.dumps(visible(MOVES[move].operation.apply(machine)))
        number = self._results.setdefault(result, len(self._results))
        answer = _Answer(number, self._state(machine), machine.stop is not None)
        self.answers[state][move] = answer
        return answer


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a search is: each candidate's state, what is there, and which pairs have parted."""

    states: tuple[int, ...]
    there: frozenset[str]
    separated: int
    move: int = -1
    before: _Place | None = None

    def moves(self) -> tuple[Move, ...]:
        return (*self.before.moves(), MOVES[self.move]) if self.before is not None else ()


class _Best(NamedTuple):
    """The shortest way to tell the most pairs apart.

    ``reachable``: the pairs that some way tells apart; ``whole``: no way was left out.
    """

    moves: tuple[Move, ...]
    separated: int
    reachable: int
    whole: bool


class _Search:
    """Pairs of candidates are the bits of an integer: ``wanted`` has all that ought to part.

    ``core`` has of each two revisions those of the same build and tables, if there are such:
    that others part may come from the build alone, and tells nothing of the revisions.
    """

    def __init__(self, among: Sequence[Candidate]) -> None:
        results: dict[str, int] = {}
        self._among = among
        self._runners = [_Runner(candidate, results) for candidate in among]
        self._parted: dict[tuple[int, ...], int] = {}
        apart = [pair for pair in combinations(range(len(among)), 2) if self._is_wanted(*pair)]
        self._pairs = {pair: 1 << bit for bit, pair in enumerate(apart)}
        self.wanted = (1 << len(apart)) - 1
        self.core = self._core()

    @cached_property
    def _by_build(self) -> bool:
        return len({candidate.gpt for candidate in self._among}) == 1

    def _is_wanted(self, i: int, j: int) -> bool:
        """Of builds, those with the same tables: which processor it is, everybody can see."""
        one, other = self._among[i], self._among[j]
        if self._by_build:
            return one.debug != other.debug and one.npt == other.npt
        return one.gpt != other.gpt

    def _core(self) -> int:
        among = self._among
        same = {pair for pair in self._pairs if among[pair[0]][1:] == among[pair[1]][1:]}
        compared = {self._gpts(pair) for pair in same}
        return sum(
            bit
            for pair, bit in self._pairs.items()
            if pair in same or self._gpts(pair) not in compared
        )

    def _gpts(self, pair: tuple[int, int]) -> frozenset[str]:
        return frozenset(self._among[i].gpt for i in pair)

    def best(self, wanted: int, *, safe: bool, steps: int) -> _Best:
        """Breadth first, so that the first way to part all of *wanted* is a shortest one.

        A place is left out where all candidates were in the same states after no more
        operations, with no fewer pairs parted: it leads nowhere that the other does not.
        """
        start = _Place(tuple(runner.start for runner in self._runners), frozenset(), 0)
        seen: dict[tuple[int, ...], list[int]] = {start.states: [0]}
        best, reachable, looked, frontier = start, 0, 1, [start]
        for _ in range(steps):
            following: list[_Place] = []
            for place in frontier:
                for new in self._next(place, safe, seen):
                    following.append(new)
                    reachable |= new.separated
                    if self._worth(new, wanted) > self._worth(best, wanted):
                        best = new
                if best.separated & wanted == wanted:
                    return _Best(best.moves(), best.separated, reachable, True)
                if looked + len(following) > _NODES:
                    return _Best(best.moves(), best.separated, reachable, False)
            looked += len(following)
            frontier = following
        return _Best(best.moves(), best.separated, reachable, True)

    def _worth(self, place: _Place, wanted: int) -> tuple[int, int]:
        parted = place.separated & wanted
        return (parted & self.core).bit_count(), parted.bit_count()

    def _next(
        self, place: _Place, safe: bool, seen: dict[tuple[int, ...], list[int]]
    ) -> Iterator[_Place]:
        runners = self._runners
        rows = [r.answers[state] for r, state in zip(runners, place.states, strict=True)]
        for number, move in enumerate(MOVES):
            if not move.makes_sense(place.there):
                continue
            answers = [
                row[number] or runners[i].ask(place.states[i], number) for i, row in enumerate(rows)
            ]
            results, states, stops = zip(*answers, strict=True)
            if safe and any(stops):
                continue
            parted = place.separated | self._part(results)
            known = seen.setdefault(states, [])
            if not any(there & parted == parted for there in known):
                known.append(parted)
                yield _Place(states, move.after(place.there), parted, number, place)

    def _part(self, results: tuple[int, ...]) -> int:
        """The pairs whose results differ."""
        if results not in self._parted:
            self._parted[results] = sum(
                bit for (i, j), bit in self._pairs.items() if results[i] != results[j]
            )
        return self._parted[results]

    def together(self, left: int) -> Iterator[tuple[str, ...]]:
        """Revisions, or the builds of one, of which pairs are *left*; each group once."""
        groups: list[set[str]] = []
        for pair, bit in self._pairs.items():
            if left & bit & self.core:
                names = {self._name(i) for i in pair}
                touching = [group for group in groups if group & names]
                groups = [group for group in groups if not group & names]
                groups.append(names.union(*touching))
        order = list(dict.fromkeys(map(self._name, range(len(self._among)))))
        for group in groups:
            yield tuple(sorted(group, key=order.index))

    def _name(self, index: int) -> str:
        candidate = self._among[index]
        return candidate.build if self._by_build else candidate.gpt
