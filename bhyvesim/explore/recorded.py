"""A recorded trace of a host, replayed on each kernel up to where the two part."""

from __future__ import annotations

from typing import Any, NamedTuple

from bhyvesim.errors import BadValue
from bhyvesim.explore.identify import Candidate
from bhyvesim.explore.seen import agrees, parted
from bhyvesim.kernel.revisions import NEWEST
from bhyvesim.ops.ioctls import Create
from bhyvesim.ops.operation import Result
from bhyvesim.ops.operations import read_operation
from bhyvesim.ops.replay import Replayer, parse_line
from bhyvesim.values import Value


class Recorded(NamedTuple):
    """An operation of a trace, where it stands, and what was seen of its result."""

    place: str
    op: dict[str, Any]
    seen: Result | None


class Trace(Value):
    """Operations with what they came to on the host, as a replay has them.

    The kernel that a create names is none of its business; without one the VM is fresh.
    """

    source: str
    steps: tuple[Recorded, ...]

    remark = ""

    @property
    def label(self) -> str:
        return f"--trace {self.source}"

    def objection(self, candidate: Candidate) -> str | None:
        """The first result that is another on *candidate*."""
        replayer = Replayer()
        replayer.machine = candidate.machine()
        for place, op, seen in self.steps:
            try:
                came = replayer.run(_on(candidate, op))
            except BadValue as error:  # a host that cannot be with these tables
                return f"{place}: {error.problem}"
            if seen is not None and not agrees(seen, came):
                there, here = parted(seen, came)
                return f"{place}, {op['op']}: {there} there, {here} here"
        return None


def read_trace(source: str, text: str) -> Trace:
    """The trace in *text*. Raises BadValue, which names the line, where it is none.

    An operation's result stands beside it in ``{"ops": […], "results": […]}``, or in the
    line after it.
    """
    steps: list[Recorded] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                _read_line(steps, number, line)
            except BadValue as error:
                raise BadValue(f"{source}:{number}: {error.problem}", error.expected) from None
    if all(step.seen is None for step in steps):
        raise BadValue(f"{source}: no results", "operations, and what they came to")
    return Trace(source, tuple(steps))


def _read_line(steps: list[Recorded], number: int, line: str) -> None:
    read = list(parse_line(line))
    for index, (op, seen) in enumerate(read, start=1):
        if "op" not in op and len(read) == 1:
            if not steps or steps[-1].seen is not None:
                raise BadValue("a result of no operation", "the operation before it")
            steps[-1] = steps[-1]._replace(seen=op)
        else:
            read_operation(_on(_ANY, op))
            place = f"line {number}" + (f", operation {index}" if len(read) > 1 else "")
            steps.append(Recorded(place, op, seen))


_ANY = Candidate(NEWEST, True, "ept")  # to see whether a record can be read at all


def _on(candidate: Candidate, op: dict[str, Any]) -> dict[str, Any]:
    """*op* with the kernel that a create names replaced by *candidate*."""
    if op.get("op") != Create.op:
        return op
    return {**op, "gpt": candidate.gpt, "debug": candidate.debug, "npt": candidate.npt}
