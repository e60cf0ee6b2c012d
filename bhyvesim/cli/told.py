"""A document for programs also where a command fails: one on standard output, whatever comes."""

from __future__ import annotations

import re
import sys

from bhyvesim.errors import BhyvesimError, HostStopped, Refused
from bhyvesim.text import clean

_PLACE = re.compile(r"(?P<file>[^\n]+?):(?P<line>[1-9][0-9]{0,9})(:(?P<column>[1-9][0-9]{0,9}))?: ")


def tell_stopped(stopped: HostStopped, *, dry_run: bool) -> None:
    """Print that the simulated kernel panicked or hung, unless something is printed already."""
    if _printed():
        return
    from bhyvesim.host.host import Stopped
    from bhyvesim.report.failed import halted
    from bhyvesim.report.model import document

    assert isinstance(stopped, Stopped)
    _print(document(halted(stopped.dump, None if dry_run else stopped.crash_id)))


def tell_failed(message: str, status: int, error: BaseException | None = None) -> None:
    """Print what went wrong, unless something is printed already."""
    if _printed():
        return
    from bhyvesim.report.failed import Failed, Problem
    from bhyvesim.report.model import document

    errno = error.errno_name if isinstance(error, Refused) else None
    file, line, column = _place(message, error)
    _print(document(Failed(Problem(status, errno, clean(message), file, line, column))))


def _place(message: str, error: BaseException | None) -> tuple[str | None, int | None, int | None]:
    """Where a file is wrong: what *error* knows of it, else what its message begins with."""
    source, line = getattr(error, "source", None), getattr(error, "line", None)
    if isinstance(source, str) and isinstance(line, int):
        return source, line, getattr(error, "column", None)
    match = _PLACE.match(message) if isinstance(error, BhyvesimError) else None
    if match is None or match["file"].startswith("-"):
        return None, None, None
    column = match["column"]
    return match["file"], int(match["line"]), None if column is None else int(column)


def _printed() -> bool:
    return bool(getattr(sys.stdout, "wrote", False))


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
