"""Damaged files of every kind: a message or a description, and never another memory."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bhyvesim.config.importers.sniff import find
from bhyvesim.errors import UsageError
from tests.cli.imports import SAMPLES

_SIZES = ("4G", "4096", ">4<", "$MEM")


def drafts(data):
    """The descriptions in *data*; those that are refused in one line are left out."""
    refusals = []
    try:
        for one in find(data, "f", None, lambda path: None):
            try:
                yield yaml.safe_load(one.read().text())
            except UsageError as error:
                refusals.append(str(error))
    except UsageError as error:
        refusals.append(str(error))
    assert all(said.startswith("f:") and "\n" not in said for said in refusals)


def size_of(vm):
    return vm.get("memory") or sum(
        {"G": 1 << 30, "M": 1 << 20}[s["size"][-1]] * int(s["size"][:-1])
        for s in vm["segments"]
        if s["name"] == "sysmem"
    )


def memory_lines(text):
    """Those that say how much it is: with the size, or with the variable that has it."""
    return {line.encode() for line in text.split("\n") if any(word in line for word in _SIZES)}


def keeps_its_memory(kind, data):
    """A sample that keeps the lines of its memory has that memory, or is refused.

    A zone whose ``name=ram`` is damaged has no ram: the brand's default is said.
    """
    if not memory_lines(SAMPLES[kind]) <= set(data.split(b"\n")):
        return True
    allowed = ("4G", 4 << 30, "1G") if kind.startswith("zonecfg") else ("4G", 4 << 30)
    return all(size_of(vm) in allowed for vm in drafts(data))


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_truncation(kind):
    data = SAMPLES[kind].encode()
    assert all(keeps_its_memory(kind, data[:end]) for end in range(len(data)))


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_lost_byte_and_every_lost_line(kind):
    data = SAMPLES[kind].encode()
    assert all(keeps_its_memory(kind, data[:i] + data[i + 1 :]) for i in range(len(data)))
    lines = data.split(b"\n")
    for i in range(len(lines)):
        assert keeps_its_memory(kind, b"\n".join(lines[:i] + lines[i + 1 :]))


@pytest.mark.parametrize("kind", SAMPLES)
@settings(max_examples=120)
@given(places=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4))
def test_bytes_that_flip(kind, places):
    data = bytearray(SAMPLES[kind].encode())
    for place, value in places:
        data[place % len(data)] = value
    assert keeps_its_memory(kind, bytes(data))


@settings(max_examples=200)
@given(st.sampled_from(list(SAMPLES)), st.sampled_from(list(SAMPLES)), st.integers(0, 300))
def test_two_kinds_in_one_file(one, other, cut):
    text = SAMPLES[one][:cut] + SAMPLES[other]
    assert all(size_of(vm) in ("4G", "1G", 4 << 30, 1 << 30) for vm in drafts(text.encode()))
