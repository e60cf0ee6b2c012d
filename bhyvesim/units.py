"""Pages, sizes, and the text forms of both."""

from __future__ import annotations

import re

from bhyvesim.errors import BadValue

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# Compiled when one is asked for: most commands read no size.
_SIZE = r"(?P<number>0[xX][0-9a-fA-F]+|[0-9]+)\s*(?P<unit>[A-Za-z]*)"
_HEX = "[0-9a-fA-F]*"
_WORD = r"[\w.-]*"
_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    for _suffix in ("", "b", "ib"):
        _UNITS[_letter + _suffix] = 1 << (10 * _power)

# The largest value a 64-bit kernel interface can carry, plus one.
U64_END = 1 << 64


def is_page_aligned(n: int) -> bool:
    """Whether *n* (bytes) is a multiple of the page size."""
    return n & (PAGE_SIZE - 1) == 0


def parse_size(text: str) -> int:
    """Bytes from ``2M``, ``8GiB``, ``0x200000`` or ``4096``; units are powers of 1024.

    Raises BadValue for anything else, and for sizes that do not fit 64 bits.
    """
    match = re.fullmatch(_SIZE, text.strip(), re.ASCII)
    if match is None or match["unit"].lower() not in _UNITS or len(text) > 40:
        raise BadValue(f"{shorten(text)} is not a size", "a size such as 2M, 8G or 0x200000")
    number = match["number"]
    size = int(number, 16 if number[:2].lower() == "0x" else 10) * _UNITS[match["unit"].lower()]
    if size >= U64_END:
        raise BadValue(f"{shorten(text)} is too large", "a size below 2^64 bytes")
    return size


def parse_address(text: str) -> int:
    """A guest-physical address from ``0xffe00000``, ``4294967296`` or ``4G``.

    Raises BadValue for anything else.
    """
    try:
        return parse_size(text)
    except BadValue as error:
        raise BadValue(
            error.problem.replace("a size", "an address"), "an address such as 0xffe00000 or 4G"
        ) from None


def parse_bitmap(text: str) -> bytes:
    """The bytes of a bitmap, two hex digits each, the first byte first. Raises BadValue."""
    if len(text) % 2 or re.fullmatch(_HEX, text) is None:
        raise BadValue(f"{shorten(text)} is not hex", "two hex digits a byte")
    return bytes.fromhex(text)


def shorten(text: str, limit: int = 40) -> str:
    """*text* quoted for a one-line message: control characters escaped, length bounded."""
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")


def word_of(text: str) -> str:
    """The word that *text* begins with, quoted: of a file that is none of ours, no more is told."""
    match = re.match(_WORD, text)
    word = match[0] if match else ""
    return shorten(word if word == text else f"{word[:30]}…")


def format_size(size: int) -> str:
    """*size* bytes in the largest unit that divides it: ``2M``, ``8G``, ``4097B``."""
    for power, letter in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
        unit = 1 << (10 * power)
        if size and size % unit == 0:
            return f"{size // unit}{letter}"
    return f"{size}B" if size else "0"


def roughly(size: int) -> str:
    """*size* bytes for people: exact where that is short, else ``about 40.2G``; signed."""
    exact = format_size(abs(size))
    sign = "-" if size < 0 else ""
    if len(exact) <= 5:
        return sign + exact
    power = min(4, (abs(size).bit_length() - 1) // 10)
    return f"about {sign}{abs(size) / (1 << 10 * power):.1f}{'BKMGT'[power]}"
