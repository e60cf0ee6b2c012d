"""Text that fits: tables, or records where a table is too wide, and paragraphs.

A width of None is no limit: for pipes, a table is always a table, a line a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bhyvesim.report.model import Column, document
from bhyvesim.report.tones import HEADING, QUIET, Line, Part, painted
from bhyvesim.text import clean, columns_of

_GAP = "  "
_NARROWEST = 20  # columns; below, paragraphs are wrapped no further
_TABLES_FROM = 60  # columns; below, what does not fit as it is becomes records
_SHORT, _DEEP = 16, 4  # what is below a first column of so many columns, or of more, is indented
_LEAST = 16  # columns that a last column is folded into, where it stands

# What no wrap parts: anything without blanks, ranges of addresses, the verdict of two words.
_WORD = re.compile(r"NOT SAFE\S*|\S*\[\w+, \w+[)\]]\S*|\S+")

Tone = Callable[[str], "str | None"]


class Page(NamedTuple):
    """One answer: ``record`` is its JSON document, ``text`` the lines for so many columns."""

    record: Any  # see model.py
    text: Callable[[int | None], Sequence[str]]

    def json(self) -> str:
        """For programs."""
        return document(self.record)

    def plain(self, width: int | None, *, colour: bool = False) -> str:
        """For people and pipes; no line ends in blanks."""
        return joined(self.text(width), colour=colour)


def joined(lines: Sequence[str], *, colour: bool) -> str:
    """*lines* as they are written; no line ends in blanks."""
    return "".join(f"{painted(line) if colour else line.rstrip()}\n" for line in lines)


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int | None,
    *,
    alike: bool = False,
    rule: str = "",
) -> list[str]:
    """A heading, a line of *rule* if there is one, and a line a row.

    Where that is wider than *width*, the last column of text is folded at blanks, where it
    stands or on lines of its own; columns that are *alike* are told in several tables
    instead. Where that does not help either, and below 60 columns, each row becomes a
    record, a line a value. No value is cut or broken, but for those of the folded column or
    of a record, at blanks.
    """
    shown = [[clean(cell) for cell in row] for row in rows]
    whole = _ruled(_aligned(columns, shown), rule)
    if width is None or _widest(whole) <= width:
        return whole
    if width >= _TABLES_FROM:
        ways = (_parted,) if alike else (_folded, _below)
        for way in ways:
            lines = way(columns, shown, width, rule)
            if lines and _widest(lines) <= width:
                return lines
    return _records(columns, shown, width)


def paragraph(text: str, width: int | None, first: str = "", rest: str = "") -> list[str]:
    """*text* after *first*, wrapped at blanks; what is wrapped stands behind *rest*."""
    return [first + clean(text)] if width is None else wrapped(clean(text), width, first, rest)


def wrapped(shown: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """:func:`paragraph` of text that is fit to be shown, however long it is."""
    width = max(width, _NARROWEST)
    lines: list[str] = []
    line, used, end = first, columns_of(first), 0
    for word in _WORD.finditer(shown):
        gap, wide = shown[end : word.start()], columns_of(word[0])
        if end and used + len(gap) + wide > width:
            lines.append(line)
            line, used, gap = rest, columns_of(rest), ""
        line, used, end = f"{line}{gap}{word[0]}", used + len(gap) + wide, word.end()
    return [*lines, line]


def packed(
    words: Sequence[str],
    width: int,
    *,
    first: str,
    rest: str,
    between: str,
    broken: str,
) -> list[str]:
    """*words*, *between* between two of them, in as few lines as it takes.

    A line that others follow ends in *broken*; those stand behind *rest*. No word is parted.
    """
    lines: list[str] = []
    line = first
    for i, word in enumerate(map(clean, words)):
        last = i == len(words) - 1
        needed = columns_of(word) + (0 if last else columns_of(broken))
        if i and columns_of(line + between) + needed > width:
            lines.append(line + broken)
            line = rest + word
        else:
            line += (between if i else "") + word
    return [*lines, line]


def named(
    pairs: Sequence[tuple[str, str]], width: int | None, tone: Tone | None = None
) -> list[str]:
    """A line for each name and what is to be said of it, the latter aligned and wrapped.

    *tone* is of what stands before the first colon there.
    """
    left = max((columns_of(name) for name, _ in pairs), default=0) + len(_GAP)
    lines: list[str] = []
    for name, text in pairs:
        first, *rest = paragraph(text, width, _padded(name, left), " " * left)
        meant = tone(text) if tone else None
        word = Part(left, left + columns_of(text.partition(":")[0]), meant or "")
        lines += [Line(first, (word,)) if meant else first, *rest]
    return lines


def aligned(rows: Sequence[Sequence[str]], right: Sequence[bool], gap: int) -> list[str]:
    """A line a row, columns *gap* blanks apart; those that *right* names stand to the right."""
    shown = [[clean(cell) for cell in row] for row in rows]
    widths = _widths(shown)
    sides = [*right, *[False] * len(widths)]
    return [_line(row, widths, sides, " " * gap) for row in shown]


def _padded(cell: str, width: int, *, right: bool = False) -> str:
    blanks = " " * (width - columns_of(cell))
    return blanks + cell if right else cell + blanks


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(columns_of, values)) for values in zip(*rows, strict=True)]


def _line(
    row: Sequence[str],
    widths: Sequence[int],
    sides: Sequence[bool],
    gap: str = _GAP,
    tones: Sequence[str | None] = (),
) -> Line:
    """One row, each cell of it in its tone."""
    text, parts = "", []
    for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
        text += gap if i else ""
        padded = _padded(cell, width, right=sides[i])
        tone = tones[i] if tones else None
        if tone and cell:
            start = len(text) + padded.index(cell)
            parts.append(Part(start, start + len(cell), tone))
        text += padded
    return Line(text.rstrip(), parts)


def _toned(line: str, start: int, tone: str | None) -> str:
    return Line(line, (Part(start, len(line), tone),)) if tone else line


def _aligned(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    heading = [column.name for column in columns]
    widths = _widths([heading, *rows])
    sides = [column.right for column in columns]
    lines: list[str] = [_line(heading, widths, sides, tones=[HEADING] * len(columns))]
    return lines + [_line(row, widths, sides, tones=_tones(columns, row)) for row in rows]


def _tones(columns: Sequence[Column], row: Sequence[str]) -> list[str | None]:
    return [
        column.tone(cell) if column.tone else None
        for column, cell in zip(columns, row, strict=True)
    ]


def _ruled(lines: list[str], rule: str) -> list[str]:
    """*lines* with a rule below the first."""
    if not rule:
        return lines
    line = rule * _widest(lines)
    return [lines[0], _toned(line, 0, QUIET), *lines[1:]]


def _folded(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, rule: str
) -> list[str]:
    """One column of text in several lines: the last, else the widest; nothing if neither helps."""
    widths = _widths([[column.name for column in columns], *rows])
    texts = [i for i, column in enumerate(columns) if not column.right]
    others = sum(widths) + len(_GAP) * (len(columns) - 1)
    for at in dict.fromkeys((*texts[-1:], *sorted(texts, key=lambda i: -widths[i])[:1])):
        room = width - (others - widths[at])
        if room >= min(_LEAST, widths[at]):
            lines = _ruled(_wrapped(columns, rows, at, room), rule)
            if _widest(lines) <= width:
                return lines
    return []


def _wrapped(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], at: int, room: int
) -> list[str]:
    """The table with its column *at* in *room* columns; the others stand in its first line."""
    heading = [column.name for column in columns]
    pieces: list[list[str]] = []
    tones: list[list[str | None]] = []
    for row in rows:
        for i, piece in enumerate(paragraph(row[at], room)):
            first = [""] * len(columns) if i else list(row)
            pieces.append([*first[:at], piece, *first[at + 1 :]])
            tones.append(_tones(columns, row))
    widths = _widths([heading, *pieces])
    sides = [column.right for column in columns]
    lines: list[str] = [_line(heading, widths, sides, tones=[HEADING] * len(columns))]
    lines += [
        _line(piece, widths, sides, tones=tone) for piece, tone in zip(pieces, tones, strict=True)
    ]
    return lines


def _below(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, rule: str
) -> list[str]:
    """The last column on lines of its own."""
    if len(columns) < 3:
        return []
    lines = _ruled(_aligned(columns[:-1], [row[:-1] for row in rows]), rule)
    first = max(columns_of(columns[0].name), *(columns_of(row[0]) for row in rows))
    indent = " " * (first + len(_GAP) if first <= _SHORT else _DEEP)
    heads = len(lines) - len(rows)
    below = lines[:heads]
    for line, row in zip(lines[heads:], rows, strict=True):
        below.append(line)
        if row[-1]:
            tone = _tones(columns, row)[-1]
            told = paragraph(row[-1], width, indent, indent)
            below += [_toned(text, len(indent), tone) for text in told]
    return below


def _parted(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, rule: str
) -> list[str]:
    """Several tables of as many columns as fit, each with the first one before them."""
    widths = _widths([[column.name for column in columns], *rows])
    groups: list[list[int]] = [[]]
    for i in range(1, len(columns)):
        wide = widths[0] + sum(widths[j] + len(_GAP) for j in (*groups[-1], i))
        if groups[-1] and wide > width:
            groups.append([])
        groups[-1].append(i)
    lines: list[str] = []
    for group in groups:
        picked = [0, *group]
        part = _aligned([columns[i] for i in picked], [[row[i] for i in picked] for row in rows])
        lines += [*([""] if lines else []), *_ruled(part, rule)]
    return lines


def _records(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """A line a value, behind its column's name; a value whose column has none stands alone."""
    left = max(columns_of(column.name) for column in columns) + len(_GAP)
    lines: list[str] = []
    for row in rows:
        if lines:
            lines.append("")
        for column, cell, tone in zip(columns, row, _tones(columns, row), strict=True):
            if cell:
                first = _padded(column.name, left) if column.name else ""
                told = paragraph(cell, width, first, " " * left)
                lines += [_toned(line, len(first), tone) for line in told]
    return lines


def _widest(lines: Sequence[str]) -> int:
    return max(map(columns_of, lines), default=0)
