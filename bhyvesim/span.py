"""Half-open spans of guest-physical addresses."""

from __future__ import annotations

from typing import NamedTuple

from bhyvesim.errors import BadValue
from bhyvesim.units import PAGE_SHIFT, U64_END, parse_address, parse_size, shorten


class Span(NamedTuple):
    """Guest-physical bytes ``[start, end)``; ordered by address."""

    start: int
    end: int  # exclusive; ``last`` is the inclusive one

    @classmethod
    def sized(cls, start: int, length: int) -> Span:
        """The *length* bytes from *start* on."""
        return cls(start, start + length)

    @property
    def length(self) -> int:
        return self.end - self.start

    @property
    def last(self) -> int:
        """The last byte inside."""
        return self.end - 1

    @property
    def pages(self) -> range:
        """The page numbers inside; the span is page-aligned."""
        return range(self.start >> PAGE_SHIFT, self.end >> PAGE_SHIFT)

    def overlaps(self, other: Span) -> bool:
        """Whether the two share a byte."""
        return self.start < other.end and other.start < self.end

    def __str__(self) -> str:
        return f"[{self.start:#x}, {self.end:#x})"


def parse_span(text: str) -> Span:
    """``A-B`` (B exclusive) or ``A+LEN``, in bytes: ``3G-4G``, ``0xffe00000+2M``.

    Raises BadValue, which says at which character of *text* the mistake is.
    """
    at = next((i for i, character in enumerate(text) if character in "-+"), None)
    if at is None:
        raise BadValue(
            f"{shorten(text)} is not a range", "A-B or A+LEN, such as 3G-4G or 0x1000+2M"
        )
    start = _part(text, 0, at)
    end = _part(text, at + 1, len(text)) + (start if text[at] == "+" else 0)
    if not start < end <= U64_END:
        raise BadValue(
            f"{shorten(text)} ends at {end:#x} (character {at + 2})",
            f"an end above {start:#x}, and not above 2^64",
        )
    return Span(start, end)


def _part(text: str, first: int, end: int) -> int:
    parse = parse_size if first and text[first - 1] == "+" else parse_address
    try:
        return parse(text[first:end])
    except BadValue as error:
        raise BadValue(f"{error.problem} (character {first + 1})", error.expected) from None
