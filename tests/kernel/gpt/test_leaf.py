"""Leaf values: classes, bit sets, bit 63."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bhyvesim.kernel.gpt.leaf import build, classes, entries, flags_of, present, runs_of, without
from bhyvesim.kernel.pte import EPT, RVI

BITS = st.integers(1, (1 << 512) - 1)


@given(BITS)
def test_runs_cover_the_bits(bits):
    runs = list(runs_of(bits))
    assert sum((1 << end) - (1 << first) for first, end in runs) == bits
    assert all(a[1] < b[0] for a, b in pairwise(runs))


@given(
    st.integers(0, (1 << 40) - 1),
    st.integers(0, (1 << 36) - 1),
    st.integers(1, 7),
    st.sampled_from((RVI, EPT)),
)
def test_flags_survive_the_class(pfn, page, prot, npt):
    pte = npt.page(pfn, prot) | npt.dirty
    cls = pte - (page << 12)
    assert flags_of(cls) == pte & (0xFFF | 1 << 63)
    assert npt.prot(flags_of(cls)) == npt.prot(pte)


@given(BITS, BITS)
def test_without_zeroes_what_it_is_told(first, second):
    leaf = build(3, {-7: first, 9: second & ~first})
    left = without(leaf, second)
    assert present(left) == (first | second) & ~second
    assert left[0] == 3
    assert present(build(0, classes(leaf))) == first | second


def test_entries_are_by_index():
    leaf = build(0, {5: 0b1001, 1: 0b0110})
    assert entries(leaf) == [(0, 1, 5), (1, 3, 1), (3, 4, 5)]


def test_the_pte_of_the_report():
    pte = RVI.page(0xE23CD7, 7) | RVI.dirty
    assert pte == 0xE23CD7067
    assert RVI.flags(pte) == ("present", "writable", "user", "accessed", "dirty")
