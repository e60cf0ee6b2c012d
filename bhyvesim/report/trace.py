"""What `trace` prints: firings as lines or JSON, aggregations, operations as a replay."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bhyvesim.errors import Frame
from bhyvesim.kernel.calls import Firing
from bhyvesim.ops.ioctls import Create
from bhyvesim.ops.operation import Operation
from bhyvesim.report.fit import paragraph
from bhyvesim.trace.aggregate import Aggregation, TooManyKeys
from bhyvesim.trace.probe import Probe
from bhyvesim.trace.select import NO_CALLER, Selection, part, step_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Write = Callable[[str], object]
Modules = Mapping[str, str]  # the module of each function


@dataclass(frozen=True, slots=True)
class TraceFiring:
    """One line of `trace --format jsonl`: ``times`` calls that are alike but for their gpa.

    That grows by ``step`` from one to the next. ``result`` is of a return; ``stack`` is
    innermost first, and there with --stack.
    """

    provider: str
    module: str
    function: str
    name: str
    args: dict[str, int]
    result: int | None
    times: int
    step: int
    caller: str
    stack: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One line of an aggregation as JSON.

    ``key`` is what was counted by, or a bucket's least value as dtrace shows it; null: all,
    or whatever is below the first bucket.
    """

    aggregation: str
    argument: str | None
    key: int | str | None
    count: int


@dataclass(frozen=True, slots=True)
class TraceProbe:
    """One line of `trace -l --format jsonl`."""

    provider: str
    module: str
    function: str
    name: str
    signature: str


class Tracer(ABC):
    """Hears all firings, and prints of those that are wanted what its format has of them."""

    def __init__(self, write: Write, selection: Selection) -> None:
        self.write = write
        self.selection = selection
        self.fired = False

    def heard(self, firing: Firing) -> None:
        """One firing, wanted or not."""
        for wanted in self.selection(firing):
            self.fired = True
            self.take(wanted)

    @abstractmethod
    def take(self, firing: Firing) -> None:
        """One that is wanted."""

    def flush(self) -> None:  # noqa: B027  # most formats let nothing wait
        """Print what only waits for more of its kind."""

    def finish(self) -> None:
        """Print what comes last."""
        self.flush()


class _Merging(Tracer):
    """Neighbours that are alike become one line."""

    _pending: Firing | None = None

    def take(self, firing: Firing) -> None:
        merged = None if self._pending is None else _merged(self._pending, firing)
        if merged is None:
            self.flush()
        self._pending = merged or firing

    def flush(self) -> None:
        if self._pending is not None:
            self.write("".join(f"{line}\n" for line in self.lines(self._pending)))
            self._pending = None

    @abstractmethod
    def lines(self, firing: Firing) -> Iterator[str]:
        """The lines of one."""


class Plain(_Merging):
    """For people: arguments as print() shows the members of a structure."""

    def __init__(self, write: Write, selection: Selection, modules: Modules | None) -> None:
        super().__init__(write, selection)
        self._modules = modules  # with them, stacks are shown too

    def lines(self, firing: Firing) -> Iterator[str]:
        values = _typed(firing)
        count = _count(firing)
        probe = ":".join(Probe(firing.function, firing.returned).fields[2:])
        yield "  ".join(part for part in (probe, ", ".join(values), count) if part)
        if self._modules is not None:
            for frame in reversed(firing.stack):
                yield f"{'':14}{self._modules[frame.function]}`{frame.function}"
            yield ""


class Lines(_Merging):
    """A JSON object a line."""

    def __init__(self, write: Write, selection: Selection, *, stack: bool) -> None:
        super().__init__(write, selection)
        self._stack = stack

    def lines(self, firing: Firing) -> Iterator[str]:
        provider, module, function, name = Probe(firing.function, firing.returned).fields
        stack = tuple(frame.function for frame in reversed(firing.stack))
        yield compact(
            TraceFiring(
                provider,
                module,
                function,
                name,
                firing.frame.named(),
                firing.result,
                firing.times,
                step_of(firing),
                stack[0] if stack else NO_CALLER,
                stack if self._stack else None,
            )
        )


