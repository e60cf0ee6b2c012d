"""Half-open spans of guest-physical addresses."""

from __future__ import annotations

from typing import NamedTuple

from bhyvesim.units import PAGE_SHIFT


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
