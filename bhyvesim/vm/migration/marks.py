"""Sets of guest pages: a bit a page, kept once for all neighbouring leaf tables that are alike.

So a set of all pages of a guest of 1 TiB is one run, and what is done with it costs no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bhyvesim.kernel.gpt.leaf import ALL_ENTRIES, BIT, runs_of
from bhyvesim.kernel.gpt.levels import ENTRIES, ENTRY_BITS, LEAVES
from bhyvesim.kernel.gpt.steps import StepFunction

Run = tuple[int, int, int]  # leaf tables [first, end), by index, and the pages of each


class Marks:
    """A set of pages, by page number."""

    __slots__ = ("_bits",)

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._bits: StepFunction[int] = StepFunction(LEAVES, 0)
        for first, end, bits in runs:
            self._bits.assign(first, end, bits)

    @classmethod
    def over(cls, pages: Iterable[range]) -> Marks:
        """All pages of these ranges."""
        marks = cls()
        for part in pages:
            marks.add_range(part)
        return marks

    @classmethod
    def of(cls, pages: Iterable[int]) -> Marks:
        """These pages."""
        marks = cls()
        for page in pages:
            marks.add(page)
        return marks

    def add(self, page: int) -> None:
        """One page more."""
        index = page >> ENTRY_BITS
        self._bits.assign(index, index + 1, self._bits[index] | BIT[page & (ENTRIES - 1)])

    def add_range(self, pages: range) -> None:
        """Neighbouring pages more."""
        first, end = pages.start, pages.stop
        while first < end:
            index, entry = first >> ENTRY_BITS, first & (ENTRIES - 1)
            if entry == 0 and end - first >= ENTRIES:
                whole = end >> ENTRY_BITS
                self._bits.assign(index, whole, ALL_ENTRIES)
                first = whole << ENTRY_BITS
                continue
            stop = min(end, (index + 1) << ENTRY_BITS)
            some = ((1 << (stop - first)) - 1) << entry
            self._bits.assign(index, index + 1, self._bits[index] | some)
            first = stop

    def runs(self) -> Iterator[Run]:
        """The leaf tables that have pages in it, neighbours that are alike as one."""
        return (run for run in self._bits.maximal_runs() if run[2])

    def __contains__(self, page: int) -> bool:
        return bool(self._bits[page >> ENTRY_BITS] & BIT[page & (ENTRIES - 1)])

    def __len__(self) -> int:
        return sum(bits.bit_count() * (end - first) for first, end, bits in self.runs())

    def __or__(self, other: Marks) -> Marks:
        return self._with(other, lambda mine, theirs: mine | theirs)

    def __and__(self, other: Marks) -> Marks:
        return self._with(other, lambda mine, theirs: mine & theirs)

    def __sub__(self, other: Marks) -> Marks:
        return self._with(other, lambda mine, theirs: mine & ~theirs)

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
        for first, end, bits in self.runs():
            if bits == ALL_ENTRIES:
                yield range(first << ENTRY_BITS, end << ENTRY_BITS)
                continue
            for index in range(first, end):
                base = index << ENTRY_BITS
                for start, stop in runs_of(bits):
                    yield range(base + start, base + stop)

    def _with(self, other: Marks, together: Callable[[int, int], int]) -> Marks:
        result = Marks()
        for first, end, mine in self._bits.maximal_runs():
            for start, stop, theirs in other._bits.runs(first, end):
                bits = together(mine, theirs)
                if bits:
                    result._bits.assign(start, stop, bits)
        return result
