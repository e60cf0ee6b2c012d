"""Text that fits: tables, or records where a table is too wide, and paragraphs.

A width of None is no limit: for pipes, a table is always a table, a line a row.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bhyvesim.report.model import Column, document
from bhyvesim.text import clean

_GAP = "  "
_NARROWEST = 20  # columns; below, paragraphs are wrapped no further


class Page(NamedTuple):
    """One answer: ``record`` is its JSON document, ``text`` the lines for so many columns."""

    record: Any  # see model.py
    text: Callable[[int | None], Sequence[str]]

    def json(self) -> str:
        """For programs."""
        return document(self.record)

    def plain(self, width: int | None) -> str:
        """For people and pipes; no line ends in blanks."""
        return "".join(f"{line.rstrip()}\n" for line in self.text(width))


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int | None,
    *,
    alike: bool = False,
) -> list[str]:
    """A heading, and a line a row.

    Where that is wider than *width*, the last column goes to lines of its own, unless it is
    *alike* the others and nothing without its heading; where that does not help either, each
    row becomes a record, a line a value. No value is cut or broken, but for those of the last
    column or of a record, at blanks.
    """
    shown = [[clean(cell) for cell in row] for row in rows]
    whole = _aligned(columns, shown)
    if width is None or _widest(whole) <= width:
        return whole
    folded = [] if alike else _folded(columns, shown, width)
    return folded if folded and _widest(folded) <= width else _records(columns, shown, width)


def paragraph(text: str, width: int | None, first: str = "", rest: str = "") -> list[str]:
    """*text* after *first*, wrapped at blanks; what is wrapped stands behind *rest*."""
    if width is None:
        return [first + clean(text)]
    return textwrap.wrap(
        clean(text),
        max(width, _NARROWEST),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first]


def named(pairs: Sequence[tuple[str, str]], width: int | None) -> list[str]:
    """A line for each name and what is to be said of it, the latter aligned and wrapped."""
    left = max((len(name) for name, _ in pairs), default=0) + len(_GAP)
    lines = []
    for name, text in pairs:
        lines += paragraph(text, width, name.ljust(left), " " * left)
    return lines


def aligned(rows: Sequence[Sequence[str]], right: Sequence[bool], gap: int) -> list[str]:
    """A line a row, columns *gap* blanks apart; those that *right* names stand to the right."""
    shown = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, values)) for values in zip(*shown, strict=True)]
    sides = [*right, *[False] * len(widths)]
    return [
        (" " * gap)
        .join(
            cell.rjust(width) if side else cell.ljust(width)
            for cell, width, side in zip(row, widths, sides, strict=False)
        )
        .rstrip()
        for row in shown
    ]


def _aligned(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    heading = [column.name for column in columns]
    return aligned([heading, *rows], [column.right for column in columns], len(_GAP))


def _folded(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    if len(columns) < 3:
        return []
    lines = _aligned(columns[:-1], [row[:-1] for row in rows])
    indent = " " * (max(len(columns[0].name), *(len(row[0]) for row in rows)) + len(_GAP))
    folded = [lines[0]]
    for line, row in zip(lines[1:], rows, strict=True):
        folded.append(line)
        if row[-1]:
            folded += paragraph(row[-1], width, indent, indent)
    return folded


def _records(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    lines: list[str] = []
    for row in rows:
        if lines:
            lines.append("")
        told = [(column.name, cell) for column, cell in zip(columns, row, strict=True) if cell]
        lines += named(told, width)
    return lines


def _widest(lines: Sequence[str]) -> int:
    return max(map(len, lines), default=0)
