"""What an interrupted command leaves, for the same command to go on with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from bhyvesim import limits
from bhyvesim.cli.files import write_whole
from bhyvesim.cli.session import Session
from bhyvesim.errors import UsageError


def left_in(path: str) -> str | None:
    """The text of *path*; None where nothing was left. Raises UsageError."""
    return read_text(path) if os.path.lexists(path) else None


def read_text(path: str) -> str:
    """The text of a file that bhyvesim wrote itself. Raises UsageError."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(limits.LEFT.most)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise UsageError(f"{path}: {reason}: expected what bhyvesim left there") from None


@contextmanager
def kept(session: Session, path: str | None, saved: Callable[[], str | None]) -> Iterator[None]:
    """Within, work that may be interrupted: then *path* keeps what is *saved*, if anything is.

    Once it is done, *path* is no more.
    """
    try:
        yield
    except BaseException:
        text = None if path is None else saved()
        if path is not None and text is not None:
            write_whole(path, text.encode())
            session.note(f"what was done until here is kept: the same command goes on ({path})")
        raise
    if path is not None:
        with suppress(FileNotFoundError):
            os.unlink(path)
