"""Where each VMM puts its guest's memory, and in which order it maps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bhyvesim.prot import EXEC, READ
from bhyvesim.units import GIB, MIB
from bhyvesim.vmm.spec import MappingSpec, SegmentSpec

LOWMEM_LIMIT = 3 * GIB
HIGHMEM_BASE = ROM_END = 4 * GIB
BHYVE_ROM_WINDOW = 16 * MIB

Pfns = Mapping[str, int]  # host_pfn by part: lowmem, highmem, bootrom
PARTS = ("lowmem", "highmem", "bootrom")


class Layout(NamedTuple):
    """Segments to allocate, and memmaps to make, in slot order."""

    segments: tuple[SegmentSpec, ...]
    mappings: tuple[MappingSpec, ...]


def split(memory: int) -> tuple[int, int]:
    """Bytes of lowmem and of highmem."""
    low = min(memory, LOWMEM_LIMIT)
    return low, memory - low


def propolis(memory: int, bootrom: int, pfns: Pfns) -> Layout:
    """Lowmem, ROM, highmem; the ROM's segment is mapped whole."""
    low, high = split(memory)
    parts = [
        (SegmentSpec(0, "", low, pfns.get("lowmem")), MappingSpec(0, 0, 0, low)),
        (
            SegmentSpec(1, "bootrom", bootrom, pfns.get("bootrom")),
            MappingSpec(ROM_END - bootrom, 1, 0, bootrom, READ | EXEC),
        ),
        (
            SegmentSpec(2, "", high, pfns.get("highmem")),
            MappingSpec(HIGHMEM_BASE, 2, 0, high),
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
            MappingSpec(HIGHMEM_BASE, 1, 0, high),
        ),
        (SegmentSpec(0, "", low, pfns.get("lowmem")), MappingSpec(0, 0, 0, low)),
        (
            SegmentSpec(2, "bootrom", window, pfns.get("bootrom")),
            MappingSpec(ROM_END - bootrom, 2, window - bootrom, bootrom, READ | EXEC),
        ),
    ]
    return _layout(parts)


def _layout(parts: list[tuple[SegmentSpec, MappingSpec]]) -> Layout:
    there = [(segment, mapping) for segment, mapping in parts if mapping.length]
    return Layout(tuple(segment for segment, _ in there), tuple(mapping for _, mapping in there))


LAYOUTS: dict[str, Callable[[int, int, Pfns], Layout]] = {"propolis": propolis, "bhyve": bhyve}
