"""Walking the tables for one address, as hardware does: an entry a level, from the root down."""

from __future__ import annotations

from typing import NamedTuple

from bhyvesim.kernel.gpt.engine import Gpt
from bhyvesim.kernel.gpt.levels import (
    ENTRIES,
    LEAF_LEVEL,
    LEAF_SHIFT,
    REACH,
    ROOT_LEVEL,
    entry_index,
    table_span,
)
from bhyvesim.units import PAGE_SHIFT

# The kernel takes table pages from the host's free memory, which is not modelled. These
# frames, above all memory that segments can have by default, are one to a table for good.
_TABLE_FRAMES = 1 << 39


class WalkStep(NamedTuple):
    """One table on the way: its level (4 root … 1 leaf) and base GPA, and the entry used.

    ``slot`` is the entry's index in the table.
    """

    level: int
    table: int
    slot: int
    entry: int  # 0 where the walk ends for want of one


def table_frame(level: int, gpa: int) -> int:
    """The host page frame that stands for the table of *level* over *gpa*."""
    return _TABLE_FRAMES | level << 28 | gpa // table_span(level)


def table_in(gpt: Gpt, frame: int) -> tuple[int, int] | None:
    """The level and base GPA of the table that :func:`table_frame` puts in *frame*, if it exists.

    Memory of a segment may be there as well: its frames are anybody's to choose.
    """
    level, index = (frame ^ _TABLE_FRAMES) >> 28, frame & (1 << 28) - 1
    if not frame & _TABLE_FRAMES or not LEAF_LEVEL <= level <= ROOT_LEVEL:
        return None
    gpa = index * table_span(level)
    if gpa >= REACH or (level < ROOT_LEVEL and not _has_leaf(gpt, gpa, level)):
        return None
    return level, gpa


def walk(gpt: Gpt, gpa: int) -> list[WalkStep]:
    """The steps for *gpa*; the last one has the page's entry, or the first that is missing.

    Addresses past the reach of four levels have no steps.
    """
    steps: list[WalkStep] = []
    if not 0 <= gpa < REACH:
        return steps
    for level in range(ROOT_LEVEL, LEAF_LEVEL - 1, -1):
        base = gpa // table_span(level) * table_span(level)
        if level == LEAF_LEVEL:
            entry = gpt.entry(gpa >> PAGE_SHIFT)
        else:
            below = table_frame(level - 1, gpa)
            entry = gpt.npt.table(below) if _has_leaf(gpt, gpa, level - 1) else 0
        steps.append(WalkStep(level, base, entry_index(gpa, level), entry))
        if not entry:
            break
    return steps


def _has_leaf(gpt: Gpt, gpa: int, level: int) -> bool:
    """Whether the table of *level* over *gpa* exists, which means: some leaf below it does.

    The leaf of *gpa* itself is looked at first: mostly it is there, and nothing else is read.
    """
    if gpt.has_leaf(gpa):
        return True
    span = table_span(level)
    at = gpa // span * span >> LEAF_SHIFT
    end = max(at + 1, at + (span >> LEAF_SHIFT))
    stretch = ENTRIES
    while at < end:
        runs = gpt.leaves.runs(at, min(end, at + stretch))
        if any(leaf is not None for _, _, leaf in runs):
            return True
        at += stretch
        stretch *= 2
    return False
