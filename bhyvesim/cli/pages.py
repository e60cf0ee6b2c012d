"""Printing pages: in the width of the terminal, or for pipes and programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from bhyvesim.cli.streams import colour_is_asked_for, coloured, columns
from bhyvesim.report.fit import Page, joined, wrapped


def show(page: Page, fmt: str | None) -> None:
    """Print *page*; without a format, for the terminal if that is one, else plain."""
    if fmt == "json":
        sys.stdout.write(page.json())
    else:
        write(page.text, fmt)
    sys.stdout.flush()


def write(text: Callable[[int | None], Sequence[str]], fmt: str | None) -> None:
    """Print the lines of *text*, which are made for a number of columns, or None for a pipe.

    The format plain never has colours, nor has what is plain because it is piped, unless
    --color=always asks for them: scripts read it.
    """
    plain = (fmt or usual("table")) == "plain"
    colour = colour_is_asked_for() and fmt is None if plain else coloured(sys.stdout)
    sys.stdout.write(joined(text(None if plain else width()), colour=colour))


def usual(on_a_terminal: str) -> str:
    """The format where none was asked for: that *on_a_terminal*, else plain."""
    return on_a_terminal if sys.stdout.isatty() else "plain"


def width() -> int:
    """The columns for standard output."""
    return columns(sys.stdout)


def fitting(stream: TextIO) -> Callable[[str], int]:
    """The stream's write, for whole lines; what is too long for its terminal is wrapped."""
    if not stream.isatty():
        return stream.write
    wide = columns(stream)

    def write_wrapped(text: str) -> int:
        for line in text.splitlines():
            indent = " " * (len(line) - len(line.lstrip()) + 4)
            stream.write(joined(wrapped(line, wide, "", indent), colour=False))
        return len(text)

    return write_wrapped
