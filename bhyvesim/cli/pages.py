"""Printing pages: in the width of the terminal, or for pipes and programs."""

from __future__ import annotations

import os
import shutil
import sys

from bhyvesim.report.fit import Page

PIPED = 80  # columns, where prose is wrapped and nobody's terminal says how wide


def show(page: Page, fmt: str | None) -> None:
    """Print *page*; without a format, for the terminal if that is one, else plain."""
    fmt = fmt or usual("table")
    if fmt == "json":
        sys.stdout.write(page.json())
    else:
        sys.stdout.write(page.plain(None if fmt == "plain" else width()))
    sys.stdout.flush()


def show_diff(page: Page, fmt: str | None) -> None:
    """:func:`show`, what went in red and what came in green where that can be seen."""
    if (fmt or usual("table")) != "table" or not in_colour():
        show(page, fmt)
        return
    from click import style

    colours = {"-": "red", "+": "green", "@": "cyan"}
    for line in page.plain(width()).splitlines():
        bold = line.startswith(("---", "+++"))
        sys.stdout.write(style(line, fg=colours.get(line[:1]), bold=bold) + "\n")
    sys.stdout.flush()


def in_colour() -> bool:
    """Whether standard output is a terminal, and nobody objects to colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def usual(on_a_terminal: str) -> str:
    """The format where none was asked for: that *on_a_terminal*, else plain."""
    return on_a_terminal if sys.stdout.isatty() else "plain"


def width() -> int:
    """The columns of the terminal: ``$COLUMNS``, else what it says itself, else 80."""
    return shutil.get_terminal_size((PIPED, 24)).columns
