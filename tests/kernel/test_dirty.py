"""Dirty bits of ranges that begin anywhere, against a plain set of pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bhyvesim import Machine, NotRunning, Refused
from bhyvesim.kernel.npt import (
    FLAGS,
    OPERATIONS,
    dirty_operation,
    npt_operation,
    track_dirty_pages,
)

PAGE = 4096
PAGES = 1400  # of a memmap that begins in the middle of a leaf and ends in another's
BASE = 300
EVERYWHERE = (0, 2000 * PAGE)
IN_MAP = st.sets(st.integers(BASE, BASE + PAGES - 1), max_size=40)
ANY = st.sets(st.integers(0, 1999), max_size=40)
SPANS = st.tuples(st.integers(0, 900), st.integers(1, 1000))
OUT = FLAGS["BITMAP_OUT"]


def guest(touched=PAGES, prot=7, **keys) -> Machine:
    machine = Machine("2025", **keys)
    machine.alloc_memseg(0, PAGES * PAGE)
    machine.mmap_memseg(BASE * PAGE, 0, 0, PAGES * PAGE, prot)
    if touched:
        machine.access(BASE * PAGE, touched, 1)
    return machine


def bitmap_of(pages, first, count):
    bits = sum(1 << (page - first) for page in pages if first <= page < first + count)
    return bits.to_bytes((count + 7) // 8, "little")


def pages_of(bitmap, first):
    bits = int.from_bytes(bitmap, "little")
    return {first + i for i in range(bits.bit_length()) if bits >> i & 1}


def run(machine, name, first, count, pages=None):
    """One operation with BITMAP_OUT, with BITMAP_IN if *pages* are given; the pages it answers."""
    operation = OPERATIONS[name] | OUT
    given = None
    if pages is not None:
        operation |= FLAGS["BITMAP_IN"]
        given = bitmap_of(pages, first, count)
    answer = npt_operation(machine, first * PAGE, count * PAGE, operation, given).bitmap
    assert answer is not None
    return pages_of(answer, first)


def dirty(machine):
    return run(machine, "GET_DIRTY", 0, 2000)


@given(IN_MAP, IN_MAP, SPANS)
def test_ranges_agree_with_sets(written, marked, span):
    machine = guest()
    machine.access_batch([page * PAGE for page in sorted(written)], 2)
    window = set(range(span[0], span[0] + span[1]))
    assert run(machine, "GET_DIRTY", *span) == written & window

    newly = run(machine, "SET_DIRTY", *span, pages=marked & window)
    assert newly == (marked - written) & window
    everything = written | (marked & window)
    assert dirty(machine) == everything

    assert run(machine, "RESET_DIRTY", *span, pages=written & window) == written & window
    everything -= written & window
    assert dirty(machine) == everything
    assert run(machine, "RESET_DIRTY", 0, 2000) == everything
    assert dirty(machine) == set()
    assert machine.resident == PAGES


@given(ANY, SPANS)
def test_bits_of_pages_without_a_table_come_back_as_given(asked, span):
    machine = guest()
    window = set(range(span[0], span[0] + span[1]))
    with_table = set(range(2048))  # the memmap's leaves: 0 to 3
    answer = run(machine, "RESET_DIRTY", *span, pages=asked & window)
    assert answer == (asked & window) - with_table
    far = {3000, 3005}
    assert run(machine, "GET_DIRTY", 2990, 20, pages=far) == far


@given(IN_MAP, st.sampled_from((7, 5)), st.booleans())
def test_a_set_maps_absent_pages_that_may_be_written(marked, prot, with_bitmap):
    machine = guest(touched=100, prot=prot)
    before = machine.resident
    if with_bitmap:
        run(machine, "SET_DIRTY", 0, 2000, pages=marked)
    else:
        marked = set(range(BASE, BASE + PAGES))
        assert npt_operation(machine, *EVERYWHERE, OPERATIONS["SET_DIRTY"]).bitmap is None
    assert dirty(machine) == (marked if prot & 2 else set())
    absent = {page for page in marked if page >= BASE + 100}
    assert machine.resident - before == (len(absent) if prot & 2 else 0)


@pytest.mark.parametrize(
    ("errno", "gpa", "length", "operation", "bitmap"),
    [
        ("EINVAL", 1, PAGE, 3, None),
        ("EINVAL", 0, 1, 3, None),
        ("EINVAL", -PAGE, PAGE, 3, None),
        ("EOVERFLOW", (1 << 64) - PAGE, 2 * PAGE, 3, None),
        ("EOVERFLOW", (1 << 64) - PAGE, PAGE, 3, None),
        ("EINVAL", 0, 0, 3 | OUT, None),
        ("E2BIG", 0, (1 << 30) + PAGE, 3 | OUT, None),
        ("EFAULT", 0, 9 * PAGE, 3 | FLAGS["BITMAP_IN"], b"1"),
        ("EFAULT", 0, PAGE, 99 | FLAGS["BITMAP_IN"], None),
        ("EINVAL", 0, PAGE, 99, None),
    ],
)
def test_refusals(errno, gpa, length, operation, bitmap):
    with pytest.raises(Refused, match=errno):
        npt_operation(guest(), gpa, length, operation, bitmap)


def test_a_gibibyte_is_the_most_that_a_bitmap_takes():
    machine = guest()
    answer = npt_operation(machine, 0, 1 << 30, OPERATIONS["GET_DIRTY"] | OUT).bitmap
    assert answer is not None
    assert len(answer) == 8 * PAGE
    with pytest.raises(Refused, match="EPERM"):
        track_dirty_pages(machine, 0, 1 << 30)
    with pytest.raises(Refused, match="EINVAL"):
        track_dirty_pages(machine, 0, (1 << 30) + PAGE)
    assert track_dirty_pages(machine, 0, 0) == b""


def test_tracking_takes_effect_for_releases_at_once():
    machine = guest()
    switch = (0, 0)
    for name, marked in (("EN_TRACK_DIRTY", {BASE}), ("DIS_TRACK_DIRTY", set())):
        machine.access(BASE * PAGE, 1, 2, by="device")
        run(machine, "RESET_DIRTY", 0, 2000)
        npt_operation(machine, *switch, OPERATIONS[name])
        machine.access(BASE * PAGE, 1, 2, by="device")
        assert dirty(machine) == marked


def test_past_the_reach_of_the_tables_nothing_is_dirty():
    machine = guest()
    answer = npt_operation(machine, (1 << 64) - 2 * PAGE, PAGE, OPERATIONS["GET_DIRTY"] | OUT)
    assert answer.bitmap == b"\0"
    machine.destroy()
    with pytest.raises(NotRunning):
        track_dirty_pages(machine, 0, PAGE)


def test_a_bitmap_that_is_too_long_to_be_taken_is_not_made_either():
    operation, given = dirty_operation("SET_DIRTY", 1 << 63, pages=1)
    with pytest.raises(Refused) as caught:
        npt_operation(guest(), 0, 1 << 63, operation, given)
    assert caught.value.errno_name == "E2BIG"
