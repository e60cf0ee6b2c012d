"""bhyvesim find: the way back from a host page or an entry's value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bhyvesim import Machine
from bhyvesim.kernel.gpt.inverse import pages_holding, pages_mapping
from bhyvesim.kernel.gpt.walk import table_frame, table_in
from bhyvesim.kernel.look.hosts import offers, owners
from bhyvesim.kernel.pte import EPT, RVI
from bhyvesim.kernel.pte.format import pfn_of, unnamed
from tests.machines import EDGES, PAGE, machines, pages_of


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


def test_two_memmaps_of_one_segment():
    vm = Machine("2025")
    vm.alloc_memseg(0, 0x4000, host_pfn=0x500)
    vm.mmap_memseg(0, 0, 0, 0x4000, 7)
    vm.mmap_memseg(0x80000000, 0, 0x1000, 0x2000, 5)
    vm.access(0, 4, 2)
    assert pages_mapping(vm.space.gpt, 0x501) == [1]
    (offer,) = offers(vm, 0x501)
    assert (offer.gpa, offer.area.slot, offer.maps) == (0x80000000, 1, True)
    vm.access(0x80000000, 1, 1)
    assert pages_mapping(vm.space.gpt, 0x501) == [1, 0x80000]
    assert pages_holding(vm.space.gpt, vm.space.gpt.entry(1)) == [1]


def test_of_the_panic_string_in_the_report(cli, config):
    cli("create", "--config", config("testvm-13932"))
    cli("reboot")
    out = json.loads(cli("find", "--pte=0xe23cd7067", "--format=json").out)
    assert out["pte"]["flags"] == ["present", "writable", "user", "accessed", "dirty"]
    assert out["entries"] == [
        {"gpa": 0x100001000, "entry": "0xe23cd7067", "slot": 2, "segment": "sysmem"}
    ]
    assert out["segments"] == [{"segid": 2, "name": "sysmem", "offset": 0x1000}]
    # The page before it is the one that the closed range unmapped too many.
    gone = json.loads(cli("find", "--hpa=0xe23cd6123", "--format=json").out)
    assert (gone["entries"], gone["hpa"]) == ([], 0xE23CD6000)
    assert [(o["gpa"], o["maps"]) for o in gone["offers"]] == [(0x100000000, True)]


def test_in_words(cli, config):
    cli("create", "--config", config("intel-bhyve"))
    out = cli("find", "--pfn=0xfffff").out
    assert "mapped at  no guest address\n" in out
    assert "would map  0xfee00000 (APIC access page): no entry yet" in out
    out = cli("find", "--pte=0x8000300000000007").out
    assert "rwx, read write execute, and 0x8000000000000000 without a name" in out
    assert "no such entry" in out
    status, out, _ = cli("find", "--pte=0x8020000000007")
    assert (status, "table    level 2 over 0x0, from a table of level 3" in out) == (0, True)


def test_bits_without_a_name():
    assert unnamed(RVI, 0x8000000000000067) == 0
    assert unnamed(RVI, 0x98) == 0x98
    assert unnamed(EPT, 0x100000037) == 0
    assert unnamed(EPT, 0x40 | 7) == 0x40


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_it_fits(cli, config, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    cli("create", "--config", config("intel-bhyve"))
    for argv in (["--pfn=0xfffff"], ["--pfn=0x100000"], ["--pte=0x123f00000"]):
        lines = cli("find", *argv, "--format=table").out.splitlines()
        assert max(map(len, lines)) <= columns
        assert not any(line.endswith(" ") for line in lines)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--pfn=1", "--hpa=1"],
        ["--pfn=x"],
        ["--pfn=0x10000000000"],
        ["--hpa=0x10000000000000"],
        ["--pte=0"],
        ["--pte=0x10000000000000000"],
        ["--pte=-1"],
    ],
)
def test_mistakes(cli, config, argv):
    cli("create", "--config", config("testvm"))
    status, out, err = cli("find", *argv)
    assert (status, out, err.count("\n"), "expected" in err) == (2, "", 1, True)
