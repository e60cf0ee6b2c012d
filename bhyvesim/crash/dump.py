"""A crash dump: what stopped the kernel, and the machine as it was at that moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bhyvesim.errors import Frame, KernelHang, KernelStop
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.kernel.snapshot import Snapshot
from bhyvesim.span import Span
from bhyvesim.text import clean
from bhyvesim.units import shorten

_UUID = 36  # characters, of which the reports make the salt of what they invent
_UUID_DIGITS = frozenset("0123456789abcdef-")


@dataclass(frozen=True, slots=True)
class CrashDump:
    """One panic or hang of the simulated kernel under one VM.

    *stack* is innermost first and begins in the function that holds the assertion, or that
    loops; *facts* are the numbers of the case; *locks* are what a thread that hangs holds:
    its dump was forced. *time_ns* is since the epoch.
    """

    vm: str
    operation: str
    time_ns: int
    uuid: str
    message: str
    stack: tuple[Frame, ...]
    facts: Mapping[str, int | str]
    locks: tuple[str, ...]
    snapshot: Snapshot

    @classmethod
    def of(
        cls,
        stopped: KernelStop,
        machine: Machine,
        *,
        vm: str,
        operation: str,
        time_ns: int,
        uuid: str,
    ) -> CrashDump:
        """The dump of *machine*, which *stopped* during *operation*."""
        locks = stopped.locks if isinstance(stopped, KernelHang) else ()
        return cls(
            vm,
            operation,
            time_ns,
            uuid,
            clean(stopped.message),  # which a revision from a file may have made
            stopped.stack,
            stopped.facts,
            locks,
            machine.snapshot(),
        )

    @property
    def hung(self) -> bool:
        return bool(self.locks)

    @property
    def function(self) -> str:
        """Where the kernel stopped."""
        return self.stack[0].function

    @property
    def letter(self) -> str | None:
        """By which people know the panic; None for one that they do not, and for a hang."""
        revision = REVISIONS.get(self.gpt)
        stops = () if self.hung or revision is None else revision.stops
        return next((stop.letter for stop in stops if stop.function == self.function), None)

    @property
    def gpt(self) -> str:
        return self.snapshot.gpt

    @property
    def debug(self) -> bool:
        return self.snapshot.debug

    @property
    def npt(self) -> str:
        return self.snapshot.npt

    def machine(self) -> Machine:
        """The machine as it stopped, to be looked at."""
        return Machine.restored(self.snapshot)

    def called(self, function: str) -> bool:
        """Whether *function* was under way."""
        return any(frame.function == function for frame in self.stack)

    def arguments(self, *functions: str) -> dict[str, int]:
        """The arguments of the innermost of *functions* that was under way with some."""
        return next(f.named() for f in self.stack if f.function in functions and f.args)

    def span(self, *functions: str) -> Span:
        """The range that the innermost of *functions* was asked for."""
        span = span_of(self.arguments(*functions))
        assert span is not None, functions
        return span


def span_of(arguments: Mapping[str, int]) -> Span | None:
    """The range that a function with these arguments was asked for."""
    if "end" in arguments:
        return Span(arguments["start"], arguments["end"])
    if "len" in arguments and "addr" in arguments:
        return Span.sized(arguments["addr"], arguments["len"])
    return None


def check_texts(dump: CrashDump) -> None:
    """Raises ValueError for a text that is more than a line of printable characters, or no UUID.

    They are shown in many places, among lines of ours; in no dump of ours is there another.
    """
    texts = [dump.vm, dump.operation, dump.uuid, dump.message, *dump.locks]
    texts += [*dump.facts, *(value for value in dump.facts.values() if isinstance(value, str))]
    for frame in dump.stack:
        texts += [frame.function, *frame.names]
    for text in texts:
        if not text.isprintable():
            raise ValueError(f"{shorten(text)} is not printable")
    if len(dump.uuid) != _UUID or not set(dump.uuid) <= _UUID_DIGITS:
        raise ValueError(f"{shorten(dump.uuid)} is no UUID")
