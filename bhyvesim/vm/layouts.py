"""Where each VMM puts its guest's memory, and in which order it maps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bhyvesim.kernel.memory import Memmap
from bhyvesim.prot import EXEC, READ
from bhyvesim.units import GIB, MIB
from bhyvesim.vm.spec import SegmentSpec

LOWMEM_LIMIT = 3 * GIB
HIGHMEM_BASE = ROM_END = 4 * GIB
BHYVE_ROM_WINDOW = 16 * MIB

Pfns = Mapping[str, int]  # host_pfn by part: lowmem, highmem, bootrom
PARTS = ("lowmem", "highmem", "bootrom")


class Layout(NamedTuple):
    """Segments to allocate, and memmaps to make, in slot order."""

    segments: tuple[SegmentSpec, ...]
    mappings: tuple[Memmap, ...]


def split(memory: int) -> tuple[int, int]:
    """Bytes of lowmem and of highmem."""
    low = min(memory, LOWMEM_LIMIT)
    return low, memory - low


def propolis(memory: int, bootrom: int, pfns: Pfns) -> Layout:
    """Lowmem, ROM, highmem; the ROM's segment is mapped whole."""
    low, high = split(memory)
    parts = [
        (SegmentSpec(0, "", low, pfns.get("lowmem")), Memmap(0, low, segid=0, segoff=0)),
        (
            SegmentSpec(1, "bootrom", bootrom, pfns.get("bootrom")),
            Memmap(ROM_END - bootrom, bootrom, segid=1, segoff=0, prot=READ | EXEC),
        ),
        (
            SegmentSpec(2, "", high, pfns.get("highmem")),
            Memmap(HIGHMEM_BASE, high, segid=2, segoff=0),
        ),
    ]
    return _layout(parts)


def bhyve(memory: int, bootrom: int, pfns: Pfns) -> Layout:
    """Highmem, lowmem, ROM; the ROM is the end of a segment of 16 MiB."""
    low, high = split(memory)
    window = BHYVE_ROM_WINDOW if bootrom else 0
    parts = [
        (
            SegmentSpec(1, "", high, pfns.get("highmem")),
            Memmap(HIGHMEM_BASE, high, segid=1, segoff=0),
        ),
        (SegmentSpec(0, "", low, pfns.get("lowmem")), Memmap(0, low, segid=0, segoff=0)),
        (
            SegmentSpec(2, "bootrom", window, pfns.get("bootrom")),
            Memmap(ROM_END - bootrom, bootrom, segid=2, segoff=window - bootrom, prot=READ | EXEC),
        ),
    ]
    return _layout(parts)


def _layout(parts: list[tuple[SegmentSpec, Memmap]]) -> Layout:
    there = [(segment, mapping) for segment, mapping in parts if mapping.length]
    return Layout(tuple(segment for segment, _ in there), tuple(mapping for _, mapping in there))


LAYOUTS: dict[str, Callable[[int, int, Pfns], Layout]] = {"propolis": propolis, "bhyve": bhyve}
