"""Sets of guest pages: a bit a page, kept once for all neighbouring leaf tables that are alike.

So a set of all pages of a guest of 1 TiB is one run, and what is done with it costs no more.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator

from bhyvesim.kernel.gpt.leaf import ALL_ENTRIES, BIT, runs_of
from bhyvesim.kernel.gpt.levels import ENTRIES, ENTRY_BITS, LEAVES

Run = tuple[int, int, int]  # leaf tables [first, end), by index, and the pages of each
_END: Run = (LEAVES, LEAVES, 0)


class Marks:
    """A set of pages, by page number; it never changes.

    *runs* ascend, do not overlap, and have a page each.
    """

    __slots__ = ("_runs",)

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._runs: list[Run] = []
        for first, end, bits in runs:
            last = self._runs[-1] if self._runs else _END
            if last[1] == first and last[2] == bits:
                self._runs[-1] = (last[0], end, bits)
            else:
                self._runs.append((first, end, bits))

    @classmethod
    def over(cls, pages: Iterable[range]) -> Marks:
        """All pages of these ranges."""
        marks = cls()
        for part in pages:
            marks |= cls(_cut(part))
        return marks

    @classmethod
    def of(cls, pages: Iterable[int]) -> Marks:
        """These pages."""
        leaves: dict[int, int] = {}
        for page in pages:
            index = page >> ENTRY_BITS
            leaves[index] = leaves.get(index, 0) | BIT[page & (ENTRIES - 1)]
        return cls((index, index + 1, bits) for index, bits in sorted(leaves.items()))

    def runs(self) -> Iterator[Run]:
        """The leaf tables that have pages in it, neighbours that are alike as one."""
        return iter(self._runs)

    def __contains__(self, page: int) -> bool:
        index = page >> ENTRY_BITS
        at = bisect_right(self._runs, index, key=lambda run: run[0]) - 1
        if at < 0 or index >= self._runs[at][1]:
            return False
        return bool(self._runs[at][2] & BIT[page & (ENTRIES - 1)])

    def __len__(self) -> int:
        return sum(bits.bit_count() * (end - first) for first, end, bits in self._runs)

    def __or__(self, other: Marks) -> Marks:
        if not self._runs or not other._runs:
            return other if not self._runs else self
        if self._runs[-1][1] <= other._runs[0][0]:
            return Marks((*self._runs, *other._runs))
        return Marks(_together(self._runs, other._runs, lambda mine, theirs: mine | theirs))

    def __and__(self, other: Marks) -> Marks:
        if not self._runs or not other._runs:
            return Marks()
        return Marks(_together(self._runs, other._runs, lambda mine, theirs: mine & theirs))

    def __sub__(self, other: Marks) -> Marks:
        if not self._runs or not other._runs:
            return self
        return Marks(_together(self._runs, other._runs, lambda mine, theirs: mine & ~theirs))

    def pages(self) -> Iterator[range]:
        """Neighbouring pages, ascending; made one by one, as somebody asks for them."""
        last: range | None = None
        for part in self._parts():
            if last is not None and last.stop == part.start:
                last = range(last.start, part.stop)
                continue
            if last is not None:
                yield last
            last = part
        if last is not None:
            yield last

    def _parts(self) -> Iterator[range]:
        for first, end, bits in self._runs:
            if bits == ALL_ENTRIES:
                yield range(first << ENTRY_BITS, end << ENTRY_BITS)
                continue
            for index in range(first, end):
                base = index << ENTRY_BITS
                for start, stop in runs_of(bits):
                    yield range(base + start, base + stop)


def _cut(pages: range) -> Iterator[Run]:
    """*pages* as runs: a part of a leaf, whole ones, a part of another."""
    first, end = pages.start, pages.stop
    while first < end:
        index, entry = first >> ENTRY_BITS, first & (ENTRIES - 1)
        if entry == 0 and end - first >= ENTRIES:
            whole = end >> ENTRY_BITS
            yield index, whole, ALL_ENTRIES
            first = whole << ENTRY_BITS
        else:
            stop = min(end, (index + 1) << ENTRY_BITS)
            yield index, index + 1, ((1 << (stop - first)) - 1) << entry
            first = stop


def _together(
    one: list[Run], other: list[Run], bits_of: Callable[[int, int], int]
) -> Iterator[Run]:
    """Both lists, cut where either changes; what *bits_of* makes of their pages, where any are."""
    i = j = at = 0
    while i < len(one) or j < len(other):
        first, end, mine = one[i] if i < len(one) else _END
        start, stop, theirs = other[j] if j < len(other) else _END
        at = max(at, min(first, start))
        to = min(end if first <= at else first, stop if start <= at else start)
        bits = bits_of(mine if first <= at else 0, theirs if start <= at else 0)
        if bits:
            yield at, to, bits
        at = to
        i += at >= end
        j += at >= stop
