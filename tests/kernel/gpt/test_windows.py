"""Page tables in parts: the same however they came about, and read only where somebody looks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bhyvesim.kernel.gpt.leaf import ALL_ENTRIES
from bhyvesim.kernel.gpt.levels import LEAVES
from bhyvesim.kernel.gpt.steps import StepFunction, Unread
from bhyvesim.kernel.gpt.windows import WINDOW, entries_set, leaves_of, parts_of

NONE, EMPTY, FULL, SOME = None, (0,), (512, 7 << 12, ALL_ENTRIES), (3, 7 << 12, 5)
EDGES = st.sampled_from([0, 1, 63, 64, 65, 100, 127, 128, 192, 1000, 1024, LEAVES - 64, LEAVES])
ASSIGNMENTS = st.lists(
    st.tuples(EDGES, EDGES, st.sampled_from([NONE, EMPTY, FULL, SOME])), max_size=12
)


def built(assignments):
    leaves = StepFunction(LEAVES, None)
    for one, other, leaf in assignments:
        if one != other:
            leaves.assign(min(one, other), max(one, other), leaf)
    return leaves


def reading(runs, log, window):
    def read():
        log.append(window)
        return runs

    return Unread(read, ("row", window))


def stored(leaves, log):
    """As a store gives them back: no window in memory."""
    parts = parts_of(leaves)
    windows = {w: reading(runs, log, w) for w, runs in parts.windows.items()}
    return leaves_of(parts.stretches, windows)


@given(ASSIGNMENTS)
def test_what_is_taken_apart_comes_together_again(assignments):
    leaves = built(assignments)
    again = stored(leaves, [])
    assert list(again.maximal_runs()) == list(leaves.maximal_runs())


@given(ASSIGNMENTS, ASSIGNMENTS)
def test_equal_leaves_have_equal_parts_whatever_came_before(before, after):
    whole = (0, LEAVES, NONE)
    assert parts_of(built([*before, whole, *after])) == parts_of(built(after))


@given(ASSIGNMENTS, ASSIGNMENTS)
def test_leaves_that_were_stored_change_as_others_do(before, after):
    log = []
    again = stored(built(before), log)
    fork = again.copy()
    for one, other, leaf in after:
        if one != other:
            again.assign(min(one, other), max(one, other), leaf)
    assert list(again.maximal_runs()) == list(built([*before, *after]).maximal_runs())
    assert list(fork.maximal_runs()) == list(built(before).maximal_runs())


@given(ASSIGNMENTS)
def test_taking_apart_reads_nothing_and_keeps_what_is_unread(assignments):
    log = []
    again = stored(built(assignments), log)
    parts = parts_of(again)
    assert log == []
    assert all(isinstance(window, Unread) for window in parts.windows.values())
    assert parts.stretches == parts_of(built(assignments)).stretches


def test_a_change_reads_its_window_alone():
    leaves = built([(0, 1024, FULL)])
    for window in range(8):
        leaves.assign(window * WINDOW + 3, window * WINDOW + 5, SOME)
    log = []
    again = stored(leaves, log)
    assert parts_of(again).stretches == [(0, 1024, FULL)]  # one, through eight windows
    again.assign(5 * WINDOW, 5 * WINDOW + 1, EMPTY)
    assert log == [5]
    kept = {w for w, runs in parts_of(again).windows.items() if isinstance(runs, Unread)}
    assert kept == set(range(8)) - {5}
    assert again[2 * WINDOW + 4] == SOME
    assert log == [5, 2]


def test_entries_are_counted_in_every_leaf_of_a_run():
    leaves = built([(0, 100, FULL), (100, 128, SOME), (1000, 1024, EMPTY)])
    assert entries_set(leaves) == 100 * 512 + 28 * 2
