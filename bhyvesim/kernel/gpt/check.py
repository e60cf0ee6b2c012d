"""A validator of the tree's own invariants; it finds what is broken, and repairs nothing."""

from __future__ import annotations

from bhyvesim.kernel.gpt.engine import Gpt
from bhyvesim.kernel.gpt.fold import entry_runs
from bhyvesim.kernel.gpt.leaf import ALL_ENTRIES, Leaf
from bhyvesim.kernel.gpt.levels import (
    ENTRIES,
    ENTRY_BITS,
    LEAF_LEVEL,
    LEAF_SHIFT,
    LEAVES,
    ROOT_LEVEL,
)
from bhyvesim.kernel.gpt.rows import node_rows


def problems(gpt: Gpt) -> list[str]:
    """What is wrong with *gpt*, a line each; empty when all is well."""
    found = tree_problems(gpt)
    held = entries_set(gpt)
    if gpt.resident < held:
        found.append(f"{held} entries are set, but the counter says {gpt.resident}")
    return found


def tree_problems(gpt: Gpt) -> list[str]:
    """What is wrong with the leaves and the rows derived from them, the page counter aside."""
    found: list[str] = []
    at = 0
    for first, end, leaf in gpt.leaves.runs(0, gpt.leaves.end):
        if first != at or end <= first:
            found.append(f"leaf runs do not join: {at:#x}, then {first:#x} to {end:#x}")
        at = end
        if leaf is not None:
            for problem in _leaf_problems(leaf):
                found.append(f"leaf {first << LEAF_SHIFT:#x}: {problem}")
    if at != gpt.leaves.end:
        found.append(f"leaf runs end at {at:#x}, not at {gpt.leaves.end:#x}")
    if not gpt.twins:  # the older of two equal tables cannot be reached, nor counted from above
        if sum(run.pages for run in entry_runs(gpt, range(LEAVES * ENTRIES))) != entries_set(gpt):
            found.append("the entry rows do not add up to the entries set")
        found += _level_problems(gpt)
    return found


def entries_set(gpt: Gpt) -> int:
    """How many entries for pages there are, those that no walk reaches included."""
    return sum(
        _present_count(leaf) * (end - first)
        for first, end, leaf in gpt.leaves.runs(0, gpt.leaves.end)
        if leaf is not None
    )


def _present_count(leaf: Leaf) -> int:
    return sum(bits.bit_count() for bits in leaf[2::2])


def _leaf_problems(leaf: Leaf) -> list[str]:
    found = []
    if len(leaf) % 2 == 0:
        return ["a class without its bits"]
    if not 0 <= leaf[0] <= ENTRIES:
        found.append(f"reference count {leaf[0]}")
    if list(leaf[1::2]) != sorted(set(leaf[1::2])):
        found.append("classes are not ascending")
    seen = 0
    for bits in leaf[2::2]:
        if not 0 < bits <= ALL_ENTRIES:
            found.append("a class with no bits, or with too many")
        if bits & seen:
            found.append("two classes claim one entry")
        seen |= bits
    return found


def _level_problems(gpt: Gpt) -> list[str]:
    """Each level's tables, counted from the leaves by address, against the derived rows."""
    found = []
    rows = node_rows(gpt)
    spans = [
        (first, end) for first, end, leaf in gpt.leaves.runs(0, gpt.leaves.end) if leaf is not None
    ]
    for level in range(LEAF_LEVEL, ROOT_LEVEL):
        tables, last = 0, -1
        for first, end in spans:
            tables += (end - 1) - max(first, last + 1) + 1 if end - 1 > last else 0
            last = max(last, end - 1)
        shown = sum(row.tables for row in rows if row.level == level)
        above = sum(row.tables * row.refcnt for row in rows if row.level == level + 1)
        if not tables == shown == above:
            found.append(f"level {level}: {tables} tables, {shown} shown, {above} counted above")
        spans = [(first >> ENTRY_BITS, ((end - 1) >> ENTRY_BITS) + 1) for first, end in spans]
    return found
