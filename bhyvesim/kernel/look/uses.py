"""What is allocated for a VM, and who needs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from bhyvesim.kernel.gpt.levels import LEAF_LEVEL, LEAF_SHIFT, ROOT_LEVEL, table_span
from bhyvesim.kernel.gpt.rows import node_rows
from bhyvesim.kernel.look.areas import Area, areas
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import Memseg


class TableUse(NamedTuple):
    """Tables of one level that the same *users* need, *first* being the base of the lowest.

    Nobody needs those without users, but for the root, which is the vmspace's own.
    """

    level: int
    tables: int
    first: int
    users: tuple[Area, ...]

    @property
    def leaked(self) -> bool:
        return not self.users and self.level != ROOT_LEVEL


def segment_uses(machine: Machine) -> list[tuple[Memseg, list[int]]]:
    """Every segment by id, with the slots of the memmaps that show it."""
    return [
        (seg, [i for i, m in enumerate(machine.slots) if m is not None and m.segid == seg.segid])
        for seg in sorted(machine.segs.values())
    ]


def table_uses(machine: Machine) -> list[TableUse]:
    """The tables from the root down, by who needs them: whatever covers a page of theirs.

    Of two tables for the same pages, an old and a newer one, only the newer is linked: the
    older serves nobody.
    """
    found: dict[tuple[int, tuple[Area, ...]], tuple[int, int]] = {}

    def count(level: int, users: tuple[Area, ...], tables: int, first: int) -> None:
        before, lowest = found.get((level, users), (0, first))
        found[level, users] = before + tables, min(lowest, first)

    mapped = areas(machine)
    rows = node_rows(machine.space.gpt)
    shares = {level: list(_shares(mapped, level)) for level in range(1, ROOT_LEVEL + 1)}
    for row in rows:
        size = table_span(row.level)
        first = row.gpa // size
        for start, end, users in shares[row.level]:
            here = range(max(first, start), min(first + row.tables, end))
            if here:
                count(row.level, users, len(here), here.start * size)
    for index in machine.space.gpt.twins:
        users = next(users for start, end, users in shares[LEAF_LEVEL] if start <= index < end)
        if users:
            count(LEAF_LEVEL, users, -1, index << LEAF_SHIFT)
            count(LEAF_LEVEL, (), 1, index << LEAF_SHIFT)
    return [
        TableUse(level, tables, first, users)
        for (level, users), (tables, first) in sorted(
            found.items(), key=lambda item: (-item[0][0], item[1][1])
        )
        if tables
    ]


def _shares(mapped: Sequence[Area], level: int) -> Iterator[tuple[int, int, tuple[Area, ...]]]:
    """``(first, end, users)`` over all tables of *level* that there can be, by index."""
    size = table_span(level)
    needs = [(area.span.start // size, area.span.last // size + 1, area) for area in mapped]
    ends = {0, table_span(ROOT_LEVEL) // size, *(n[0] for n in needs), *(n[1] for n in needs)}
    for first, end in pairwise(sorted(ends)):
        yield first, end, tuple(area for a, b, area in needs if a <= first < b)
