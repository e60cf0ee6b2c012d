"""What a live host answered, held against every kernel that is known, VM by VM.

A kernel is held against the recording as long as it agrees. Whether its ASSERTs are live shows
only where one fails, so one machine stands for both builds, and logs them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from bhyvesim.errors import ERRNOS
from bhyvesim.explore.identify import Candidate
from bhyvesim.kernel.calls import Assertions
from bhyvesim.kernel.gpt.access import FC_NOMAP, FC_PROT
from bhyvesim.kernel.machine import Machine
from bhyvesim.ops import live
from bhyvesim.ops.operation import Operation, Result
from bhyvesim.ops.recording import Call, Life, Reader

# What a fault's handler answers. Source: vm/faultcode.h.
_CODES = {FC_NOMAP: 3, FC_PROT: 4}
_FAULTS = {number: name for name, number in _CODES.items()}
# Errors of which the memory code is not the reason: the host is short of memory, or busy, or
# somebody interrupted it, or it lacks something.
_OF_THE_HOST = {4: "EINTR", 6: "ENXIO", 11: "EAGAIN", 12: "ENOMEM", 16: "EBUSY", 48: "ENOTSUP"}
_OF_THE_HOST[ERRNOS["EALREADY"]] = "EALREADY"
_ERRNAMES = {**{number: name for name, number in ERRNOS.items()}, **_OF_THE_HOST}


class Difference(NamedTuple):
    """The first answer that is another on a kernel: its line, what was called, both answers."""

    line: int
    function: str
    there: str
    here: str


class Judged(NamedTuple):
    """One VM: how many answers were compared, and the first difference of each kernel.

    *skipped*: answers for which something outside of the memory code was the reason. *compared*
    and the differences are those from before it is unknown. *stops*: where kernels that agree
    panic or hang in the call that had not come back at the end.
    """

    life: Life
    compared: int
    skipped: int
    differences: dict[Candidate, Difference | None]
    stops: dict[Candidate, str]


class _Machine:
    """One machine: a revision and a processor, and the builds that agree so far."""

    def __init__(self, gpt: str, npt: str, *, apicv: bool, flags: int) -> None:
        self.machine: Machine | None = Machine(  # until nothing more is asked of it
            gpt,
            npt=npt,
            apicv=apicv,
            track_dirty=bool(flags & live.TRACK_DIRTY),
            assertions=Assertions.WARN,
        )
        self.candidates = {debug: Candidate(gpt, debug, npt) for debug in (True, False)}
        self.differences: dict[Candidate, Difference] = {}

    @property
    def agreeing(self) -> bool:
        return len(self.differences) < len(self.candidates)

    def judge(self, call: Call, operation: Operation) -> None:
        """Do what the host did, and remember for which builds it came to something else."""
        assert self.machine is not None
        there = _told(call.function, call.answer)
        if call.function not in self.machine.revision.functions:
            self._differ((True, False), call, "called", "no such function")
            return
        result = operation.apply(self.machine)
        logged = self.machine.kernel.warnings
        if logged:
            self._differ((True,), call, there, f"panic in {logged[0].stack[0].function}")
            logged.clear()
        here = _answer(call.function, result)
        if here != there:
            self._differ((True, False), call, there, here)

    def stops(self, call: Call, operation: Operation) -> dict[Candidate, str]:
        """The builds that agreed so far and panic or hang in *call*, and where."""
        if self.machine is None or call.function not in self.machine.revision.functions:
            return {}
        stop = _stop(operation.apply(self.machine))
        logged = self.machine.kernel.warnings
        found = {}
        for debug, candidate in self.candidates.items():
            where = f"panic in {logged[0].stack[0].function}" if debug and logged else stop
            if where and candidate not in self.differences:
                found[candidate] = where
        return found

    def _differ(self, builds: Iterable[bool], call: Call, there: str, here: str) -> None:
        for debug in builds:
            difference = Difference(call.line, call.function, there, here)
            self.differences.setdefault(self.candidates[debug], difference)


class Judge:
    """Holds the calls of a recording against kernels of *gpts*."""

    def __init__(self, gpts: Iterable[str]) -> None:
        self.reader = Reader()
        self._gpts = tuple(gpts)
        self._tracks: dict[Life, _Track] = {}

    def read(self, number: int, text: str) -> None:
        """Line *number* of the recording. Raises BadValue where it is none."""
        for life, call in self.reader.read(number, text):
            if life not in self._tracks:
                self._tracks[life] = _Track(life, self._gpts)
            self._tracks[life].judge(call)

    def finish(self) -> list[Judged]:
        """All is read: each VM, in order. Raises BadValue where there was nothing."""
        self.reader.finish()
        return [
            self._tracks[life].judged() if life in self._tracks else _Track(life, ()).judged()
            for life in self.reader.lives
        ]


class _Track:
    """One VM, and the machines that do the same."""

    def __init__(self, life: Life, gpts: tuple[str, ...]) -> None:
        self.life = life
        self._compared = array("Q")  # the lines
        self._skipped = array("Q")
        self._all = [
            _Machine(gpt, npt, apicv=apicv, flags=life.flags)
            for gpt in gpts
            for npt, apicv in (("rvi", False), ("ept", False), ("ept", True))
        ]
        self._agreeing = self._all

    def judge(self, call: Call) -> None:
        if call.function == live.PASSED_THROUGH:
            self.life.doubt(call.line, "a device is passed through, which is not modelled")
        operation = live.RECORDED[call.function].operation(call.arguments)
        if self.life.unknown_from is not None:
            self._keep([])
        elif operation is None or _is_the_hosts(call):
            self._skipped.append(call.line)
        else:
            self._compared.append(call.line)
            for machine in self._agreeing:
                machine.judge(call, operation)
            agreeing = [machine for machine in self._agreeing if machine.agreeing]
            self._keep([] if self.life.ended else agreeing)

    def _keep(self, agreeing: list[_Machine]) -> None:
        """Only *agreeing* ones are asked any more."""
        if len(agreeing) < len(self._agreeing):
            for machine in self._agreeing:
                if machine not in agreeing:
                    machine.machine = None
            self._agreeing = agreeing

    def judged(self) -> Judged:
        """What is certain."""
        compared, skipped = map(self._certain_ones, (self._compared, self._skipped))
        return Judged(self.life, compared, skipped, self._differences(), self._stops())

    def _stops(self) -> dict[Candidate, str]:
        call, unknown = self.life.under_way, self.life.unknown_from
        if call is None or (unknown is not None and unknown <= call.line):
            return {}
        operation = live.RECORDED[call.function].operation(call.arguments)
        if operation is None:
            return {}
        found: dict[Candidate, str] = {}
        for machine in self._agreeing:
            found |= machine.stops(call, operation)
        return found

    def _certain_ones(self, lines: array[int]) -> int:
        end = self.life.unknown_from
        return len(lines) if end is None else bisect_left(lines, end)

    def _differences(self) -> dict[Candidate, Difference | None]:
        """A kernel that may or may not have an APIC access page agrees if one of the two does."""
        found: dict[Candidate, Difference | None] = {}
        end = self.life.unknown_from
        for machine in self._all:
            for candidate in machine.candidates.values():
                difference = machine.differences.get(candidate)
                if difference is not None and end is not None and difference.line >= end:
                    difference = None
                before = found.get(candidate, difference)
                if before is None or difference is None:
                    found[candidate] = None
                else:
                    found[candidate] = max(before, difference)
        return found


def _is_the_hosts(call: Call) -> bool:
    """Whether something outside of the memory code is the reason for the answer."""
    if live.RECORDED[call.function].fault:
        return call.answer != 0 and call.answer not in _FAULTS
    return call.answer in _OF_THE_HOST


def _told(function: str, answer: int) -> str:
    """What the host answered, in a word."""
    if not answer:
        return "ok"
    names = _FAULTS if live.RECORDED[function].fault else _ERRNAMES
    return names.get(answer, str(answer))


def _answer(function: str, result: Result) -> str:
    """What a machine answers, as the host's function would: a fault's handler maps the page first.

    Before illumos 13896 it did so whatever the access; the next fault is refused.
    """
    stop = _stop(result)
    if stop:
        return stop
    if "error" in result:
        return str(result["error"])
    if live.RECORDED[function].fault and "fault" in result and not result["mapped"]:
        return str(result["fault"])
    return "ok"


def _stop(result: Result) -> str:
    """Where the kernel stopped; empty where it did not."""
    stops = (stop for stop in ("panic", "hang") if stop in result)
    return next((f"{stop} in {result[stop]['function']}" for stop in stops), "")
