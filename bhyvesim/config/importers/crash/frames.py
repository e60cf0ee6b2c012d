"""The lines of a stack, as a console, mdb and a fault record print them."""

from __future__ import annotations

import re
from typing import NamedTuple

_FRAME = re.compile(
    r"(?:[0-9a-f]{8,16} +)?(?:[\w.]{1,40}[:`])?~?(?P<function>[A-Za-z_][\w.$:<>@]{0,200})"
    r"(?P<offset>\+(?:0x)?[0-9a-f]{1,8})? ?\((?P<args>[^()]{0,2000})(?P<end>\)?)",
    re.ASCII,
)
_BARE = re.compile(r"(?:[0-9a-f]{8,16} +)?[0-9a-f]{8,16} \(\)", re.ASCII)
_MORE = re.compile(r"[0-9a-fx, ]{1,200}\)?", re.ASCII)
# The functions that show a stack without offset: the kernel's own way into a panic.
_ENDS = ("vpanic", "panic", "panicsys")


class Called(NamedTuple):
    """A function that was under way; ``args`` is None where they are missing or cut off."""

    function: str
    args: tuple[int, ...] | None
    line: int


def frame_of(text: str, line: int) -> Called | None:
    """The frame that *text* shows; None where it shows none."""
    match = _FRAME.match(text)
    if match is None or not (match["offset"] or match["function"] in _ENDS):
        return None
    if match["end"] and text[match.end() :].strip(" |"):
        return None  # prose that happens to begin so
    return Called(match["function"], _args(match["args"]) if match["end"] else None, line)


def is_open(text: str) -> bool:
    """Whether the arguments of the frame in *text* go on in the next line."""
    return "(" in text and ")" not in text


def continues(text: str) -> bool:
    """Whether *text* may be the rest of a frame's arguments."""
    return _MORE.fullmatch(text) is not None


def is_bare(text: str) -> bool:
    """Whether *text* is a frame without a symbol."""
    return _BARE.fullmatch(text) is not None


def _args(text: str) -> tuple[int, ...] | None:
    words = text.replace(",", " ").split()
    try:
        values = tuple(int(word, 16) for word in words)
    except ValueError:
        return None
    return values if values and max(values) < 1 << 64 else None
