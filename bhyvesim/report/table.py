"""Reports for a terminal, drawn by rich."""

from __future__ import annotations

from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from bhyvesim.report.model import Report

_WIDE = 10_000  # columns; nothing we print is wider


def console(stream: TextIO, width: int | None = None) -> Console:
    """A console that takes text as it is: ``[bootrom]`` is not markup."""
    return Console(file=stream, markup=False, highlight=False, emoji=False, width=width)


def draw(report: Report, stream: TextIO) -> None:
    """Print *report* as a table as wide as it needs; no value is shortened or wrapped."""
    if not report.rows:
        console(stream, _WIDE).print(Text(report.empty))
        return
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in report.columns:
        justify: JustifyMethod = "right" if column.right else "left"
        table.add_column(Text(column.name), justify=justify, no_wrap=True)
    for row in report.clean_rows():
        table.add_row(*map(Text, row))
    width = console(stream, _WIDE).measure(table).maximum
    console(stream, width).print(table)
    for note in report.notes:
        stream.write(f"{note}\n")