class Aggregated(Tracer):
    """Nothing but an aggregation, at the end; *failure* says why it cannot be shown."""

    def __init__(
        self, write: Write, selection: Selection, aggregation: Aggregation, *, as_json: bool
    ) -> None:
        super().__init__(write, selection)
        self.failure: TooManyKeys | None = None
        self._aggregation = aggregation
        self._as_json = as_json

    def take(self, firing: Firing) -> None:
        if self.failure is None:
            try:
                self._aggregation.add(firing)
            except TooManyKeys as error:
                self.failure = error

    def finish(self) -> None:
        if self.failure is None:
            for line in self._json() if self._as_json else self._aggregation.lines():
                self.write(f"{line}\n")

    def _json(self) -> Iterator[str]:
        name, argument = self._aggregation.name, self._aggregation.argument
        for key, count in self._aggregation.rows():
            yield compact(TraceRow(name, argument, key, count))


class Replay:
    """The operations as the machine gets them, in the replay format.

    *in_the_middle* is called where the first of them does not make the machine; None:
    what comes before the one that does is of another, and left out.
    """

    def __init__(self, write: Write, in_the_middle: Callable[[], None] | None) -> None:
        self._write = write
        self._in_the_middle = in_the_middle
        self._begun = False

    def record(self, operation: Operation) -> None:
        """One operation, before it is done."""
        if not self._begun and not isinstance(operation, Create):
            if self._in_the_middle is None:
                return
            self._in_the_middle()
        self._begun = True
        self._write(json_line(operation.record()) + "\n")


def listed(probes: Iterable[Probe], width: int | None, *, as_json: bool) -> Iterator[str]:
    """The lines of `trace -l`; signatures stand below the names where *width* is too narrow."""
    rows = [TraceProbe(*probe.fields, str(probe.function)) for probe in probes]
    if as_json:
        yield from map(compact, rows)
        return
    names = [":".join((row.provider, row.module, row.function, row.name)) for row in rows]
    left = max(map(len, names), default=0)
    beside = [f"{name:<{left}}  {row.signature}" for name, row in zip(names, rows, strict=True)]
    if width is None or max(map(len, beside), default=0) <= width:
        yield from beside
        return
    for name, row in zip(names, rows, strict=True):
        yield name
        yield from paragraph(row.signature, width, "    ", "      ")


def compact(record: DataclassInstance) -> str:
    """One line of JSON."""
    return json_line(asdict(record))


def json_line(value: Any) -> str:
    """*value* as JSON without blanks."""
    return json.dumps(value, separators=(",", ":"))


def _typed(firing: Firing) -> Iterator[str]:
    named = firing.frame.named()
    for param in firing.function.params:
        if param.name in named:
            yield f"{param} = {_hex(named[param.name])}"
    if firing.result is not None:
        kind = firing.function.returns
        yield f"{kind}{'' if kind.endswith('*') else ' '}arg1 = {_hex(firing.result)}"


def _hex(value: int) -> str:
    return f"{value:#x}" if value else "0"


def _count(firing: Firing) -> str:
    if firing.times == 1:
        return ""
    step = step_of(firing)
    return f"({firing.times} times{f', gpa by {step:#x}' if step else ''})"


def _merged(one: Firing, more: Firing) -> Firing | None:
    """The two as one, if they are alike or *more* goes on where *one* ends."""
    step = step_of(one)
    alike = (
        one.function == more.function
        and (one.returned, one.result) == (more.returned, more.result)
        and _names(one.stack) == _names(more.stack)
        and (step_of(more) == step or more.times == 1)
    )
    follows = alike and part(one, one.times, one.times + more.times).frame == more.frame
    return one._replace(times=one.times + more.times) if follows else None


def _names(stack: tuple[Frame, ...]) -> list[str]:
    return [frame.function for frame in stack]
