"""Printing pages: in the width of the terminal, or for pipes and programs."""

from __future__ import annotations

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


def usual(on_a_terminal: str) -> str:
    """The format where none was asked for: that *on_a_terminal*, else plain."""
    return on_a_terminal if sys.stdout.isatty() else "plain"


def width() -> int:
    """The columns of the terminal: ``$COLUMNS``, else what it says itself, else 80."""
    return shutil.get_terminal_size((PIPED, 24)).columns
