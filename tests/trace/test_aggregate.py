"""dtrace's pictures, to the byte, and runs counted as call by call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bhyvesim.errors import BadValue
from bhyvesim.trace.aggregate import Count, Lquantize, Quantize, TooManyKeys
from tests.trace.firings import firing, singly

HEADING = "           value  ------------- Distribution ------------- count    "


def picture(aggregation, *values):
    """The lines for firings whose ``len`` is a value, or (value, times)."""
    for value in values:
        length, times = value if isinstance(value, tuple) else (value, 1)
        aggregation.add(firing(0, length, times))
    lines = list(aggregation.lines())
    assert (lines[0], lines[1], lines[-1]) == ("", HEADING, "")
    return lines[2:-1]


def row(label, bar, count):
    return f"{label:>16} |{'@' * bar:<40} {count:<9}"


def test_a_row_is_that_of_dtrace():
    (_, shown, _) = picture(Quantize("len"), (1, 5))
    assert shown == "               1 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@ 5        "


def test_quantize_of_zero_and_of_both_signs():
    assert picture(Quantize("len"), 0) == [row(-1, 0, 0), row(0, 40, 1), row(1, 0, 0)]
    shown = picture(Quantize("len"), -1, -3, -2, 2, 3, 0, 0, 0)
    assert shown == [
        row(-4, 0, 0),
        row(-2, 10, 2),
        row(-1, 5, 1),
        row(0, 15, 3),
        row(1, 0, 0),
        row(2, 10, 2),
        row(4, 0, 0),
    ]


def test_bars_are_rounded_half_up():
    """1 of 80 is half a place, which is drawn; 1 of 81 is less, and is not."""
    assert picture(Quantize("len"), 1, (4, 79))[1] == row(1, 1, 1)
    assert picture(Quantize("len"), 1, (4, 80))[1] == row(1, 0, 1)
    assert picture(Quantize("len"), (1, 3), (4, 77))[1] == row(1, 2, 3)


def test_the_ends_of_64_bits():
    shown = picture(Quantize("len"), (1 << 63) - 1, 1 << 63)  # the latter is negative
    assert shown[0] == row(-(1 << 62), 20, 1)
    assert shown[-1] == row(1 << 62, 20, 1)


def test_lquantize_has_rows_for_what_is_outside():
    def drawn(*values):
        return picture(Lquantize("len", 0, 30, 10), *values)

    assert drawn(5) == [row("< 0", 0, 0), row(0, 40, 1), row(10, 0, 0)]
    assert drawn(15) == [row(0, 0, 0), row(10, 40, 1), row(20, 0, 0)]
    assert drawn(29) == [row(10, 0, 0), row(20, 40, 1), row(">= 30", 0, 0)]
    assert drawn(-1) == [row("< 0", 40, 1), row(0, 0, 0)]
    assert drawn(30, 31) == [row(20, 0, 0), row(">= 30", 40, 2)]


def test_lquantize_whose_steps_do_not_come_out_even():
    shown = picture(Lquantize("len", 0, 25, 10), 19, 20, 24)
    assert shown == [row(0, 0, 0), row(10, 13, 1), row(">= 20", 27, 2)]


@pytest.mark.parametrize(
    "text",
    [
        "len",
        "len,0,1",
        "len,0,x,1",
        "len,5,5,1",
        "len,0,10,0",
        "len,0,10,11",
        "len,0,65536,1",
        "len,0,9223372036854775808,1",
        "len,0x,5,1",
    ],
)
def test_lquantize_refuses(text):
    with pytest.raises(BadValue):
        Lquantize.parse(text)


runs = st.tuples(st.integers(-40, 100), st.integers(1, 60), st.integers(1, 9)).map(
    lambda r: firing(r[0], 0, r[1], r[2])
)
made = st.sampled_from(
    (
        lambda: Quantize("gpa"),
        lambda: Lquantize("gpa", -10, 60, 7),
        lambda: Quantize("arg1"),
        lambda: Count("gpa"),
        Count,
    )
)


@given(made, st.lists(runs, min_size=1, max_size=4))
def test_runs_are_counted_as_call_by_call(make, some):
    at_once, one_by_one = make(), make()
    for run in some:
        at_once.add(run)
        for call in singly(run):
            one_by_one.add(call)
    assert list(at_once.lines()) == list(one_by_one.lines())
    assert list(at_once.rows()) == list(one_by_one.rows())


def test_a_run_across_the_sign_of_64_bits():
    aggregation = Quantize("gpa")
    aggregation.add(firing((1 << 63) - 0x2000, 0, 4, 0x1000))
    assert list(aggregation.rows()) == [(-(1 << 62), 2), (1 << 62, 2)]


def test_a_run_of_millions_takes_no_loop():
    aggregation = Quantize("gpa")
    aggregation.add(firing(0, 0, 1 << 40, 0x1000))
    assert sum(count for _, count in aggregation.rows()) == 1 << 40


def test_counts_ascend():
    aggregation = Count("caller")
    for caller, times in (("b", 7), ("a", 7), ("c", 1)):
        aggregation.add(firing(times=times, caller=caller))
    assert list(aggregation.lines()) == [
        f"  {caller:<50} {count:16}" for caller, count in (("c", 1), ("a", 7), ("b", 7))
    ]


def test_too_many_keys():
    with pytest.raises(TooManyKeys):
        Count("gpa").add(firing(times=1 << 40, step=0x1000))
