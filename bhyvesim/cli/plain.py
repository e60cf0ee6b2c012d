"""The commands that scripts call in loops, said plainly: done without click.

Importing click and building its commands would take a quarter of their time. Read here is a line
that has the command, at most one VM, and options with which nothing can be wrong; whatever else
stands on it, a mistake above all, is left to click, to which the same line means the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from bhyvesim.cli.session import FORMATS, Session
from bhyvesim.errors import BadValue
from bhyvesim.prot import parse_prot
from bhyvesim.units import parse_address, parse_size

Said = dict[str, Any]  # by option; the VM's name is --vm's, however it was given


class _Command(NamedTuple):
    """What it does with what was said; its own options, how their values are read, and flags."""

    do: Callable[[Session, Said], int | None]
    values: Mapping[str, Callable[[str], Any]] = {}  # nobody changes it
    flags: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def _show(session: Session, said: Said) -> None:
    from bhyvesim.cli import showing

    showing.show(session, said.get("--format"))


def _reboot(session: Session, said: Said) -> None:
    from bhyvesim.cli import life

    life.reboot(session, said.get("--format"))


def _touch(session: Session, said: Said) -> int:
    from bhyvesim.cli import life
    from bhyvesim.vm.spec import TouchSpec

    length = said.get("--len", parse_size(life.TOUCH_LENGTH))
    access = said.get("--access", parse_prot(life.TOUCH_ACCESS))
    return life.touch(session, TouchSpec(said["--gpa"], length, access), said.get("--format"))


def _destroy(session: Session, said: Said) -> int:
    from bhyvesim.cli import life

    return life.destroy(session, [session.which()], said.get("--format"), several=False)


def _length(text: str) -> int:
    length = parse_size(text)
    if not length:
        raise BadValue("0 is no length", "a size")
    return length


def _known_format(text: str) -> str:
    if text not in FORMATS:
        raise BadValue(text, "a format")
    return text


_VALUES: Mapping[str, Callable[[str], Any]] = {"--vm": str, "--format": _known_format}
_VOICES = {"-q": "--quiet", "--quiet": "--quiet", "-v": "--verbose", "--verbose": "--verbose"}
_BEFORE = "--trust-state"  # stands before the command only
_COMMANDS = {
    "show": _Command(_show),
    "reboot": _Command(_reboot, flags=("--dry-run",)),
    "touch": _Command(
        _touch,
        {"--gpa": parse_address, "--len": _length, "--access": parse_prot},
        needs=("--gpa",),
    ),
    "destroy": _Command(_destroy, flags=("--dry-run",)),
}


def done_plainly(argv: Sequence[str], session: Session) -> int | None:
    """Do what *argv* says, and return the exit status; None: it is click's, nothing was done."""
    said = _said(argv)
    if said is None:
        return None
    command, options = said
    session.vm = options.get("--vm")
    session.quiet, session.verbose = "--quiet" in options, "--verbose" in options
    session.trusted, session.dry_run = _BEFORE in options, "--dry-run" in options
    try:
        return command.do(session, options) or 0
    except KeyboardInterrupt:
        print(file=sys.stderr)  # as click does: the terminal shows ^C
        raise


def _said(argv: Sequence[str]) -> tuple[_Command, Said] | None:
    """The command, and what was said, nothing of it twice; None where more has to be known."""
    command: _Command | None = None
    said: Said = {}
    words = iter(argv)
    for word in words:
        option, equals, value = word.partition("=")
        told: Any = True
        readers = {**_VALUES, **(command.values if command else {})}
        flags = command.flags if command else (_BEFORE,)
        if word in _VOICES:
            option = _VOICES[word]
        elif word in flags:
            pass
        elif option in readers:
            value = value if equals else next(words, "-")
            if not value or value.startswith("-"):
                return None
            try:
                told = readers[option](value)
            except BadValue:
                return None
        elif word.startswith("-"):
            return None
        elif command is None:
            if word not in _COMMANDS:
                return None
            command = _COMMANDS[word]
            continue
        else:
            option, told = "--vm", word
        if option in said or not word:
            return None
        said[option] = told
    if command is None or not set(command.needs) <= said.keys():
        return None
    return command, said
