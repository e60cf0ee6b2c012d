"""The leaves of a page table in parts that can be kept apart: a change costs what it changed.

Long runs of equal leaves are *stretches*; what is finer than a window of 64 leaves (128 MiB of
guest) is a *window* of its own. Stretches go through windows: a guest of one memmap is one
stretch, however many of its windows differ. The form is canonical: equal leaves have equal parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from bhyvesim.kernel.gpt.leaf import Leaf, present
from bhyvesim.kernel.gpt.levels import LEAVES
from bhyvesim.kernel.gpt.steps import StepFunction, Unread

WINDOW = 64  # leaves
_WINDOWS = LEAVES // WINDOW

Leaves = StepFunction[Leaf | None]
Run = tuple[int, int, Leaf | None]  # leaves [start, end), by index


class Parts(NamedTuple):
    """``stretches``: runs of existing leaves, by index; ``windows``: by number, all their runs.

    A window that is not in memory is :class:`Unread` still.
    """

    stretches: list[tuple[int, int, Leaf]]
    windows: dict[int, list[Run] | Unread[Leaf | None]]


def parts_of(leaves: Leaves) -> Parts:
    """*leaves* taken apart; reads nothing that is not in memory."""
    windows: dict[int, list[Run] | Unread[Leaf | None]] = {}
    whole: list[Run] = []  # runs of windows that are of one value, by window
    for first, end, unread in leaves.parts():
        if unread is not None:
            windows[first // WINDOW] = unread
            continue
        for start, stop, leaf in leaves.maximal_runs_of(first, end):
            at = -(-start // WINDOW)
            to = stop // WINDOW
            if at < to:
                _extend(whole, at, to, leaf)
            for window in {start // WINDOW, (stop - 1) // WINDOW}:
                lo, hi = window * WINDOW, (window + 1) * WINDOW
                if start > lo or stop < hi:
                    runs = windows.setdefault(window, [])
                    assert isinstance(runs, list)
                    runs.append((max(start, lo), min(stop, hi), leaf))
    return Parts(list(_stretches(whole)), windows)


def leaves_of(
    stretches: Iterable[tuple[int, int, Leaf]],
    windows: Mapping[int, Unread[Leaf | None]],
) -> Leaves:
    """The inverse of :func:`parts_of`; a window is read when somebody looks there.

    Its weight is the number of entries set in it.
    """
    ground: Leaves = StepFunction(LEAVES, None)
    for first, end, leaf in stretches:
        ground.assign(first, end, leaf)
    return StepFunction.of_parts(LEAVES, _placed(ground, windows))


def entries_set(leaves: Leaves) -> int:
    """How many entries are set in all of *leaves*; reads nothing that is not in memory."""
    total = 0
    for first, end, unread in leaves.parts():
        total += count_set(leaves.runs(first, end)) if unread is None else unread.weight
    return total


def count_set(runs: Iterable[Run]) -> int:
    """How many entries are set in *runs*."""
    return sum(
        present(leaf).bit_count() * (end - start) for start, end, leaf in runs if leaf is not None
    )


def _placed(
    ground: Leaves, windows: Mapping[int, Unread[Leaf | None]]
) -> Iterator[tuple[int, list[tuple[int, Leaf | None]] | Unread[Leaf | None]]]:
    at = 0
    for window in sorted(windows):
        first = window * WINDOW
        if at < first:
            yield at, [(start, leaf) for start, _, leaf in ground.runs(at, first)]
        yield first, windows[window]
        at = first + WINDOW
    if at < LEAVES:
        yield at, [(start, leaf) for start, _, leaf in ground.runs(at, LEAVES)]


def _extend(whole: list[Run], first: int, end: int, leaf: Leaf | None) -> None:
    """Add windows ``[first, end)`` to the runs, through windows of their own in between."""
    if whole and whole[-1][2] == leaf:
        whole[-1] = (whole[-1][0], end, leaf)
    else:
        whole.append((first, end, leaf))


def _stretches(whole: list[Run]) -> Iterator[tuple[int, int, Leaf]]:
    """Each run from its first window up to the first of the next."""
    ends = [first for first, _, _ in whole[1:]] + [_WINDOWS]
    starts = [0] + [first for first, _, _ in whole[1:]]
    for (_, _, leaf), start, end in zip(whole, starts, ends, strict=True):
        if leaf is not None:
            yield start * WINDOW, end * WINDOW, leaf
