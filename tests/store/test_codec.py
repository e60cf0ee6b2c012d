"""What is stored comes back as it was; what was never written is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bhyvesim import Machine
from bhyvesim.config.vm import load
from bhyvesim.kernel.gpt.leaf import build
from bhyvesim.kernel.gpt.windows import WINDOW
from bhyvesim.store import codec
from tests.conftest import ROOT

PTES = st.integers(0, 511).flatmap(
    lambda page: st.integers(0, (1 << 64) - 1).map(lambda pte: (page, pte))
)


@st.composite
def windows(draw):
    """A window's number, and runs that fill it, absent leaves included."""
    first = draw(st.integers(0, 1 << 20)) * WINDOW
    cuts = sorted(draw(st.sets(st.integers(1, WINDOW - 1), max_size=6)))
    runs = []
    for start, end in zip([0, *cuts], [*cuts, WINDOW], strict=True):
        classes = {}
        for page, pte in draw(st.lists(PTES, max_size=3, unique_by=lambda entry: entry[0])):
            cls = pte - ((first + start) * 512 + page << 12)
            classes[cls] = classes.get(cls, 0) | 1 << page
        leaf = draw(st.sampled_from([None, (7,), build(3, classes)]))
        if runs and runs[-1][2] == leaf is None:
            runs[-1] = (runs[-1][0], first + end, None)
        else:
            runs.append((first + start, first + end, leaf))
    return first, runs


@given(windows())
def test_windows_of_leaf_tables(window):
    first, runs = window
    data = codec.unpacked(codec.packed(codec.encode_window(first, runs)))
    assert codec.decode_window(first, data) == runs


@given(st.integers(0, 1 << 30), st.dictionaries(st.integers(0, 63), st.binary(max_size=9)))
def test_windows_of_memory(number, written):
    window = {number << 6 | page: data.ljust(4096, b"\1") for page, data in written.items()}
    assert codec.decode_pages(number, codec.encode_pages(window)) == window


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_descriptions(path):
    spec = load(path.read_bytes(), path.name)
    assert codec.decode_spec(codec.encode_spec(spec)) == spec


def test_outlines():
    machine = Machine("2025", npt="ept", apicv=True, track_dirty=True, debug=False)
    machine.alloc_memseg(3, 1 << 21, "rom", host_pfn=1 << 39)
    machine.mmap_memseg(1 << 30, 3, 0, 1 << 21, 5, wired=True)
    machine.hold(1 << 30, 1)
    outline = machine.outline()
    assert codec.decode_outline("running", *codec.encode_outline(outline)) == outline
    assert codec.decode_outline("off", *codec.encode_outline(outline)) == outline


@pytest.mark.parametrize(
    "data",
    [
        b"[[1, 1, 0]]",
        b"[[2, 65, 0]]",
        b"[[4, 5, 0], [1, 2, 0]]",
        b"[[0, 1.0, 0]]",
        b"[[0, 1, 513]]",
        b"[[0, 1, 0, 1, 3, 2, 1]]",
        b"[[0, 1, 0, 1]]",
        b"{",
    ],
)
def test_windows_that_nobody_wrote(data):
    with pytest.raises(ValueError, match=r"."):
        codec.decode_window(0, data)


@pytest.mark.parametrize("data", [b"\0", b"\0" * 4096, b"\x40" + bytes(4096)])
def test_memory_that_nobody_wrote(data):
    with pytest.raises(ValueError, match=r"a page outside|incomplete"):
        codec.decode_pages(0, data)


@pytest.mark.parametrize("body", [b"", b"x", codec.packed(b"data")[:-1]])
def test_bodies_that_were_cut_or_never_packed(body):
    with pytest.raises(ValueError, match=r"."):
        codec.unpacked(body)
