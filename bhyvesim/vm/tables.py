"""What a VM's page tables cost its host: kernel memory that no limit counts."""

from __future__ import annotations

from collections.abc import Iterable

from bhyvesim.kernel.gpt.levels import LEAF_LEVEL, ROOT_LEVEL, table_span
from bhyvesim.kernel.memory import APIC_SPAN
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SIZE
from bhyvesim.vm.spec import VmSpec


def tables_of(spec: VmSpec) -> dict[int, int]:
    """How many tables of each level *spec* needs, once all of its memory is mapped.

    From 13896 on they are there as soon as its memmaps are; before, as pages are touched.

    >>> from bhyvesim.vm.spec import empty_vm
    >>> tables_of(empty_vm("x"))
    {1: 0, 2: 0, 3: 0, 4: 1}
    """
    spans = [memmap.span for memmap in spec.mappings]
    if spec.apicv:
        spans.append(APIC_SPAN)
    levels = range(LEAF_LEVEL, ROOT_LEVEL)
    return {**{level: _touched(spans, table_span(level)) for level in levels}, ROOT_LEVEL: 1}


def table_bytes(spec: VmSpec) -> int:
    """What they take: a page each."""
    return sum(tables_of(spec).values()) * PAGE_SIZE


def _touched(spans: Iterable[Span], size: int) -> int:
    """How many blocks of *size* bytes *spans* touch."""
    count, done = 0, 0
    for span in sorted(spans):
        first, end = max(done, span.start // size), -(-span.end // size)
        count += max(0, end - first)
        done = max(done, end)
    return count
