"""The machine that a command looks at: a stored VM as it is, as it was, or a crash dump."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from bhyvesim import limits
from bhyvesim.cli.session import Session
from bhyvesim.errors import UsageError
from bhyvesim.kernel.builds import build_name
from bhyvesim.kernel.machine import Machine
from bhyvesim.text import rejoined
from bhyvesim.units import shorten
from bhyvesim.values import Value

if TYPE_CHECKING:
    from bhyvesim.crash.dump import CrashDump

MAX_DIGITS = 40  # of a crash's id as somebody types it
F = TypeVar("F", bound=Callable[..., Any])

_DUMP = ".dump"  # what the name of a dump in a file ends in, or it has a slash


class Subject(Value):
    """A machine to look at, the VM's name, and a line that says what it is.

    *label* tells it from others: ``testvm``, ``testvm@2.1``, ``crash:7``. *seq* is
    the moment of its life, if it is a past one.
    """

    name: str
    machine: Machine
    title: str
    label: str
    seq: int | None = None


def subject(session: Session) -> Subject:
    """What is meant by ``--crash``, or by ``--vm`` and ``--at``.

    A VM after a panic or hang is shown as its dump has it. Raises as Session.name(), and
    StateError where what is stored cannot be used.
    """
    if session.crash is not None:
        if session.at is not None:
            raise UsageError("--at together with --crash: expected one of the two")
        return of_crash(session, session.crash)
    if session.at is not None:
        return of_past(session, session.which_ever(), session.at)
    row = session.stored_to_show()
    return of_machine(row.name, row.state, session.host.machine(row.name))


def subject_of(session: Session, which: str) -> Subject:
    """What ``VM``, ``@EVENT``, ``VM@EVENT``, ``crash:ID`` or a file with a dump stands for."""
    if which.startswith("crash:") or is_dump_file(which):
        return of_crash(session, which)
    which = rejoined(which)
    name, at, when = which.rpartition("@")
    if not at or which in session.host.names():
        row = session.stored_to_show_of(which)
        return of_machine(row.name, row.state, session.host.machine(row.name))
    return of_past(session, name or session.which_ever(), when)


def of_machine(name: str, state: str, machine: Machine, when: str = "", at: str = "") -> Subject:
    """A machine, with what is to be said of it."""
    kernel = f"kernel {machine.revision.name} {build_name(machine.kernel.debug)}"
    title = f"{name}: {when}{', ' if when else ''}{state}, {kernel}, {machine.npt.name.upper()}"
    return Subject(name, machine, title, f"{name}@{at}" if at else name)


def of_past(session: Session, name: str, when: str) -> Subject:
    """The VM *name* as it was at *when*. Raises UsageError where there is no such moment."""
    from bhyvesim.host.history import History

    history = History(session.store, name)
    place = history.find(when)
    past = history.past(place)
    if past.state == "destroyed":
        raise UsageError(
            f"--at {shorten(when)}: {name} was destroyed then: expected a moment before"
        )
    made = of_machine(name, past.state, past.machine, past.when, when)
    return made.but(seq=place.seq)


def of_crash(session: Session, which: str) -> Subject:
    """A crash dump, by its id or in a file, as a machine."""
    dump, number = crash_dump(session, which)
    label = which if number is None else f"crash:{number}"
    made = of_machine(dump.vm, dump.snapshot.state, dump.machine(), f"during {dump.operation}")
    return Subject(made.name, made.machine, f"{label}, {made.title}", label)


def crash_dump(session: Session, which: str | None) -> tuple[CrashDump, int | None]:
    """The dump *which*, and its number; of one in a file there is none.

    An id, ``crash:ID``, or a file, whose name has a slash or ends in .dump; without, the
    latest. Raises Refused (ENOENT), UsageError.
    """
    if which is not None and is_dump_file(which):
        return read_dump_file(which), None
    number = None if which is None else which.removeprefix("crash:")
    if number is not None and not is_id(number):
        raise UsageError(
            f"{shorten(number)} is no crash: expected an id, or a file such as ./7.dump"
        )
    from bhyvesim.store.dumps import read_crash

    with session.store.reading() as transaction:
        row = transaction.crash(None if number is None else int(number))
        return read_crash(transaction, row), row.id


def is_id(word: str) -> bool:
    """Whether *word* can be a crash's id: digits of ASCII, not endlessly many."""
    return word.isascii() and word.isdigit() and len(word) <= MAX_DIGITS


def is_dump_file(which: str) -> bool:
    """Whether *which* names a file, rather than a stored dump or VM."""
    return os.sep in which or which.endswith(_DUMP)


def read_dump_file(path: str) -> CrashDump:
    """The dump in a file. Raises UsageError; of a damaged or later one it says so."""
    from bhyvesim.crash.codec import BadDump, decode

    try:
        with open(path, "rb") as file:
            data = file.read(limits.DUMP.most + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path}: {reason}: expected a crash dump") from None
    try:
        return decode(data)
    except BadDump as error:
        raise UsageError(f"{path}: {error}") from None
