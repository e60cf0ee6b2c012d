"""What a proof comes to, as a value that can be stored, and run again by somebody else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from bhyvesim import __version__
from bhyvesim.code import digest, made_by
from bhyvesim.errors import NONSENSE, BadValue, UsageError
from bhyvesim.explore.bound import (
    Bound,
    Shape,
    beginnings,
    create,
    endings,
    mapped,
    memmap,
    middles,
    parse_bound,
    segments,
    shapes,
    size_of,
)
from bhyvesim.explore.causes import Cause
from bhyvesim.explore.prove import Proved, Task, prove
from bhyvesim.explore.shrink import tidied
from bhyvesim.explore.trial import Case, reproduced
from bhyvesim.explore.vectors import RECORDINGS, SHA256
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.workers import Workers


class Question(NamedTuple):
    """What is to be proved: that nothing goes wrong on this kernel within the bound."""

    bound: Bound
    gpt: str
    debug: bool
    npt: str

    def tasks(self) -> Iterator[Task]:
        """All there is to do, fewer memmaps first."""
        for maps in range(1, self.bound.maps + 1):
            for beginning in beginnings(self.bound):
                yield Task(self.bound, self.gpt, self.debug, self.npt, maps, beginning)

    @property
    def shapes(self) -> int:
        """How many shapes there are in all."""
        return sum(shapes(self.bound, maps) for maps in range(1, self.bound.maps + 1))


class Counterexample(NamedTuple):
    """A cause, how many shapes come to it, and the smallest of them as a case."""

    cause: Cause
    shapes: int
    case: Case


class Certificate(NamedTuple):
    """The answer. *digest* is of the set of distinct states: who proves the same has the same."""

    question: Question
    lives: int
    shapes: int
    generated: int
    distinct: int
    depth: int
    drifting: int
    digest: str
    counterexamples: tuple[Counterexample, ...]
    engine: str
    version: str = __version__
    vectors: str = SHA256
    recordings: int = RECORDINGS

    @property
    def holds(self) -> bool:
        return not self.counterexamples


class Proof:
    """A proof under way: what of its tasks is done, and what came of it so far."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.done: dict[int, Proved] = {}

    def go_on(self, workers: Workers, tell: Callable[[int], None]) -> None:
        """Do the tasks that are left; *tell* hears how many shapes are done."""
        tasks = ((i, task) for i, task in enumerate(self.question.tasks()) if i not in self.done)
        shapes_done = sum(proved.shapes for proved in self.done.values())
        for number, proved in workers.spread(_numbered, tasks):
            self.done[number] = proved
            shapes_done += proved.shapes
            tell(shapes_done)

    def certificate(self) -> Certificate:
        """What all tasks came to."""
        parts = [self.done[number] for number in sorted(self.done)]
        states: set[bytes] = set()
        failing: dict[Cause, tuple[int, Shape]] = {}
        for part in parts:
            states |= part.states
            for cause, (count, shape) in part.failing.items():
                before, smallest = failing.get(cause, (0, shape))
                failing[cause] = before + count, min(smallest, shape, key=size_of)
        return Certificate(
            self.question,
            sum(part.lives for part in parts),
            sum(part.shapes for part in parts),
            sum(part.generated for part in parts),
            len(states),
            max(part.depth for part in parts),
            sum(part.drifting for part in parts),
            hashlib.sha256(b"".join(sorted(states))).hexdigest(),
            tuple(_counterexamples(self.question, failing)),
            digest(),
        )

    def saved(self) -> str:
        """What is done, as JSON text."""
        return json.dumps(
            {
                **_maker(self.question),
                "done": [[number, _part(proved)] for number, proved in self.done.items()],
            }
        )

    def resume(self, text: str) -> None:
        """Go on from what :meth:`saved` wrote. Raises UsageError where it is another's."""
        try:
            record = json.loads(text)
            for name, value in _maker(self.question).items():
                if record[name] != value:
                    raise UsageError(
                        f"it was left by a proof with another {name}: expected the same, "
                        "or no such file"
                    )
            self.done = {int(number): _proved(part) for number, part in record["done"]}
        except NONSENSE:
            raise UsageError("it makes no sense: expected what bhyvesim left there") from None


