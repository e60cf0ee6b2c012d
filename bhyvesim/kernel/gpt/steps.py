"""A step function over integers: long runs of equal values, stored once each."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, SupportsIndex, TypeVar, cast

V = TypeVar("V")

BLOCK = 512  # runs a block aims at; a flat list would cost O(runs) an insertion


class Unread(Generic[V]):
    """A block whose runs are not in memory yet.

    *read* gives its ``(start, end, value)``, ascending and without gaps; *key* is whatever
    its owner knows it by, *weight* what it counts for.
    """

    __slots__ = ("key", "read", "weight")

    def __init__(
        self,
        read: Callable[[], Iterable[tuple[int, int, V]]],
        key: Any = None,
        weight: int = 0,
    ) -> None:
        self.read = read
        self.key = key
        self.weight = weight


class _Blocks(list[Any]):
    """Blocks, some of them :class:`Unread`; one that is asked for by its place is read."""

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        block = super().__getitem__(cast(SupportsIndex, place))
        if type(block) is Unread:
            runs = list(block.read())
            block = [start for start, _, _ in runs], [value for _, _, value in runs]
            self[place] = block
        return block


class StepFunction(Generic[V]):
    """Maps every ``i`` in ``[0, end)`` to a value, as sorted runs kept in blocks.

    Values are compared with ``==``. :meth:`assign` merges equal neighbours inside a block,
    not across blocks, so readers that want maximal runs merge.
    """

    __slots__ = ("_blocks", "_firsts", "end")

    def __init__(self, end: int, value: V) -> None:
        self.end = end
        self._firsts = [0]
        # Some may be unread in what of_parts() made.
        self._blocks: list[tuple[list[int], list[V]]] = [([0], [value])]

    @staticmethod
    def of_parts(
        end: int, parts: Iterable[tuple[int, list[tuple[int, V]] | Unread[V]]]
    ) -> StepFunction[V]:
        """From ``(first, part)``, ascending from 0 on: ``(start, value)`` of runs, or unread."""
        function: StepFunction[V] = StepFunction.__new__(StepFunction)
        function.end = end
        function._firsts = []
        function._blocks = _Blocks()
        for first, part in parts:
            function._firsts.append(first)
            if isinstance(part, Unread):
                function._blocks.append(cast(Any, part))
            else:
                function._blocks.append(([start for start, _ in part], [v for _, v in part]))
        return function

    def parts(self) -> Iterator[tuple[int, int, Unread[V] | None]]:
        """``(first, end, unread)`` of each stretch of blocks in memory (None), and each unread."""
        first = 0
        for b, block in enumerate(self._blocks):  # iterating reads nothing
            if isinstance(block, Unread):
                if first < self._firsts[b]:
                    yield first, self._firsts[b], None
                first = self._block_end(b)
                yield self._firsts[b], first, block
        if first < self.end:
            yield first, self.end, None

    def copy(self) -> StepFunction[V]:
        """Another of the same values, which are shared."""
        other: StepFunction[V] = StepFunction.__new__(StepFunction)
        other.end = self.end
        other._firsts = self._firsts[:]
        if type(self._blocks) is list:
            other._blocks = [(starts[:], values[:]) for starts, values in self._blocks]
        else:
            other._blocks = _Blocks(
                block if isinstance(block, Unread) else (block[0][:], block[1][:])
                for block in self._blocks
            )
        return other

    def maximal_runs(self) -> Iterator[tuple[int, int, V]]:
        """``(start, end, value)`` over everything; neighbours always differ."""
        return self.maximal_runs_of(0, self.end)

    def maximal_runs_of(self, lo: int, hi: int) -> Iterator[tuple[int, int, V]]:
        """``(start, end, value)`` over the non-empty ``[lo, hi)``; neighbours always differ."""
        first = end = lo
        value: V | None = None
        for start, stop, here in self.runs(lo, hi):
            if first < end and here == value:
                end = stop
                continue
            if first < end:
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
        starts, values = self._blocks[b]
        k = bisect_right(starts, lo) - 1
        while lo < hi:
            end = starts[k + 1] if k + 1 < len(starts) else self._block_end(b)
            if end > hi:
                end = hi
            found.append((lo, end, values[k]))
            lo = end
            k += 1
            if k == len(starts) and lo < hi:
                b, k = b + 1, 0
                starts, values = self._blocks[b]
        return found

    def all_runs(self) -> list[tuple[int, int, V]]:
        """:meth:`runs` over everything, at a fraction of the time."""
        found: list[tuple[int, int, V]] = []
        for b in range(len(self._firsts)):
            starts, values = self._blocks[b]
            found += zip(starts, [*starts[1:], self._block_end(b)], values, strict=True)
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
