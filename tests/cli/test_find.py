"""bhyvesim find: the way back from a host page or an entry's value."""

from __future__ import annotations

import json

import pytest

from bhyvesim import Machine
from bhyvesim.kernel.gpt.inverse import pages_holding, pages_mapping
from bhyvesim.kernel.look.hosts import offers
from bhyvesim.kernel.pte import EPT, RVI
from bhyvesim.kernel.pte.format import unnamed


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