def record(certificate: Certificate) -> dict[str, Any]:
    """*certificate* as JSON has it."""
    c = certificate
    q = c.question
    return {
        "format": 1,
        "bound": str(q.bound),
        "points": [f"{place:#x}" for place in q.bound.places],
        "gpt": q.gpt,
        "debug": q.debug,
        "npt": q.npt,
        "holds": c.holds,
        "shapes": c.shapes,
        "lives": c.lives,
        "generated": c.generated,
        "distinct": c.distinct,
        "depth": c.depth,
        "drifting": c.drifting,
        "digest": c.digest,
        "counterexamples": [
            {
                "cause": list(example.cause),
                "shapes": example.shapes,
                "operations": example.case.records(),
            }
            for example in c.counterexamples
        ],
        "version": c.version,
        "engine": c.engine,
        "vectors": c.vectors,
        "recordings": c.recordings,
    }


def read_certificate(text: str) -> Certificate:
    """The inverse of :func:`record`. Raises UsageError where it is none of ours."""
    try:
        r = json.loads(text)
        if r["format"] != 1:
            raise UsageError(f"a certificate of format {str(r['format'])[:20]}: expected 1")
        if r["gpt"] not in REVISIONS or r["npt"] not in FORMATS:
            raise UsageError(
                "a certificate of a kernel that is not known here: expected one that is"
            )
        question = Question(parse_bound(r["bound"]), r["gpt"], bool(r["debug"]), r["npt"])
        numbers = {name: int(r[name]) for name in (*_NUMBERS, "recordings")}
        texts = {name: str(r[name]) for name in ("digest", "engine", "version", "vectors")}
        examples = tuple(_example(row) for row in r["counterexamples"])
        values: dict[str, Any] = {**numbers, **texts, "counterexamples": examples}
        return Certificate(question, **values)
    except (*NONSENSE, BadValue):
        raise UsageError("no certificate: expected what 'prove --certificate' writes") from None


_NUMBERS = ("lives", "shapes", "generated", "distinct", "depth", "drifting")


def differences(one: Certificate, other: Certificate) -> list[str]:
    """What two certificates of one question say differently, a sentence each."""
    ours, theirs = record(one), record(other)
    names = ("holds", *_NUMBERS, "digest", "counterexamples", "vectors")
    return [
        f"{name}: {_short(ours[name])}, now {_short(theirs[name])}"
        for name in names
        if ours[name] != theirs[name]
    ]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 70 else f"{text[:69]}…"


def _example(row: dict[str, Any]) -> Counterexample:
    return Counterexample(Cause.of(row["cause"]), int(row["shapes"]), Case.of(row["operations"]))


def _numbered(task: tuple[int, Task]) -> tuple[int, Proved]:
    return task[0], prove(task[1])


def _counterexamples(
    question: Question, failing: dict[Cause, tuple[int, Shape]]
) -> Iterator[Counterexample]:
    """The smallest first."""
    for cause in sorted(failing, key=lambda cause: (size_of(failing[cause][1]), cause)):
        count, shape = failing[cause]
        yield Counterexample(cause, count, tidied(_case(question, shape, cause), cause))


def _case(question: Question, shape: Shape, cause: Cause) -> Case:
    """The life of *shape* in which *cause* comes."""
    q = question
    maps = [memmap(q.bound, number, *one) for number, one in enumerate(shape)]
    made = [op for m in maps for op in mapped(m)]
    start = (*segments(q.bound), *made)
    first = create(q.bound, q.gpt, debug=q.debug, npt=q.npt)
    for middle in middles(q.bound, maps):
        for ending in endings(maps):
            case = reproduced(Case(first, (*start, *middle, *ending)), cause)
            if case is not None:
                return case
    raise AssertionError(f"{cause} does not come again in {shape}")


def _maker(question: Question) -> dict[str, Any]:
    return {
        **made_by(),
        "bound": str(question.bound),
        "kernel": [question.gpt, question.debug, question.npt],
    }


def _part(proved: Proved) -> list[Any]:
    return [
        *(proved.lives, proved.shapes, proved.generated, proved.depth),
        b"".join(sorted(proved.states)).hex(),
        [[list(cause), count, shape] for cause, (count, shape) in proved.failing.items()],
        proved.drifting,
    ]


def _proved(part: Sequence[Any]) -> Proved:
    lives, shapes_done, generated, depth, states, failing, drifting = part
    data = bytes.fromhex(states)
    return Proved(
        int(lives),
        int(shapes_done),
        int(generated),
        int(depth),
        frozenset(data[at : at + 12] for at in range(0, len(data), 12)),
        {
            Cause.of(cause): (
                int(count),
                tuple((int(start), int(end), bool(wired)) for start, end, wired in shape),
            )
            for cause, count, shape in failing
        },
        int(drifting),
    )
