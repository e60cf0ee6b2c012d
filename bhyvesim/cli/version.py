"""--version: this program's, and the kernel revisions that it knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bhyvesim import __version__
from bhyvesim.cli.builtin import BUILT_IN as _ROWS
from bhyvesim.cli.pages import write
from bhyvesim.report.fit import paragraph

_UNDER = " " * 23


class Row(NamedTuple):
    """A kernel revision, and its panics and hangs as people call them."""

    name: str
    date: str
    summary: str
    known: str


# Of those in kernel/revisions, but without the kernels, which nobody needs to print a date.
BUILT_IN = tuple(Row(*row) for row in _ROWS)


def show(rows: Iterable[Row]) -> None:
    """Print the version and *rows*, oldest first."""

    def text(width: int | None) -> list[str]:
        lines = [f"bhyvesim {__version__}", "", "kernel revisions, oldest first:"]
        for row in rows:
            first = f"  {row.name:<7} {row.date:<12} "
            lines += paragraph(row.summary, width, first, _UNDER)
            lines += paragraph(f"known: {row.known}", width, _UNDER, f"{_UNDER}  ")
        return lines

    write(text, None)
