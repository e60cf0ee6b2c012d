"""Text from outside, made fit to be shown: one line, nothing that a terminal obeys, not endless."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re

LIMIT = 1000

# C0 and C1 controls, DEL, line and paragraph separators, marks that turn the direction of
# text, lone surrogates (bytes that were no UTF-8), and characters without a width of their own.
_UNFIT = (
    "\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}


def clean(text: str, limit: int = LIMIT) -> str:
    """*text* with what is unfit escaped, and cut after *limit* characters.

    >>> clean("a\\n\\x1b[31mred")
    'a\\\\n\\\\e[31mred'
    """
    shown = text if text.isprintable() else _pattern(_UNFIT).sub(_escaped, text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def columns_of(text: str) -> int:
    """How many columns of a terminal *text* takes that is fit to be shown.

    >>> columns_of("vm"), columns_of("漢字")
    (2, 4)
    """
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(
        0 if combining(character) else 2 if east_asian_width(character) in "FW" else 1
        for character in text
    )


def clean_json(document: str) -> str:
    """*document* (JSON text) with what is unfit inside its strings as ``\\u`` escapes."""
    unfit = _UNFIT.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f")  # between values, lines end
    return _pattern(unfit).sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def rejoined(word: str) -> str:
    """A word of the command line as it was meant: bytes that a poor locale left alone, as UTF-8."""
    try:
        return word.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        return word


@cache
def _pattern(characters: str) -> re.Pattern[str]:
    """Any of *characters*; compiled where it is needed, which is seldom."""
    import re

    return re.compile(f"[{characters}]")


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
