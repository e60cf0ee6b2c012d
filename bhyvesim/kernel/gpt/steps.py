"""A step function over integers: long runs of equal values, stored once each."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Generic, TypeVar, cast

V = TypeVar("V")

BLOCK = 512  # runs a block aims at; a flat list would cost O(runs) an insertion


class StepFunction(Generic[V]):
    """Maps every ``i`` in ``[0, end)`` to a value, as sorted runs kept in blocks.

    Values are compared with ``==``. :meth:`assign` merges equal neighbours inside a block,
    not across blocks, so readers that want maximal runs merge.
    """

    __slots__ = ("_blocks", "_firsts", "end")

    def __init__(self, end: int, value: V) -> None:
        self.end = end
        self._firsts = [0]
        self._blocks: list[tuple[list[int], list[V]]] = [([0], [value])]

    def copy(self) -> StepFunction[V]:
        """Another of the same values, which are shared."""
        other: StepFunction[V] = StepFunction.__new__(StepFunction)
        other.end = self.end
        other._firsts = self._firsts[:]
        other._blocks = [(starts[:], values[:]) for starts, values in self._blocks]
        return other

    def maximal_runs(self) -> Iterator[tuple[int, int, V]]:
        """``(start, end, value)`` over everything; neighbours always differ."""
        first = end = 0
        value: V | None = None
        for start, stop, here in self.runs(0, self.end):
            if end and here == value:
                end = stop
                continue
            if end:
                yield first, end, cast(V, value)
            first, end, value = start, stop, here
        yield first, end, cast(V, value)

    def __getitem__(self, i: int) -> V:
        starts, values = self._blocks[bisect_right(self._firsts, i) - 1]
        return values[bisect_right(starts, i) - 1]

    def locate(self, i: int) -> tuple[list[V], int, bool]:
        """The list that holds the value of *i*, its place there, and whether it is *i*'s alone.

        For callers that read and then write one point: a value of *i*'s alone may be
        replaced in place, otherwise :meth:`assign` has to split the run.
        """
        b = bisect_right(self._firsts, i) - 1
        starts, values = self._blocks[b]
        k = bisect_right(starts, i) - 1
        if starts[k] != i:
            return values, k, False
        following = starts[k + 1] if k + 1 < len(starts) else self._block_end(b)
        return values, k, following == i + 1

    def runs(self, lo: int, hi: int) -> list[tuple[int, int, V]]:
        """``(start, end, value)`` covering ``[lo, hi)`` exactly, ascending."""
        found: list[tuple[int, int, V]] = []
        b = bisect_right(self._firsts, lo) - 1
        k = bisect_right(self._blocks[b][0], lo) - 1
        while lo < hi:
            starts, values = self._blocks[b]
            end = starts[k + 1] if k + 1 < len(starts) else self._block_end(b)
            if end > hi:
                end = hi
            found.append((lo, end, values[k]))
            lo = end
            k += 1
            if k == len(starts):
                b, k = b + 1, 0
        return found

    def assign(self, lo: int, hi: int, value: V) -> None:
        """Set every point of the non-empty ``[lo, hi)`` to *value*."""
        first = bisect_right(self._firsts, lo) - 1
        last = bisect_left(self._firsts, hi, first) - 1
        starts, values = self._blocks[first]
        if last > first:
            starts, values = self._join(first, last)
        block_end = self._block_end(first)

        # The runs [i, j) give way to at most three: what is left of run i, the new
        # one, and what is left of run j - 1.
        i = bisect_right(starts, lo) - 1
        j = bisect_left(starts, hi, i)
        new_starts: list[int] = []
        new_values: list[V] = []
        if starts[i] < lo:
            if values[i] != value:
                new_starts += starts[i], lo
                new_values += values[i], value
            else:
                new_starts.append(starts[i])
                new_values.append(value)
        elif i and values[i - 1] == value:
            i -= 1
            new_starts.append(starts[i])
            new_values.append(value)
        else:
            new_starts.append(lo)
            new_values.append(value)
        following = starts[j] if j < len(starts) else block_end
        if hi < following:
            if values[j - 1] != value:
                new_starts.append(hi)
                new_values.append(values[j - 1])
        elif j < len(starts) and values[j] == value:
            j += 1
        starts[i:j] = new_starts
        values[i:j] = new_values
        if len(starts) > 2 * BLOCK:
            self._split(first)

    def _block_end(self, b: int) -> int:
        return self._firsts[b + 1] if b + 1 < len(self._firsts) else self.end

    def _join(self, first: int, last: int) -> tuple[list[int], list[V]]:
        """Make one block of the blocks *first* to *last* inclusive."""
        starts, values = self._blocks[first]
        for more_starts, more_values in self._blocks[first + 1 : last + 1]:
            starts += more_starts
            values += more_values
        del self._blocks[first + 1 : last + 1]
        del self._firsts[first + 1 : last + 1]
        return starts, values

    def _split(self, b: int) -> None:
        starts, values = self._blocks[b]
        pieces = [
            (starts[k : k + BLOCK], values[k : k + BLOCK]) for k in range(0, len(starts), BLOCK)
        ]
        self._blocks[b : b + 1] = pieces
        self._firsts[b : b + 1] = [piece[0][0] for piece in pieces]
