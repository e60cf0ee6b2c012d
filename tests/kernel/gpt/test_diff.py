"""Differences of two page tables, against the entries one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bhyvesim import Machine
from bhyvesim.kernel.gpt.diff import gone, leaf_changes, pte_changes
from bhyvesim.kernel.gpt.steps import Unread
from bhyvesim.kernel.gpt.windows import leaves_of, parts_of

MIB = 1 << 20
PAGE = 4096
MOVES = st.lists(
    st.one_of(
        st.tuples(
            st.just("access"), st.integers(0, 3000), st.integers(1, 1500), st.sampled_from([1, 2])
        ),
        st.tuples(st.just("munmap"), st.sampled_from([0, 4, 8]), st.just(0), st.just(0)),
    ),
    max_size=8,
)


def machine():
    made = Machine("2025")
    made.alloc_memseg(0, 16 * MIB)
    for at in (0, 4, 8):
        made.mmap_memseg(at * MIB, 0, at * MIB, 3 * MIB, 7)
    return made


def move(made, moves):
    for what, one, other, prot in moves:
        if what == "access":
            made.access(one * PAGE, other, prot)
        elif any(m.gpa == one * MIB for m in made.memmaps):
            made.munmap_memseg(one * MIB, 3 * MIB)


def entries(made):
    return {
        gpa + i * PAGE: pte + i * PAGE
        for gpa, pages, pte in made.dump()["ptes"]
        for i in range(pages)
    }


def leaf_counts(made):
    return {
        gpa + i * 2 * MIB: refcnt
        for level, gpa, count, refcnt, _ in made.dump()["nodes"]
        if level == 1
        for i in range(count)
    }


@given(MOVES, MOVES)
def test_differences_are_those_of_every_page(first, second):
    made = machine()
    move(made, first)
    before, was, counts = made.space.gpt.leaves.copy(), entries(made), leaf_counts(made)
    move(made, second)
    after, now = made.space.gpt.leaves, entries(made)
    shown = {}
    for row in pte_changes(before, after):
        for i in range(row.npages):
            one = row.before and row.before + i * PAGE
            shown[row.gpa + i * PAGE] = one, row.after and row.after + i * PAGE
    pages = was.keys() | now.keys()
    assert shown == {p: (was.get(p, 0), now.get(p, 0)) for p in pages if was.get(p) != now.get(p)}
    lost = {gpa for start, end in gone(before, after) for gpa in range(start, end, PAGE)}
    assert lost == was.keys() - now.keys()
    tables = {
        row.gpa + i * 2 * MIB: (row.before, row.after)
        for row in leaf_changes(before, after)
        for i in range(row.tables)
    }
    later = leaf_counts(made)
    assert tables == {
        gpa: (counts.get(gpa), later.get(gpa))
        for gpa in counts.keys() | later.keys()
        if counts.get(gpa) != later.get(gpa)
    }


def test_a_guest_of_32_tib_is_a_few_rows():
    made = Machine("2025")
    made.alloc_memseg(0, 32 << 40)
    made.mmap_memseg(0, 0, 0, 32 << 40, 7)
    before = made.space.gpt.leaves.copy()
    made.access(0, (32 << 40) // PAGE, 2)
    assert len(pte_changes(before, made.space.gpt.leaves)) == 1
    assert gone(made.space.gpt.leaves, before) == [(0, 32 << 40)]


def test_windows_known_to_be_the_same_are_not_read():
    made = machine()
    move(made, [("access", 5, 1, 1), ("access", 2049, 3, 2)])
    parts = parts_of(made.space.gpt.leaves)

    def read():
        raise AssertionError("read")

    def stored(key):
        return leaves_of(parts.stretches, {w: Unread(read, key) for w in parts.windows})

    assert pte_changes(stored("a"), stored("a")) == []
