"""The model and another implementation, step by step: where they part first, and how little
it takes.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from bhyvesim.explore.difference import Difference, difference
from bhyvesim.explore.peer import MAX_LINE, Peer, PeerFailed
from bhyvesim.explore.sequences import OBSERVED, joined
from bhyvesim.explore.shrink import shrink_while
from bhyvesim.explore.trial import Case
from bhyvesim.ops.operation import Operation, Result
from bhyvesim.ops.replay import Replayer

_EARLIER = 20  # sequences of one process that are kept, should it not forget them either
_MOST = 1000  # candidates of one way to make a case small,
_PATIENCE = 30.0  # and seconds: a peer that hangs takes all the time that it is given


class Exchange(NamedTuple):
    """A line for the other side, and the model's answer.

    *number* is of the operation that it belongs to, *create* being the first; *asked* is
    ``result``, or what is looked at after it.
    """

    number: int
    asked: str
    record: dict[str, Any]
    expected: Result


def exchanges(case: Case, left_out: Collection[str] = ()) -> Iterator[Exchange]:
    """All lines of *case*: each operation, and after it a look at the state."""
    looks = [name for name in OBSERVED if name not in left_out]
    model = Replayer()
    for number, operation in enumerate(case.all, start=1):
        record = operation.record()
        yield Exchange(number, "result", record, model.run(record))
        for name in looks if operation.changes else ():
            yield Exchange(number, name, {"op": name}, model.run({"op": name}))


def vector(number: int, case: Case, left_out: Collection[str] = ()) -> str:
    """*case* as a line of a file for 'replay --check'."""
    lines = list(exchanges(case, left_out))
    recorded = {
        "id": number,
        "ops": [line.record for line in lines],
        "results": [line.expected for line in lines],
    }
    return json.dumps(recorded, separators=(",", ":")) + "\n"


class Divergence(NamedTuple):
    """What the other side did otherwise, at operation *number*.

    ``kind`` is alike for what looks alike; *failure* is there where it gave no answer at all,
    *wrong* where it gave another.
    """

    number: int
    operation: Operation
    asked: str
    wrong: Difference | None
    failure: PeerFailed | None

    @property
    def kind(self) -> tuple[str, str]:
        """What it comes to, and at which operation."""
        if self.wrong is not None:
            return self.wrong.kind, self.operation.op
        assert self.failure is not None
        return self.failure.kind, self.operation.op


class Finding(NamedTuple):
    """The first divergence, in as small a case as was found.

    *steady*: it came again in a fresh process; if not, the case is as it was met. *found* is
    how many operations it had then, *tried* how many smaller ones were.
    """

    divergence: Divergence
    case: Case
    found: int
    tried: int
    steady: bool


class Lockstep:
    """One other side: the *command* that starts it, and what is not asked of it.

    It is one process for many cases, each of which begins with a create.
    """

    def __init__(
        self, command: Sequence[str], timeout: float, left_out: Collection[str] = ()
    ) -> None:
        self._command = command
        self._timeout = timeout
        self._left_out = left_out
        self._peer: Peer | None = None
        self._earlier: deque[Case] = deque(maxlen=_EARLIER)  # what this process did before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def check(self, case: Case) -> Finding | None:
        """What the other side does otherwise in *case*, made small; None if nothing."""
        met = self.meet(case)
        if met is None:
            self._earlier.append(case)
            return None
        return self._settled(_until(case, met), met)

    def meet(self, case: Case) -> Divergence | None:
        """The first divergence in *case*. Raises UsageError if there is nobody to ask."""
        peer = self._running()
        for line in exchanges(case, self._left_out):
            operation = case.all[line.number - 1]
            try:
                got = peer.ask(line.record, MAX_LINE + 2 * len(str(line.expected)))
            except PeerFailed as failure:
                return Divergence(line.number, operation, line.asked, None, failure)
            wrong = difference(line.asked, line.expected, got)
            if wrong is not None:
                return Divergence(line.number, operation, line.asked, wrong, None)
        return None

    def afresh(self, case: Case) -> Divergence | None:
        """:meth:`meet`, in a process that has done nothing yet."""
        self._stop()
        return self.meet(case)

    def _running(self) -> Peer:
        if self._peer is not None and self._peer.failed:
            self._stop()
        if self._peer is None:
            self._peer = Peer(self._command, self._timeout)
        return self._peer

    def _stop(self) -> None:
        if self._peer is not None:
            self._peer.close()
        self._peer = None
        self._earlier.clear()

    def _settled(self, case: Case, met: Divergence) -> Finding:
        """*met* again in a fresh process: by *case* alone, else after what was before it."""
        before = [*self._earlier, case]
        for whole in dict.fromkeys((case, joined(before))):
            again = self.afresh(whole)
            if again is not None and again.kind == met.kind:
                return self._small(_until(whole, again), again)
        return Finding(met, case, len(case.all), 0, steady=False)

    def _small(self, case: Case, met: Divergence) -> Finding:
        """A small case of *met*; what it shows, it shows in a fresh process.

        Most peers forget all at a create, so that one process can try many candidates. Where
        that led astray, each gets one of its own.
        """
        tried = 0
        for meet in (self.meet, self.afresh):
            candidates = _Candidates(meet, case, met)
            shrunk = shrink_while(case, candidates.shows)
            assert shrunk is not None, "what was met is not tried again"
            tried += candidates.tried
            again = met if shrunk.case == case else self.afresh(shrunk.case)
            if again is not None and again.kind == met.kind:
                small = _until(shrunk.case, again)
                return Finding(again, small, len(case.all), tried, steady=True)
        return Finding(met, case, len(case.all), tried, steady=True)


class _Candidates:
    """Cases smaller than *case*, which *met* what is wanted, until that takes too long."""

    def __init__(
        self, meet: Callable[[Case], Divergence | None], case: Case, met: Divergence
    ) -> None:
        self._meet = meet
        self._case = case
        self._met = met
        self._end = time.monotonic() + _PATIENCE
        self.tried = 0

    def shows(self, case: Case) -> Case | None:
        """*case* up to where the divergence that is wanted comes, if it does."""
        if case == self._case:
            return case
        if self.tried >= _MOST or time.monotonic() >= self._end:
            return None
        self.tried += 1
        met = self._meet(case)
        return _until(case, met) if met is not None and met.kind == self._met.kind else None


def _until(case: Case, met: Divergence) -> Case:
    """*case*, ending with the operation where the two part."""
    return case._replace(operations=case.operations[: met.number - 1])
