"""Dirty bitmaps of ranges that begin anywhere, against a plain set of pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bhyvesim import Machine, NotRunning, Refused
from bhyvesim.machine.dirty import get_dirty, reset_dirty, set_dirty

PAGE = 4096
PAGES = 1400  # of a memmap that begins in the middle of a leaf and ends in another's
BASE = 300
IN_MAP = st.sets(st.integers(BASE, BASE + PAGES - 1), max_size=40)


def guest() -> Machine:
    machine = Machine("2025")
    machine.alloc_memseg(0, PAGES * PAGE)
    machine.mmap_memseg(BASE * PAGE, 0, 0, PAGES * PAGE, 7)
    machine.access(BASE * PAGE, PAGES, 1)
    return machine


def bitmap_of(pages, first):
    return sum(1 << (page - first) for page in pages)


@given(IN_MAP, IN_MAP, st.integers(0, 900), st.integers(1, 1200))
def test_ranges_agree_with_sets(written, marked, first, count):
    machine = guest()
    machine.access_batch([page * PAGE for page in sorted(written)], 2)
    window = set(range(first, first + count))
    span = (first * PAGE, count * PAGE)
    assert get_dirty(machine, *span) == bitmap_of(written & window, first)

    set_dirty(machine, *span, bitmap_of(marked & window, first))
    dirty = written | (marked & window)
    assert get_dirty(machine, 0, 2000 * PAGE) == bitmap_of(dirty, 0)

    was = reset_dirty(machine, *span, bitmap_of(written & window, first))
    assert was == bitmap_of(written & window, first)
    dirty -= written & window
    assert get_dirty(machine, 0, 2000 * PAGE) == bitmap_of(dirty, 0)

    assert reset_dirty(machine, 0, 2000 * PAGE) == bitmap_of(dirty, 0)
    assert get_dirty(machine, 0, 2000 * PAGE) == 0
    assert machine.resident == PAGES


def test_pages_without_an_entry_cannot_be_dirty():
    machine = guest()
    set_dirty(machine, 0, 2000 * PAGE, (1 << 2000) - 1)
    assert get_dirty(machine, 0, 2000 * PAGE).bit_count() == PAGES


@pytest.mark.parametrize(
    ("errno", "gpa", "length"),
    [
        ("EINVAL", 1, PAGE),
        ("EINVAL", 0, 1),
        ("EINVAL", -PAGE, PAGE),
        ("EOVERFLOW", (1 << 64) - PAGE, 2 * PAGE),
    ],
)
def test_refusals(errno, gpa, length):
    machine = guest()
    for operation in (get_dirty, reset_dirty):
        with pytest.raises(Refused, match=errno):
            operation(machine, gpa, length)
    with pytest.raises(Refused, match=errno):
        set_dirty(machine, gpa, length, 1)


def test_past_the_reach_of_the_tables_nothing_is_dirty():
    machine = guest()
    assert get_dirty(machine, (1 << 64) - PAGE, PAGE) == 0
    machine.destroy()
    with pytest.raises(NotRunning):
        get_dirty(machine, 0, PAGE)
