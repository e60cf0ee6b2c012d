"""Where two results part, in words; and states however their rows are folded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bhyvesim.explore.difference import Run, difference, parting

LEAF = 1 << 21
TABLES = [[4, 0, 1, 1, 1], [3, 0, 1, 1, 1], [2, 0, 1, 2, 2], [1, 0, 2, 512, 1]]
ACCESS = {"ok": 1, "mapped": 1, "fault": "FC_PROT", "gpa": 4096}
STATS = {"ok": 0, "resident_bytes": 0, "wired_bytes": None}


def panic(message):
    return {"panic": {"function": "f", "message": message}}


def bitmap(text):
    return {"ok": 0, "bitmap": text}


def dump(**changes):
    memmap = [[0, 2 * LEAF, 0, 0, 7, 0]]
    state = {"nodes": TABLES, "ptes": [[0, 2, 0x1000067]], "memmap": memmap}
    return {"ok": 0, "resident": 2, **state, **changes}


@pytest.mark.parametrize(
    ("expected", "got", "told"),
    [
        ({"ok": 0}, {"error": "EINVAL"}, "EINVAL, expected ok"),
        ({"error": "ENOSPC"}, {"ok": 0}, "ok, expected ENOSPC"),
        ({"ok": 0}, {"ok": False}, "ok false, expected 0"),
        ({"ok": 3, "mapped": 1}, {"ok": 3}, "mapped none, expected 1"),
        ({"ok": 0}, {"ok": 0, "x": [1]}, "x [1], expected none"),
        ({"ok": 0}, {}, "{}, expected ok"),
        (ACCESS, {**ACCESS, "gpa": 0}, "gpa 0x0, expected 0x1000"),
        (panic("a b"), panic("\x1b[2J b"), 'message "\\e[2J b", expected "a b"'),
        (panic("m"), panic("n" * 300), "message " + "n" * 199 + "…, expected m"),
        ({"hang": {"function": "f"}}, {"hang": 7}, "hang in 7, expected hang in f"),
        ({"fault": "FC_NOMAP", "gpa": 0}, {"ok": 1}, "ok, expected fault FC_NOMAP"),
        (bitmap("0001"), bitmap("0003"), "bitmap 1 for page 9, expected 0"),
        (bitmap("00"), bitmap(7), "bitmap 7, expected 00"),
        (bitmap("ab"), bitmap("AB"), "bitmap AB, expected ab"),
        (STATS, {**STATS, "wired_bytes": 0}, "wired_bytes 0, expected null"),
    ],
)
def test_results(expected, got, told):
    assert str(difference("result", expected, got)) == f"result: {told}"
    assert difference("result", got, got) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"resident": 3}, "dump: resident 3, expected 2"),
        ({"x": 1}, "dump: x 1, expected none"),
        ({"nodes": None}, 'dump, "nodes": null, expected a list of lists of 5 numbers'),
        ({"nodes": [[5, 0, 1, 1, 1]]}, 'dump, "nodes": [5,0,1,1,1], expected a list of lists'),
        ({"ptes": [[0, 0, 1]]}, 'dump, "ptes": [0,0,1], expected a list of lists of 3 numbers'),
        ({"ptes": [[0, 1, 1.5]]}, 'dump, "ptes": [0,1,1.5], expected a list of lists'),
        ({"memmap": [[0]]}, 'dump, "memmap": [0], expected a list of lists of 6 numbers'),
        ({"ptes": []}, "page 0x0: pte 0x0, expected 0x1000067"),
        ({"ptes": [[0, 1, 0x1000067]]}, "page 0x1000: pte 0x0, expected 0x1001067"),
        ({"ptes": [[0, 3, 0x1000067]]}, "page 0x2000: pte 0x1002067, expected 0x0"),
        (
            {"nodes": [*TABLES[:3], [1, 0, 1, 512, 1], [1, LEAF, 1, 511, 1]]},
            "table level 1 at 0x200000: count 511, expected 512",
        ),
        (
            {"nodes": [*TABLES[:3], [1, 0, 2, 512, 2]]},
            "table level 1 at 0x0: entries 2, expected 1",
        ),
        (
            {"nodes": [*TABLES[:3], [1, 0, 1, 512, 1]]},
            "table level 1 at 0x200000: none, expected count 512, entries 1",
        ),
        (
            {"nodes": [*TABLES[:3], [1, 0, 3, 512, 1]]},
            "table level 1 at 0x400000: count 512, entries 1, expected none",
        ),
        ({"memmap": [[0, 2 * LEAF, 0, 0, 5, 0]]}, "memmap at 0x0: prot 5, expected 7"),
        (
            {"memmap": []},
            "memmap at 0x0: none, expected len 0x400000, segid 0, segoff 0x0, prot 7, wired 0",
        ),
    ],
)
def test_states(changes, told):
    assert str(difference("dump", dump(), dump(**changes))).startswith(told)


def test_a_memmap_that_stays_is_the_reason_for_its_tables():
    empty = dump(nodes=[[4, 0, 1, 0, 0]], ptes=[], memmap=[], resident=0)
    assert str(difference("dump", empty, dump())).startswith("memmap at 0x0: ")


values = st.lists(st.one_of(st.none(), st.integers(0, 1)), max_size=12)
cuts = st.sets(st.integers(0, 12))


def folded(line, at):
    """Runs of *line*, in which None is a gap, split at the places in *at*."""
    runs = []
    for place, value in enumerate(line):
        last = runs[-1] if runs else None
        follows = last and last.start + last.length * 10 == place * 10 and last.value == value
        if value is not None and follows and place not in at:
            runs[-1] = last._replace(length=last.length + 1)
        elif value is not None:
            runs.append(Run(place * 10, 1, value))
    return runs


@given(values, values, cuts, cuts)
def test_runs_part_where_their_values_do(one, other, ours, theirs):
    length = max(len(one), len(other))
    pairs = list(
        zip(*([*line, *[None] * (length - len(line))] for line in (one, other)), strict=True)
    )
    first = next(((at * 10, *pair) for at, pair in enumerate(pairs) if pair[0] != pair[1]), None)
    assert parting(folded(one, ours), folded(other, theirs), 10) == first
