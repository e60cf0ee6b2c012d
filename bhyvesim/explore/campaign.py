"""An exploration: chunks of a search until the time or the number is up, and what they found."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from bhyvesim.code import made_by
from bhyvesim.errors import NONSENSE, BadValue, UsageError
from bhyvesim.explore.causes import Cause
from bhyvesim.explore.search import CHUNK, Chunk, Found, Searched, Target, search
from bhyvesim.explore.shrink import Shrunk, shrink
from bhyvesim.explore.trial import Case
from bhyvesim.workers import Workers


class Finding(NamedTuple):
    """One cause: its case as it was found, and made small; after how many runs and seconds."""

    cause: Cause
    case: Case
    unshrunk: Case
    run: int
    seconds: float
    tried: int  # candidates, to make it small


class Bounds(NamedTuple):
    """When an exploration ends: after so many runs, or seconds."""

    runs: int | None
    seconds: float | None


class Campaign:
    """What is known of an exploration so far; ``done`` are the numbers of its chunks."""

    def __init__(self, target: Target, seed: int, known: Collection[Cause] = ()) -> None:
        self.target = target
        self.seed = seed
        self.known = frozenset(known)
        self.done: set[int] = set()
        self.runs = self.operations = self.states = 0
        self.seconds = 0.0  # before this process
        self.shapes: set[int] = set()
        self.found: dict[Cause, tuple[Found, float]] = {}
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds of work, those of earlier processes included."""
        return self.seconds + time.monotonic() - self._began

    def explore(self, workers: Workers, bounds: Bounds, tell: Callable[[Searched], None]) -> None:
        """Search on until *bounds* are reached; *tell* hears of each chunk that is done."""
        for searched in workers.spread(search, self._chunks(bounds)):
            self._add(searched)
            tell(searched)

    def shrunk(self, workers: Workers) -> list[Finding]:
        """Every finding made small, in the order of their runs."""
        keep = self.target.kept
        tasks = [(found, keep) for found, _ in self.found.values()]
        small = dict(workers.spread(_shrunk, tasks))
        findings = [
            Finding(cause, small[cause].case, found.case, found.run, seconds, small[cause].tried)
            for cause, (found, seconds) in self.found.items()
        ]
        return sorted(findings, key=lambda finding: (finding.run, finding.cause))

    def _chunks(self, bounds: Bounds) -> Iterator[Chunk]:
        number = 0
        while bounds.runs is None or number * CHUNK < bounds.runs:
            if bounds.seconds is not None and self.elapsed >= bounds.seconds:
                return
            if number not in self.done:
                runs = CHUNK if bounds.runs is None else min(CHUNK, bounds.runs - number * CHUNK)
                yield Chunk(self.target, self.seed, number, runs)
            number += 1

    def _add(self, searched: Searched) -> None:
        self.done.add(searched.number)
        self.runs += searched.runs
        self.operations += searched.operations
        self.states += searched.states
        self.shapes |= searched.shapes
        for found in searched.found:
            if found.cause in self.known:
                continue
            first = self.found.get(found.cause)
            if first is None or found.run < first[0].run:
                seconds = self.elapsed if first is None else first[1]
                self.found[found.cause] = found, seconds

    # What an interrupted exploration leaves, to be gone on with.

    def saved(self) -> str:
        """All of it as JSON text."""
        return json.dumps(
            {
                **made_by(),
                **self._identity(),
                "done": sorted(self.done),
                "runs": self.runs,
                "operations": self.operations,
                "states": self.states,
                "shapes": sorted(self.shapes),
                "seconds": self.elapsed,
                "found": [
                    [list(found.cause), found.case.records(), found.run, seconds]
                    for found, seconds in self.found.values()
                ],
            }
        )

    def resume(self, text: str) -> None:
        """Go on from what :meth:`saved` wrote. Raises UsageError where it is another's."""
        try:
            record = json.loads(text)
            for name, value in made_by().items():
                if record[name] != value:
                    raise UsageError(
                        f"it was left by another {name} of bhyvesim ({str(record[name])[:20]!r}), "
                        f"whose seeds mean something else: expected {value[:20]!r}"
                    )
            for name, own in self._identity().items():
                if record[name] != json.loads(json.dumps(own)):
                    raise UsageError(f"it is of another exploration: expected the same {name}")
            self._restore(record)
        except (*NONSENSE, BadValue):
            raise UsageError("it makes no sense: expected what bhyvesim left there") from None

    def _restore(self, record: dict[str, Any]) -> None:
        self.done = {int(number) for number in record["done"]}
        self.shapes = {int(shape) for shape in record["shapes"]}
        self.runs, self.operations, self.states = (
            int(record[name]) for name in ("runs", "operations", "states")
        )
        self.seconds = float(record["seconds"])
        for cause, operations, run, seconds in record["found"]:
            case = Case.of(operations, self.target.against)
            found = Found(Cause.of(cause), case, int(run))
            self.found[found.cause] = found, float(seconds)

    def _identity(self) -> dict[str, Any]:
        target = self.target
        create = None if target.create is None else target.create.record()
        start = [operation.record() for operation in target.start]
        return {
            "gpt": target.gpt,
            "comparison": target.against,
            "seed": self.seed,
            "VM": [create, start],
            "known findings": sorted(map(list, self.known)),
        }


def _shrunk(task: tuple[Found, int]) -> tuple[Cause, Shrunk]:
    found, keep = task
    return found.cause, shrink(found.case, found.cause, keep=keep)
