"""Operations at random, near the addresses where kernels make mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import APIC_SPAN, MAX_MEMMAPS, Memmap, Memseg
from bhyvesim.kernel.npt import FLAGS, MAX_TRACKED, OPERATIONS, bitmap_bytes
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.revisions import REVISIONS
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
from bhyvesim.prot import ALL, EXEC, READ, WRITE
from bhyvesim.units import GIB, MIB, PAGE_SHIFT, PAGE_SIZE

# Where tables begin and end, and where guests have something.
EDGES = (
    *(0, 2 * MIB, 4 * MIB, GIB, 3 * GIB, APIC_SPAN.start, 4 * GIB - 2 * MIB, 4 * GIB),
    *(512 * GIB, 1024 * GIB, VMSPACE_END),
)
# How far from them, in pages: beside one, within its leaf, whole leaves.
NEAR = (*(0,) * 6, 1, -1, 2, -2, 3, 255, -256, 511, -511, 512, -512, 513, -513, 1024, -1024)

SEGMENT = VMSPACE_END * 2  # bytes of each; no memmap is larger
SEGMENTS = (
    AllocMemseg(0, SEGMENT, ""),
    AllocMemseg(1, SEGMENT, "bootrom"),
    AllocMemseg(2, SEGMENT, ""),
    AllocMemseg(3, SEGMENT, "fbuf"),
)

_PROTS = (*(ALL,) * 6, READ | EXEC, READ | WRITE, READ, WRITE, EXEC, WRITE | EXEC)
_HOLDS = (READ, READ | WRITE, READ | WRITE, WRITE, READ | EXEC)
_MOST_HELD = 3
_FEW = (1, 1, 1, 2, 3, 8, 512, 600)  # pages of an access
_OPTIONAL = 0.5  # how likely a run has what not every one has

Weights = dict[str, float]

# How often each kind of operation comes; the second ones are switched off in some runs.
_ALWAYS: Weights = {"map": 5, "unmap": 3, "touch": 6, "reinit": 2, "destroy": 0.7}
_SOMETIMES: Weights = {
    "hole": 1.5,
    "device": 3,
    "device in a hole": 1.5,
    "hold": 1.5,
    "release": 1.5,
    "dirty": 2,
    "track": 1.5,
    "tracking": 0.5,
    "wrong": 0.3,
}


def kernel(rng: Random, gpt: str) -> Create:
    """A build of the revision *gpt*, and a processor under it."""
    npt = rng.choice(list(FORMATS))
    return Create(
        gpt,
        debug=rng.random() < 0.5,
        npt=npt,
        track_dirty=rng.random() < 0.5,
        apicv=npt == "ept" and rng.random() < 0.5,
    )


class Generator:
    """What one run does: some of the kinds of operations, near a few addresses.

    Those are of EDGES, and *places*. No memmap has more than *most* pages.
    """

    def __init__(
        self,
        rng: Random,
        gpt: str,
        places: Sequence[int] = (),
        *,
        most: int = SEGMENT >> PAGE_SHIFT,
    ) -> None:
        self._rng = rng
        self._most = most
        self._anchors = [*places, *rng.sample(EDGES, rng.randint(1, 3))]
        ioctls = REVISIONS[gpt].ioctls
        lacking = {
            *(() if ioctls.holds else ("hold", "release")),
            *(() if ioctls.npt_operation else ("dirty", "tracking")),
            *(() if ioctls.track_dirty_pages else ("track",)),
        }
        sometimes = {
            kind: weight
            for kind, weight in _SOMETIMES.items()
            if kind not in lacking and rng.random() < _OPTIONAL
        }
        weights = {**_ALWAYS, **sometimes}
        self._there = [kind for kind in _MAKERS if kind not in lacking]
        self._kinds = list(weights)
        self._weights = list(weights.values())
        self._wired = rng.random() < _OPTIONAL / 2
        self._prots = _PROTS if rng.random() < _OPTIONAL else (ALL,)

    def next(self, machine: Machine) -> Operation:
        """An operation for *machine* as it is."""
        maps = machine.memmaps
        if not maps:
            return self._map(machine, maps)
        [kind] = self._rng.choices(self._kinds, self._weights)
        return _MAKERS[kind](self, machine, maps)

    def any(self, machine: Machine) -> Operation:
        """One of any kind that the revision has, each as likely as the others."""
        maps = machine.memmaps
        kind = self._rng.choice(self._there) if maps else "map"
        return _MAKERS[kind](self, machine, maps)

    def _page(self) -> int:
        """A page near one of the edges of this run."""
        page = (self._rng.choice(self._anchors) >> PAGE_SHIFT) + self._rng.choice(NEAR)
        return max(0, page)

    def _inside(self, maps: Sequence[Memmap]) -> tuple[Memmap, int]:
        """A memmap, and a page of it; often its first or its last."""
        m = self._rng.choice(maps)
        pages = m.length >> PAGE_SHIFT
        at = self._rng.choice((0, 0, pages - 1, pages - 1, self._rng.randrange(pages)))
        return m, (m.gpa >> PAGE_SHIFT) + at

    def _map(self, machine: Machine, maps: Sequence[Memmap]) -> Operation:
        """A memmap near an edge, or side by side with another."""
        rng = self._rng
        if len(maps) == MAX_MEMMAPS and rng.random() < 0.9:
            return self._unmap(machine, maps)
        start, end = sorted((self._page(), self._page()))
        if rng.random() < 0.3 or start == end:
            end = start + rng.choice(_FEW)
        end = min(end, start + self._most)
        if maps and rng.random() < 0.5:
            beside, length = rng.choice(maps), end - start
            gap = rng.choice((0, 0, 0, 1, 5))
            start = (beside.span.end >> PAGE_SHIFT) + gap
            if rng.random() < 0.5:
                start = max(0, (beside.gpa >> PAGE_SHIFT) - gap - length)
            end = start + length
        seg = rng.choice(list(machine.segs.values()))
        return self._mmap(seg, start, end)

    def _mmap(self, seg: Memseg, start: int, end: int) -> Operation:
        rng = self._rng
        pages = min(end - start, seg.length >> PAGE_SHIFT)
        segoff = rng.choice((0, 0, 0, 1, 255)) if pages < seg.length >> PAGE_SHIFT else 0
        segoff = min(segoff, (seg.length >> PAGE_SHIFT) - pages)
        prot = rng.choice(self._prots)
        wired = self._wired and pages <= 1 << 18 and rng.random() < 0.5
        gpa, offset, length = (n << PAGE_SHIFT for n in (start, segoff, pages))
        return MmapMemseg(gpa, seg.segid, offset, length, prot, wired)

    def _unmap(self, machine: Machine, maps: Sequence[Memmap]) -> Operation:
        m = self._rng.choice(maps)
        return MunmapMemseg(m.gpa, m.length)

    def _wrong(self, machine: Machine, maps: Sequence[Memmap]) -> Operation:
        """Not quite a memmap."""
        m = self._rng.choice(maps)
        return MunmapMemseg(m.gpa, m.length + self._rng.choice((-1, 1)) * PAGE_SIZE)

    def _touch(self, machine: Machine, maps: Sequence[Memmap]) -> Operation:
        return self._access(maps, "vcpu")

    def _device(self, machine: Machine, maps: Sequence[Memmap]) -> Operation:
        return self._access(maps, "device")

    def _access(self, maps: Sequence[Memmap], by: str) -> Operation:
        rng = self._rng
        m, page = self._inside(maps)
        pages = rng.choice(_FEW)
        if rng.random() < 0.2:
            page, pages = m.gpa >> PAGE_SHIFT, m.length >> PAGE_SHIFT
        wanted = rng.choice((READ, WRITE, READ | WRITE)) if by == "device" else rng.randint(1, ALL)
        allowed = wanted & m.prot
        if rng.random() < 0.8 and allowed and (by == "vcpu" or allowed & (READ | WRITE)):
            wanted = allowed
        return Access(page << PAGE_SHIFT, pages, wanted, by)

    def _hole(self, machine: Machine, maps: Sequence[Memmap]) -> Operation:
        return Access(self._beside(maps), 1, self._rng.choice((READ, WRITE)))

    def _device_in_a_hole(self, machine: Machine, maps: Sequence[Memmap]) -> Operation:
        return Access(self._beside(maps), 1, self._rng.choice((READ, WRITE)), "device")

    def _beside(self, maps: Sequence[Memmap]) -> int:
        """An address just before or after a memmap."""
        m = self._rng.choice(maps)
        away = self._rng.choice((0, 0, 1, 100)) << PAGE_SHIFT
        if self._rng.random() < 0.5:
            return m.span.end + away
        return max(0, m.gpa - PAGE_SIZE - away)

    def _hold(self, machine: Machine, maps: Sequence[Memmap]) -> Operation:
        if len(machine.space.holds) >= _MOST_HELD:
            return self._release(machine, maps)
        _, page = self._inside(maps)
        return Hold(page << PAGE_SHIFT, self._rng.choice(_HOLDS))

    def _release(self, machine: Machine, maps: Sequence[Memmap]) -> Operation:
        held = list(machine.space.holds)
        if not held:
            return self._touch(machine, maps)
        return Release(self._rng.choice(held), dirty=self._rng.random() < 0.7)

    def _range(self, maps: Sequence[Memmap]) -> tuple[int, int]:
        """A range for dirty bits: around a page, of no more than the ioctls take."""
        _, page = self._inside(maps)
        pages = self._rng.choice((1, 2, 9, 64, 512, 1025))
        first = max(0, page - self._rng.choice((0, 0, 1, pages // 2)))
        return first << PAGE_SHIFT, min(pages << PAGE_SHIFT, MAX_TRACKED)

    def _dirty(self, machine: Machine, maps: Sequence[Memmap]) -> Operation:
        rng = self._rng
        gpa, length = self._range(maps)
        operation = OPERATIONS[rng.choice(("GET_DIRTY", "SET_DIRTY", "RESET_DIRTY"))]
        operation |= FLAGS["BITMAP_OUT"]
        given = None
        if rng.random() < 0.5:
            operation |= FLAGS["BITMAP_IN"]
            size = bitmap_bytes(length)
            given = (bytes([rng.choice((0xFF, 0x01, 0xAA))]) * size)[:size]
        return NptOp(gpa, length, operation, given)

    def _track(self, machine: Machine, maps: Sequence[Memmap]) -> Operation:
        return TrackDirtyPages(*self._range(maps))

    def _tracking(self, machine: Machine, maps: Sequence[Memmap]) -> Operation:
        return NptOp(0, 0, OPERATIONS[self._rng.choice(("EN_TRACK_DIRTY", "DIS_TRACK_DIRTY"))])

    def _reinit(self, machine: Machine, maps: Sequence[Memmap]) -> Operation:
        return Reinit()

    def _destroy(self, machine: Machine, maps: Sequence[Memmap]) -> Operation:
        return Destroy()


_MAKERS: dict[str, Callable[[Generator, Machine, Sequence[Memmap]], Operation]] = {
    "map": Generator._map,
    "unmap": Generator._unmap,
    "wrong": Generator._wrong,
    "touch": Generator._touch,
    "device": Generator._device,
    "hole": Generator._hole,
    "device in a hole": Generator._device_in_a_hole,
    "hold": Generator._hold,
    "release": Generator._release,
    "dirty": Generator._dirty,
    "track": Generator._track,
    "tracking": Generator._tracking,
    "reinit": Generator._reinit,
    "destroy": Generator._destroy,
}
