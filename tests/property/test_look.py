"""Looking inside random machines: each answer against a naive one from the dump."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bhyvesim.errors import KernelPanic
from bhyvesim.kernel.gpt.filters import EntryFilter
from bhyvesim.kernel.gpt.fold import entry_runs, pages_in, table_runs
from bhyvesim.kernel.gpt.inverse import pages_holding, pages_mapping
from bhyvesim.kernel.gpt.levels import table_span
from bhyvesim.kernel.gpt.rows import NodeRow
from bhyvesim.kernel.gpt.walk import table_frame, table_in
from bhyvesim.kernel.look.areas import areas
from bhyvesim.kernel.look.fsck import examine
from bhyvesim.kernel.look.hosts import offers, owners
from bhyvesim.kernel.look.uses import table_uses
from bhyvesim.kernel.look.verdicts import verdicts
from bhyvesim.kernel.pte.format import bit_names, pfn_of
from bhyvesim.kernel.results import MachineState
from bhyvesim.report.tables import Wanted, tree_rows
from bhyvesim.span import Span
from tests.property.machines import EDGES, LEAF, PAGE, machines, pages_of

COUNTED = ("14367", "15844", "2025")


def tried(fork, gpa, prot):
    """Whether the access succeeds, its fault, the message of its panic."""
    try:
        access = fork.access(gpa, 1, prot)
    except KernelPanic as panic:
        return False, None, panic.message
    return access.ok == 1, access.fault, None


@settings(max_examples=150, deadline=None)
@given(machines, st.sampled_from(EDGES), st.integers(-2, 1500))
def test_the_verdict_is_what_the_access_comes_to(vm, edge, pages):
    gpa = max(0, edge + pages * PAGE)
    before = vm.snapshot()
    told = verdicts(vm, gpa)
    assert vm.snapshot() == before
    if vm.state is not MachineState.RUNNING:
        return
    entry = vm.space.gpt.entry(gpa >> 12)
    covered = any(m.span.start <= gpa < m.span.end for m in vm.space.mappings)
    for verdict in told:
        fork = vm.fork()
        ok, fault, panic = tried(fork, gpa, verdict.prot)
        assert (verdict.allowed, verdict.fault, verdict.panic) == (ok, fault, panic)
        now = fork.space.gpt.entry(gpa >> 12)
        assert verdict.maps == (not entry and now != 0)
        assert ("MMIO" in verdict.why) == (fault == "FC_NOMAP" and not covered)


spans = st.one_of(
    st.just(Span(0, 1 << 48)),
    st.builds(
        lambda edge, at, length: Span.sized(max(0, edge + at), length),
        st.sampled_from(EDGES),
        st.integers(-3 * PAGE, 3 * LEAF),
        st.integers(1, 3 * LEAF),
    ),
)


def expanded(runs):
    """Runs of entries, page by page."""
    found = {}
    for run in runs:
        for time in range(run.times):
            for i in range(run.npages):
                page = run.page + time * 512 + i
                assert page not in found
                found[page] = run.cls + (page << 12)
    return found


@settings(max_examples=150, deadline=None)
@given(machines, spans, st.integers(0, 7), st.booleans(), st.data())
def test_entries_with_filters_are_the_dump_filtered(vm, span, prot, exactly, data):
    names = st.sets(st.sampled_from(bit_names(vm.npt)), max_size=2)
    has, lacks = (frozenset(data.draw(names)) for _ in range(2))
    picked = EntryFilter(has, lacks, prot, exactly)
    runs = entry_runs(vm.space.gpt, pages_in(span), lambda cls: picked.picks(vm.npt, cls))
    naive = {
        page: pte
        for page, pte in pages_of(vm).items()
        if span.start < (page + 1) * PAGE and page * PAGE < span.end
        if has <= set(vm.npt.flags(pte)) and not lacks & set(vm.npt.flags(pte))
        if (vm.npt.prot(pte) == prot if exactly else not prot & ~vm.npt.prot(pte))
    }
    assert expanded(runs) == naive


@settings(max_examples=100, deadline=None)
@given(machines, spans, st.none() | st.integers(1, 4))
def test_tables_are_those_of_the_dump(vm, span, level):
    def one_by_one(rows):
        return sorted(
            (rank, gpa + i * table_span(rank), refcnt, entries)
            for rank, gpa, tables, refcnt, entries in rows
            for i in range(tables)
        )

    naive = [
        row
        for row in one_by_one(vm.dump()["nodes"])
        if level in (None, row[0])
        and row[1] < span.end
        and span.start < row[1] + table_span(row[0])
    ]
    assert one_by_one(table_runs(vm.space.gpt, span, level)) == naive


@settings(max_examples=100, deadline=None)
@given(machines)
def test_what_follows_a_row_lies_under_it(vm):
    """A tree: above each row, the last one of the level above covers it whole."""
    last = {}
    for row in tree_rows(vm, Wanted()):
        is_table = isinstance(row, NodeRow)
        level = row.level if is_table else 0
        end = row.gpa + (row.tables * table_span(level) if is_table else row.npages * PAGE)
        if level < 4:
            above = last[level + 1]
            assert above.gpa <= row.gpa
            assert end <= above.gpa + above.tables * table_span(level + 1)
        last[level] = row
    rows = tree_rows(vm, Wanted())
    assert expanded(row for row in rows if not isinstance(row, NodeRow)) == pages_of(vm)


@settings(max_examples=150, deadline=None)
@given(machines, st.integers(-2, 4000))
def test_it_is_the_inverse_of_the_dump(vm, near):
    pages = pages_of(vm)
    pfns = {pfn_of(pte) for pte in list(pages.values())[:3]} | {0xFFFFF, 0x100000 + near}
    for pfn in pfns:
        naive = [page for page, pte in sorted(pages.items()) if pfn_of(pte) == pfn]
        assert pages_mapping(vm.space.gpt, pfn) == naive
    for pte in {*list(pages.values())[:3], 0x100000067, (1 << 64) - 1}:
        naive = [page for page, entry in sorted(pages.items()) if entry == pte]
        assert pages_holding(vm.space.gpt, pte) == naive


@settings(max_examples=100, deadline=None)
@given(machines, st.integers(0, 4000))
def test_owners_and_offers_are_those_of_a_search_page_by_page(vm, offset):
    pfn = 0x100000 + offset
    pages = pages_of(vm)
    expected = [
        (seg.segid, i * PAGE)
        for seg in vm.segs.values()
        for i in range(seg.length // PAGE)
        if seg.host_pfn + i == pfn
    ]
    assert [(seg.segid, at) for seg, at in owners(vm, pfn)] == expected
    covering = [
        m.gpa + i * PAGE
        for m in vm.memmaps
        for i in range(m.length // PAGE)
        if vm.segs[m.segid].host_pfn + m.segoff // PAGE + i == pfn
    ]
    found = offers(vm, pfn)
    assert [o.gpa for o in found] == [gpa for gpa in covering if gpa >> 12 not in pages]
    for offer in found:
        if vm.state.value == "running" and "panic" not in offer.why:
            fork = vm.fork()
            fork.access(offer.gpa, 1, offer.area.prot & -offer.area.prot)
            assert offer.maps == bool(fork.space.gpt.entry(offer.gpa >> 12))


@settings(max_examples=50, deadline=None)
@given(machines, st.sampled_from(EDGES), st.integers(1, 4))
def test_tables_are_found_in_their_frames(vm, gpa, level):
    found = table_in(vm.space.gpt, table_frame(level, gpa))
    naive = {
        (rank, base + i * (PAGE << 9 * rank))
        for rank, base, tables, *_ in vm.dump()["nodes"]
        for i in range(tables)
    }
    base = gpa // (PAGE << 9 * level) * (PAGE << 9 * level)
    assert found == ((level, base) if (level, base) in naive else None)


@settings(max_examples=150, deadline=None)
@given(machines)
def test_users_of_tables_are_those_of_a_search_table_by_table(vm):
    naive = {}
    for level, gpa, tables, *_ in vm.dump()["nodes"]:
        for base in range(gpa, gpa + tables * table_span(level), table_span(level)):
            users = tuple(
                a.title
                for a in areas(vm)
                if a.span.start < base + table_span(level) and base < a.span.end
            )
            naive[level, users] = naive.get((level, users), 0) + 1
    if not vm.space.gpt.twins:
        found = {(u.level, tuple(a.title for a in u.users)): u.tables for u in table_uses(vm)}
        assert found == naive


@settings(max_examples=150, deadline=None)
@given(machines)
def test_kernels_that_count_users_damage_and_leak_nothing(vm):
    drifted = vm.resident - sum(row[1] for row in vm.dump()["ptes"])
    if vm.revision.name in COUNTED and vm.state.value == "running":
        assert [f.kind for f in examine(vm)] == (["drift"] if drifted else [])
        assert not any(use.leaked for use in table_uses(vm))
    elif not drifted:
        assert {"drift", "counter"}.isdisjoint(f.kind for f in examine(vm))
