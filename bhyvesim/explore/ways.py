"""All sequences within bounds: every way to map some memmaps between a few boundaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from math import comb, factorial

from bhyvesim.errors import BadValue
from bhyvesim.explore.trial import Case
from bhyvesim.kernel.memory import MAX_MEMMAPS
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.ops import ioctls as ops
from bhyvesim.ops.operation import Operation
from bhyvesim.prot import ALL, WRITE
from bhyvesim.units import GIB, PAGE_SHIFT

# Boundaries within a page, a leaf and a half terabyte of each other; the first so many are taken.
_BASE = 512 * GIB >> PAGE_SHIFT
POINTS = tuple(_BASE + pages for pages in (0, 512, 1, -1, -512, 513, 511))


@dataclass(frozen=True, slots=True)
class Bounds:
    """All ways to map *maps* memmaps one after the other between *points* boundaries."""

    maps: int
    points: int

    @classmethod
    def parse(cls, text: str) -> Bounds:
        """From ``maps=2,points=5``. Raises BadValue."""
        given = dict(part.partition("=")[::2] for part in text.split(","))
        numbers = [given.get(name, "") for name in ("maps", "points")]
        if len(given) != 2 or not all(number.isascii() and number.isdigit() for number in numbers):
            raise BadValue(f"{text[:40]!r} are no bounds", "some such as maps=2,points=5")
        maps, points = (int(number[:9]) for number in numbers)
        if not 1 <= maps <= MAX_MEMMAPS or not 2 <= points <= len(POINTS) or maps >= points:
            raise BadValue(
                f"{maps} maps between {points} points",
                f"1 to {MAX_MEMMAPS} maps, 2 to {len(POINTS)} points, and fewer maps than points",
            )
        return cls(maps, points)

    def ways(self) -> int:
        """How many ways there are, of which each kernel does each."""
        # 2 K ends in order, where each span but the last may share its end with the next.
        return comb(self.points + self.maps - 1, 2 * self.maps) * factorial(self.maps)

    def spans(self) -> Iterator[tuple[tuple[int, int], ...]]:
        """Each way: memmaps as pages ``[start, end)``, in the order in which they are mapped."""
        points = sorted(POINTS[: self.points])
        for ends in _ends(points, self.maps):
            yield from permutations(ends)


def _ends(points: Sequence[int], maps: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """All *maps* disjoint spans between *points*, from the lowest up."""
    if not maps:
        yield ()
        return
    for at, start in enumerate(points):
        for to in range(at + 1, len(points)):
            for others in _ends(points[to:], maps - 1):
                yield ((start, points[to]), *others)


def kernels(gpts: Iterable[str]) -> Iterator[ops.Create]:
    """Every kernel of *gpts*, DEBUG and production, on either kind of processor."""
    for gpt, debug, npt in product(gpts, (True, False), FORMATS):
        yield ops.Create(gpt, debug, npt, track_dirty=True)


def exhaustive(gpts: Sequence[str], bounds: Bounds) -> Iterator[Case]:
    """Each way of *bounds* on each kernel: mapped, touched at both ends, taken apart again."""
    for create in kernels(gpts):
        for spans in bounds.spans():
            yield Case(create, (*_mapped(spans), *_taken_apart(spans)))


def _mapped(spans: Sequence[tuple[int, int]]) -> Iterator[Operation]:
    """Every second memmap is of a ROM, which a reinit unmaps."""
    pages = max(POINTS) - min(POINTS)
    for segid, name in enumerate(("", "bootrom")):
        yield ops.AllocMemseg(segid, pages << PAGE_SHIFT, name)
    for number, (start, end) in enumerate(spans):
        gpa, length = start << PAGE_SHIFT, end - start << PAGE_SHIFT
        yield ops.MmapMemseg(gpa, number % 2, 0, length, ALL)
        for page in dict.fromkeys((start, end - 1)):
            yield ops.Access(page << PAGE_SHIFT, 1, WRITE)


def _taken_apart(spans: Sequence[tuple[int, int]]) -> Iterator[Operation]:
    yield ops.Reinit()
    for start, end in spans:
        yield ops.MunmapMemseg(start << PAGE_SHIFT, end - start << PAGE_SHIFT)
    yield ops.Destroy()
