"""Sets of pages kept by leaf table, against plain sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bhyvesim.vm.migration.marks import Marks

PAGES = st.sets(st.integers(0, 3000), max_size=60)
RANGES = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 1500)), max_size=4)


def listed(marks: Marks) -> list[int]:
    return [page for part in marks.pages() for page in part]


@given(PAGES, RANGES)
def test_what_was_added_is_in_it(single, ranges):
    marks = Marks.over(range(first, first + count) for first, count in ranges)
    wanted = {page for first, count in ranges for page in range(first, first + count)}
    marks |= Marks.of(single)
    wanted |= single
    assert listed(marks) == sorted(wanted)
    assert len(marks) == len(wanted)
    assert all((page in marks) == (page in wanted) for page in range(3100))
    assert listed(Marks(marks.runs())) == sorted(wanted)


@given(PAGES, PAGES, RANGES)
def test_sets_together(one, other, ranges):
    mine, theirs = Marks.of(one), Marks.of(other)
    for first, count in ranges:
        theirs |= Marks.over([range(first, first + count)])
        other = other | set(range(first, first + count))
    assert listed(mine | theirs) == sorted(one | other)
    assert listed(mine & theirs) == sorted(one & other)
    assert listed(mine - theirs) == sorted(one - other)
    assert listed(mine) == sorted(one)


def test_neighbouring_pages_are_one_range_across_tables():
    marks = Marks.over([range(500, 2100), range(5000, 5001)])
    assert list(marks.pages()) == [range(500, 2100), range(5000, 5001)]


def test_all_of_a_terabyte_is_one_run():
    marks = Marks.over([range(1 << 28)])
    assert len(list(marks.runs())) == 1
    assert len(marks) == 1 << 28
    assert len(marks - Marks.of([7])) == (1 << 28) - 1
