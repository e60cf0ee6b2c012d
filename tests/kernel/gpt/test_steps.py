"""The step function against a plain list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bhyvesim.kernel.gpt import steps
from bhyvesim.kernel.gpt.steps import StepFunction

END = 60
ASSIGNMENTS = st.lists(
    st.tuples(st.integers(0, END - 1), st.integers(1, END), st.integers(0, 3)), max_size=60
)


@given(ASSIGNMENTS, st.integers(0, END - 1), st.integers(1, END))
def test_agrees_with_a_list(assignments, lo, length):
    # Blocks of two runs, so that joining and splitting them happens all the time.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "BLOCK", 2)
        function, model = StepFunction(END, 0), [0] * END
        for start, size, value in assignments:
            end = min(END, start + size)
            function.assign(start, end, value)
            model[start:end] = [value] * (end - start)
        assert [function[i] for i in range(END)] == model
        hi = min(END, lo + length)
        runs = function.runs(lo, hi)
        assert [v for a, b, v in runs for _ in range(a, b)] == model[lo:hi]
        assert runs[0][0] == lo
        assert runs[-1][1] == hi
        for i in range(END):
            values, k, alone = function.locate(i)
            assert values[k] == model[i]
            if alone:
                values[k] = model[i] = 9
        assert [function[i] for i in range(END)] == model


def test_equal_neighbours_are_one_run():
    function = StepFunction(1000, "a")
    function.assign(10, 20, "b")
    function.assign(20, 30, "b")
    function.assign(5, 10, "b")
    assert function.runs(0, 1000) == [(0, 5, "a"), (5, 30, "b"), (30, 1000, "a")]
    function.assign(5, 30, "a")
    assert function.runs(0, 1000) == [(0, 1000, "a")]


def test_many_runs_stay_in_small_blocks():
    function = StepFunction(100_000, None)
    for i in range(0, 100_000, 2):
        function.assign(i, i + 1, i)
    assert len(function.runs(0, 100_000)) == 100_000
    assert max(len(starts) for starts, _ in function._blocks) <= 2 * steps.BLOCK
