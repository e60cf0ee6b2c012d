"""What a command prints for programs where it comes to nothing: one document all the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from bhyvesim.crash.dump import CrashDump
from bhyvesim.errors import ERRNOS, STATUSES
from bhyvesim.report.model import Note, one_of
from bhyvesim.values import Value


class Problem(NamedTuple):
    """``status`` is the exit status; ``errno`` the simulated kernel's answer, if it is its.

    ``file``, ``line`` and ``column`` are where a file is wrong, from 1 on.
    """

    status: Annotated[
        int, Note(meaning=", ".join(f"{n}: {word}" for n, word in STATUSES.items() if n))
    ]
    errno: Annotated[str, one_of((*ERRNOS, "PANICKED", "HUNG"))] | None
    message: str
    file: str | None
    line: int | None
    column: int | None


class Failed(NamedTuple):
    """Any command that is refused, or asked for what cannot be."""

    error: Problem


class KernelStopped(NamedTuple):
    """The panic or hang itself; stack rows are function and arguments, innermost first."""

    letter: str | None
    function: str
    message: str
    stack: tuple[tuple[Any, ...], ...]
    facts: dict[str, Any]


class Halted(Value):
    """Any command during which the simulated kernel panics or hangs.

    ``crash`` is the number of its dump; null in a dry run, which stores none. Either
    ``panic`` or ``hang`` is there.
    """

    outcome: Annotated[str, one_of(("panicked", "hung"))]
    vm: str
    operation: str
    crash: int | None
    panic: KernelStopped | None
    hang: KernelStopped | None

    ABSENT: ClassVar[Sequence[str]] = ("panic", "hang")


def halted(dump: CrashDump, crash: int | None) -> Halted:
    """What became of the VM of *dump*, which is stored under the number *crash*."""
    stop = KernelStopped(
        dump.letter,
        dump.function,
        dump.message,
        tuple((frame.function, list(frame.args)) for frame in dump.stack),
        dict(dump.facts),
    )
    outcome = dump.snapshot.state
    panic, hang = (None, stop) if dump.hung else (stop, None)
    return Halted(outcome, dump.vm, dump.operation, crash, panic, hang)
