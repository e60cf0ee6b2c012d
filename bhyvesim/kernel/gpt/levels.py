"""The four levels of the radix tree, in pages and in bytes."""

from __future__ import annotations

from bhyvesim.units import PAGE_SHIFT

ENTRIES = 512  # of every table
ENTRY_BITS = 9
ROOT_LEVEL = 4
LEAF_LEVEL = 1

LEAF_SHIFT = PAGE_SHIFT + ENTRY_BITS  # a leaf table spans 2 MiB
LEAF_SPAN = 1 << LEAF_SHIFT
REACH = 1 << (PAGE_SHIFT + ENTRY_BITS * ROOT_LEVEL)  # 256 TiB; indices wrap there
LEAVES = REACH >> LEAF_SHIFT


def table_span(level: int) -> int:
    """How many bytes one table of *level* (1 leaf … 4 root) covers."""
    return 1 << (PAGE_SHIFT + ENTRY_BITS * level)


def entry_index(gpa: int, level: int) -> int:
    """Which of its 512 entries a table of *level* uses for *gpa*."""
    return gpa >> (PAGE_SHIFT + ENTRY_BITS * (level - 1)) & (ENTRIES - 1)
