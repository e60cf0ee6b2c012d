"""What colours mean, and lines that know which of their parts mean something.

A colour never stands alone: it is on the word that says the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

BAD, WARNING, GOOD, HEADING, QUIET = "bad", "warning", "good", "heading", "quiet"
GONE, COME, PLACE = "gone", "come", "place"  # of a difference, as everybody's diff has them
_CODES = {
    BAD: "1;31",
    WARNING: "33",
    GOOD: "32",
    HEADING: "1",
    QUIET: "2",
    GONE: "31",
    COME: "32",
    PLACE: "36",
}

_VERDICTS = {
    BAD: (
        *("NOT SAFE", "becomes NOT SAFE", "NOT SAFE on either", "FAIL", "error", "unreadable"),
        *("panicked", "hung", "damage", "nobody", "not written"),
    ),
    WARNING: ("warning", "forgotten", "unknown"),
    GOOD: ("safe", "becomes safe", "ok", "possible"),
}
_TONES = {word: tone for tone, words in _VERDICTS.items() for word in words}
_NEUTRAL = ("", "none", "n/a", "-")


class Part(NamedTuple):
    """A part of a line, and what it means."""

    start: int
    end: int
    tone: str


class Line(str):
    """A line of text with the parts of it that mean something, in order."""

    parts: tuple[Part, ...]

    __slots__ = ("parts",)

    def __new__(cls, text: str, parts: Sequence[Part] = ()) -> Line:
        line = super().__new__(cls, text)
        line.parts = tuple(parts)
        return line


def verdict(cell: str) -> str | None:
    """What a cell means that is a verdict, or begins with one and a colon or a bracket."""
    return _TONES.get(cell) or _TONES.get(re.split(r":| \(", cell, maxsplit=1)[0])


def outcome(cell: str) -> str | None:
    """:func:`verdict` of a cell in which all that is not good is bad."""
    return verdict(cell) or (None if cell in _NEUTRAL else BAD)


def marked(text: str, tone: str, words: str = "") -> Line:
    """*text* with *words* in it (all of it without any) in *tone*, where they stand first."""
    start = text.find(words)
    if start < 0:
        return Line(text)
    return Line(text, (Part(start, start + len(words or text), tone),))


def painted(line: str) -> str:
    """*line* as a terminal takes it that has colours; without blanks at its end."""
    shown = line.rstrip()
    for part in reversed(getattr(line, "parts", ())):
        start, end = part.start, min(part.end, len(shown))
        if start < end:
            inside = f"\x1b[{_CODES[part.tone]}m{shown[start:end]}\x1b[0m"
            shown = shown[:start] + inside + shown[end:]
    return shown
