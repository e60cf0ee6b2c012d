"""Reports for a terminal, drawn by rich."""

from __future__ import annotations

from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bhyvesim.report.model import Report


def console(stream: TextIO) -> Console:
    """A console that takes text as it is: ``[bootrom]`` is not markup."""
    return Console(file=stream, markup=False, highlight=False, emoji=False, soft_wrap=True)


def draw(report: Report, stream: TextIO) -> None:
    """Print *report* as a table; no value is ever shortened or wrapped."""
    if not report.rows:
        console(stream).print(Text(report.empty))
        return
    table = Table(box=SIMPLE_HEAD, title=report.title, title_justify="left", pad_edge=False)
    for column in report.columns:
        table.add_column(
            Text(column.name), justify="right" if column.right else "left", no_wrap=True
        )
    for row in report.rows:
        table.add_row(*(Text(cell) for cell in row))
    out = console(stream)
    natural = out.measure(table, options=out.options.update(width=10_000)).maximum
    out.print(table, width=max(natural, 1), crop=False, overflow="ignore", no_wrap=True)
