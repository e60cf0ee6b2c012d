"""Standard output and error, whose failures decide nothing.

A disk that is full, a stream that is closed, a reader that went away, a name that the
encoding lacks: none of these changes what the simulation came to, so none is raised. They
are remembered, and said at the end where there is still somebody to say it to.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Literal, TextIO, cast

from bhyvesim.errors import UsageError

UNKNOWN_WIDTH = 80  # columns, where no terminal says how wide it is
_FORCING = ("FORCE_COLOR", "CLICOLOR_FORCE")


Colour = Literal["auto", "always", "never"]
COLOURS: tuple[Colour, ...] = ("auto", "always", "never")


class Guarded:
    """A text stream that remembers its first failure, and takes the rest in silence."""

    def __init__(self, stream: TextIO | None, name: str) -> None:
        self._stream = stream
        self.name = name
        self.colour: Colour = "auto"
        self.failure: Exception | None = None
        self.wrote = False  # whether anything was written, or at least tried
        if stream is None:
            self.failure = OSError("it is closed")
        else:
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        self.wrote = self.wrote or bool(text)
        self._try("write", text)
        return len(text)

    def flush(self) -> None:
        self._try("flush")

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    @property
    def coloured(self) -> bool:
        """Whether what people read here has colours.

        What --color says goes before $NO_COLOR, that before $FORCE_COLOR and $CLICOLOR_FORCE,
        and these before what the stream is: a terminal that knows more than plain text.
        """
        if self.colour != "auto":
            return self.colour == "always"
        if os.environ.get("NO_COLOR"):
            return False
        if any(os.environ.get(name, "0") not in ("", "0") for name in _FORCING):
            return True
        return self.isatty() and os.environ.get("TERM") != "dumb"

    @property
    def reader_is_gone(self) -> bool:
        """Whether the other end of a pipe was closed: what was asked for is not wanted any more."""
        return isinstance(self.failure, BrokenPipeError)

    @property
    def problem(self) -> str:
        """What went wrong, for people."""
        strerror = getattr(self.failure, "strerror", None)
        return f"{self.name}: {strerror or self.failure}"

    def silence(self) -> None:
        """Keep the interpreter from failing once more over what it still holds for us."""
        if self.failure is not None and self._stream is not None:
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            except (OSError, ValueError):
                return

    def _try(self, action: str, *arguments: str) -> None:
        if self.failure is not None or self._stream is None:
            return
        try:
            getattr(self._stream, action)(*arguments)
        except (OSError, ValueError) as error:
            self.failure = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def standard_input() -> BinaryIO:
    """Standard input, as bytes. Raises UsageError where it is closed."""
    if sys.stdin is None:
        raise UsageError("standard input: it is closed: expected something to read")
    return sys.stdin.buffer


def reader_is_gone() -> bool:
    """Whether nobody reads standard output any more, so that work for it can stop."""
    return bool(getattr(sys.stdout, "reader_is_gone", False))


def choose_colour(choice: Colour) -> None:
    """What --color says, for both streams."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Guarded):
            stream.colour = choice


def coloured(stream: TextIO) -> bool:
    """:attr:`Guarded.coloured` of a stream that may be behind another."""
    return bool(getattr(stream, "coloured", False))


def colour_is_asked_for() -> bool:
    """Whether it was by --color=always: then also where no terminal is, if nobody said plain."""
    return getattr(sys.stdout, "colour", "auto") == "always"


def columns(stream: TextIO) -> int:
    """``$COLUMNS``, else the columns of the terminal that *stream* is, else 80."""
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given[:9]):
        return int(given[:9])
    try:
        return os.get_terminal_size(stream.fileno()).columns or UNKNOWN_WIDTH
    except (AttributeError, ValueError, OSError):
        return UNKNOWN_WIDTH


class _Behind:
    """A stream before whose every write something else is written."""

    def __init__(self, stream: TextIO, before: Callable[[], None]) -> None:
        self._stream = stream
        self._before = before

    def write(self, text: str) -> int:
        self._before()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def aside(before: Callable[[], None]) -> Iterator[None]:
    """Within, what goes to standard output goes to standard error.

    Before anything goes there, *before* is called: it writes what was first.
    """
    streams = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = cast(TextIO, _Behind(sys.stderr, before))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


@contextmanager
def guarded() -> Iterator[tuple[Guarded, Guarded]]:
    """Within, sys.stdout and sys.stderr are guarded."""
    before = sys.stdout, sys.stderr
    out, err = Guarded(sys.stdout, "standard output"), Guarded(sys.stderr, "standard error")
    sys.stdout, sys.stderr = out, err
    try:
        yield out, err
    finally:
        out.flush()
        err.flush()
        out.silence()
        err.silence()
        sys.stdout, sys.stderr = before
