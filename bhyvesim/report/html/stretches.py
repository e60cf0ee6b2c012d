"""Runs made fewer: what is near is put together, until there are few enough to draw."""

from __future__ import annotations

from typing import NamedTuple

from bhyvesim.kernel.gpt.levels import LEAF_SPAN


class Stretch(NamedTuple):
    """Bytes ``[start, end)`` that hold *held* things, *marked* of them in some way.

    *kind* is the same for all of them, or empty.
    """

    start: int
    end: int
    held: int
    marked: int
    kind: str


class Stretches:
    """Stretches, by address of their start, of which there are never more than *limit*.

    What overlaps is always put together; where there would be too many, also what begins in
    the same bucket, a power of two of bytes.
    """

    def __init__(self, limit: int) -> None:
        self.rows: list[Stretch] = []
        self.bucket = 0  # bytes; 0: every stretch is as it was added
        self._limit = limit

    def add(self, row: Stretch) -> None:
        """One more, which begins at or after the last."""
        last = self.rows[-1] if self.rows else None
        if last is None or not (row.start < last.end or self._together(last, row)):
            self.rows.append(row)
            self._thin()
            return
        kind = last.kind if last.kind == row.kind else ""
        self.rows[-1] = Stretch(
            last.start,
            max(last.end, row.end),
            last.held + row.held,
            last.marked + row.marked,
            kind,
        )

    def _together(self, last: Stretch, row: Stretch) -> bool:
        return bool(self.bucket) and last.start // self.bucket == row.start // self.bucket

    def _thin(self) -> None:
        if len(self.rows) <= self._limit:
            return
        self.bucket = max(2 * self.bucket, LEAF_SPAN)
        rows, self.rows = self.rows, []
        for row in rows:
            self.add(row)
