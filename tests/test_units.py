"""Sizes, protections and spans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bhyvesim.errors import BadValue
from bhyvesim.prot import format_prot, parse_prot
from bhyvesim.span import Span
from bhyvesim.units import format_size, parse_size

SPANS = st.builds(Span.sized, st.integers(0, 60), st.integers(1, 20))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        ("0x200000", 2 << 20),
        ("2M", 2 << 20),
        ("2m", 2 << 20),
        ("2MB", 2 << 20),
        ("2MiB", 2 << 20),
        ("8 G", 8 << 30),
        ("1T", 1 << 40),
        ("64KiB", 64 << 10),
        ("7B", 7),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "M", "-1", "1.5G", "8Gigs", "1e9", "0x", "8G8", "10" * 30, "٣", "1E", "16777216T"]
)
def test_what_is_no_size(text):
    with pytest.raises(BadValue):
        parse_size(text)


@given(st.integers(0, 1 << 63))
def test_a_formatted_size_reads_back(size):
    assert parse_size(format_size(size)) == size


def test_protections():
    assert [parse_prot(t) for t in ("rwx", "r-x", "R", "r,w", "--x")] == [7, 5, 1, 3, 4]
    assert format_prot(5) == "r-x"
    assert format_prot(6, upper=True) == "-WX"


@pytest.mark.parametrize("text", ["", "---", "rr", "q", "rwxx", "7"])
def test_what_is_no_protection(text):
    with pytest.raises(BadValue):
        parse_prot(text)


@given(SPANS, SPANS)
def test_overlap_agrees_with_sets(a, b):
    shared = set(range(a.start, a.end)) & set(range(b.start, b.end))
    assert a.overlaps(b) == bool(shared)
    assert a.last == max(range(a.start, a.end))
