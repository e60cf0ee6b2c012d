"""What a proof goes through: the shapes of VMs within a bound, and what is done to each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from bhyvesim.errors import BadValue
from bhyvesim.kernel.memory import MAX_MEMMAPS, Memmap
from bhyvesim.kernel.npt import FLAGS, OPERATIONS
from bhyvesim.kernel.revisions.revision import VMSPACE_END
from bhyvesim.ops.ioctls import (
    Access,
    AllocMemseg,
    Create,
    Destroy,
    Hold,
    MmapMemseg,
    MunmapMemseg,
    NptOp,
    Reinit,
    Release,
    TrackDirtyPages,
)
from bhyvesim.ops.operation import Operation
from bhyvesim.prot import ALL, READ, WRITE
from bhyvesim.units import GIB, MIB, PAGE_SIZE, shorten

# Where memmaps begin and end, the most telling first: a bound of P points has the first P.
_POINTS = (
    *(0, 4 * GIB, 512 * GIB, 2 * MIB, 4 * GIB - 2 * MIB, PAGE_SIZE, 4 * GIB + PAGE_SIZE),
    *(2 * MIB - PAGE_SIZE, 512 * GIB - PAGE_SIZE, 512 * GIB + PAGE_SIZE, 2 * MIB + PAGE_SIZE),
    *(4 * GIB - PAGE_SIZE, 512 * GIB - 2 * MIB, 4 * MIB, GIB, 3 * GIB, 1024 * GIB),
    *(GIB - PAGE_SIZE, GIB + PAGE_SIZE, 4 * GIB + 2 * MIB, 512 * GIB + 2 * MIB, 2 * PAGE_SIZE),
    *(1024 * GIB - PAGE_SIZE, 1024 * GIB + PAGE_SIZE, 3 * GIB - PAGE_SIZE, 2048 * GIB),
    *(4 * MIB + PAGE_SIZE, GIB + 2 * MIB, 4 * GIB + 4 * MIB, 32768 * GIB),
    *(VMSPACE_END - 2 * MIB, VMSPACE_END - PAGE_SIZE, 3 * GIB + 2 * MIB),
)
LETTERS = {
    "devices": "devices: a device reads and writes the first and the last page of each memmap, "
    "and the pages before and after it",
    "holds": "holds: the first page of each memmap is held, or not, until just before the reinit "
    "or to the end",
    "dirty": "dirty: tracking is on, and the dirty bits of each memmap's first page are asked "
    "for, reset and set",
    "wired": "wired: each memmap is wired, or not",
    "drift": "drift: a page counter that is wrong is a counterexample",
}
_MOST_SEGMENTS = 4  # which every revision has

Range = tuple[int, int]  # bytes [start, end)
Shape = tuple[tuple[int, int, bool], ...]  # start, end and wired, of each memmap


class Bound(NamedTuple):
    """How much is gone through; a letter that is on widens it."""

    maps: int
    points: int
    devices: bool = False
    holds: bool = False
    dirty: bool = False
    wired: bool = False
    drift: bool = False

    @property
    def places(self) -> tuple[int, ...]:
        """The fixed boundary addresses, ascending."""
        return tuple(sorted(_POINTS[: self.points]))

    @property
    def letters(self) -> dict[str, str]:
        """Those that are on, each with what it means."""
        return {name: meaning for name, meaning in LETTERS.items() if getattr(self, name)}

    def __str__(self) -> str:
        words = [f"maps={self.maps}", f"points={self.points}"]
        return ",".join([*words, *(f"{name}=1" for name in self.letters)])


def parse_bound(text: str) -> Bound:
    """``maps=2,points=17``, and letters such as ``devices=1``. Raises BadValue."""
    values: dict[str, int] = {}
    at = 1
    for part in text.split(","):
        name, equals, number = part.partition("=")
        name = name.strip()
        wrong = f"character {at} of the bound {shorten(text)}"
        if name not in Bound._fields or name in values:
            raise BadValue(f"{wrong}: {shorten(part)}", f"each once, of {', '.join(Bound._fields)}")
        most = {"maps": MAX_MEMMAPS, "points": len(_POINTS)}.get(name, 1)
        least = {"maps": 1, "points": 2}.get(name, 0)
        fits = number.isascii() and number.isdigit() and len(number) < 4
        if not equals or not fits or not least <= int(number) <= most:
            raise BadValue(f"{wrong}: {shorten(part)}", f"{name}={least} to {name}={most}")
        values[name] = int(number)
        at += len(part) + 1
    for name in ("maps", "points"):
        if name not in values:
            raise BadValue(f"the bound {shorten(text)} lacks {name}", "maps=K,points=P")
    letters = {name: bool(values.get(name, 0)) for name in LETTERS}
    return Bound(values["maps"], values["points"], **letters)


def ranges(bound: Bound) -> list[Range]:
    """Every range between two of the points, by address."""
    return list(combinations(bound.places, 2))


def shapes(bound: Bound, maps: int) -> int:
    """How many shapes have exactly so many memmaps: ordered, disjoint, wired or not."""
    # Disjoint ranges in ascending order are chosen by their ends, which may coincide.
    counts = {0: 1}  # ways, by how many ranges lie below a point
    ways = [dict(counts) for _ in bound.places]
    for end in range(1, bound.points):
        ways[end] = dict(ways[end - 1])
        for start in range(end):
            for number, count in ways[start].items():
                ways[end][number + 1] = ways[end].get(number + 1, 0) + count
    unordered = ways[-1].get(maps, 0)
    orders = 1
    for factor in range(2, maps + 1):
        orders *= factor
    return unordered * orders * ((1 << maps) if bound.wired else 1)


def beginnings(bound: Bound) -> Iterator[tuple[int, int, bool]]:
    """By what the shapes are shared out: the second memmap, or the only one."""
    for start, end in ranges(bound):
        for wired in (False, True) if bound.wired else (False,):
            yield start, end, wired


def segments(bound: Bound) -> tuple[AllocMemseg, ...]:
    """One for each memmap: the first is devmem, the others are sysmem."""
    length = bound.places[-1] - bound.places[0]
    return tuple(
        AllocMemseg(segid, length, "" if segid else "bootrom")
        for segid in range(min(bound.maps, _MOST_SEGMENTS))
    )


def memmap(bound: Bound, number: int, start: int, end: int, wired: bool) -> Memmap:
    """The *number*-th memmap of a shape, counted from 0."""
    segid = min(number, _MOST_SEGMENTS - 1)
    return Memmap(start, end - start, segid, 0, ALL, wired)


def mapped(m: Memmap) -> tuple[Operation, ...]:
    """A memmap is made, and a vCPU touches its first and its last page."""
    last = m.gpa + m.length - PAGE_SIZE
    return MmapMemseg.making(m), Access(m.gpa, 1, ALL), Access(last, 1, ALL)


def middles(bound: Bound, maps: Sequence[Memmap]) -> list[tuple[Operation, ...]]:
    """What is done between the touches and the reinit, in each of the lives of a shape."""
    done: list[Operation] = []
    if bound.devices:
        done += [access for m in maps for access in _by_a_device(m)]
    if bound.dirty:
        done += [op for m in maps for op in _on_dirty_bits(m)]
    if not bound.holds:
        return [tuple(done)]
    holds = [Hold(m.gpa, READ | WRITE) for m in maps]
    kept: list[tuple[Operation, ...]] = [(*done, hold) for hold in holds]
    released: list[tuple[Operation, ...]] = [(*done, hold, Release(1)) for hold in holds]
    return [tuple(done), *kept, *released]


def _by_a_device(m: Memmap) -> Iterator[Operation]:
    places = [m.gpa, m.gpa + m.length - PAGE_SIZE, m.gpa - PAGE_SIZE, m.gpa + m.length]
    for gpa in places:
        if 0 <= gpa < VMSPACE_END:
            yield Access(gpa, 1, READ | WRITE, "device")


def _on_dirty_bits(m: Memmap) -> Iterator[Operation]:
    out = FLAGS["BITMAP_OUT"]
    for name in ("GET_DIRTY", "RESET_DIRTY", "SET_DIRTY"):
        yield NptOp(m.gpa, PAGE_SIZE, OPERATIONS[name] | out)
    yield TrackDirtyPages(m.gpa, PAGE_SIZE)


def endings(maps: Sequence[Memmap]) -> list[tuple[Operation, ...]]:
    """How the lives of a shape end: reinit, then munmap of each of the others in their order,
    then destroy; and destroy after the reinit, and after each munmap but the last.
    """
    unmaps = [MunmapMemseg(m.gpa, m.length) for m in maps[1:]]
    return [(Reinit(), *unmaps[:number], Destroy()) for number in range(len(unmaps) + 1)]


def create(bound: Bound, gpt: str, *, debug: bool, npt: str) -> Create:
    """The kernel of a proof; no APICv."""
    return Create(gpt, debug, npt, track_dirty=bound.dirty)


def size_of(shape: Shape) -> tuple[int, int, Shape]:
    """By this, one shape is smaller than another: memmaps, then bytes, then addresses."""
    return len(shape), sum(end - start for start, end, _ in shape), shape
