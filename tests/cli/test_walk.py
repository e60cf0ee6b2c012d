"""bhyvesim walk: four levels, the host page, and what a vCPU may do there."""

from __future__ import annotations

import json

import pytest

from bhyvesim import Machine
from bhyvesim.kernel.look.verdicts import verdicts
from bhyvesim.kernel.results import MachineState
from bhyvesim.report.walk import walk_page

FORMATS = ("plain", "table", "json")


def shown(cli, gpa, *argv):
    status, out, _ = cli("walk", gpa, "--format=json", *argv)
    assert status == 0
    return json.loads(out)


def whys(machine, gpa):
    return [verdict.why for verdict in verdicts(machine, gpa)]


def small(gpt="2025", prot=7, gpa=0, **keys):
    vm = Machine(gpt, **keys)
    vm.alloc_memseg(0, 0x200000)
    vm.mmap_memseg(gpa, 0, 0, 0x200000, prot)
    return vm


def test_the_page_of_the_report(cli, config):
    cli("create", "--config", config("testvm-13932"))
    walk = shown(cli, "0x100001234")
    assert [(lv["level"], lv["table"], lv["slot"]) for lv in walk["levels"]] == [
        (4, 0, 0),
        (3, 0, 4),
        (2, 0x100000000, 0),
        (1, 0x100000000, 1),
    ]
    assert [lv["refcnt"] for lv in walk["levels"]] == [1, 9, 512, 0]
    assert walk["levels"][-1]["entry"] == "0xe23cd7067"
    assert "dirty" in walk["levels"][-1]["flags"]
    assert (walk["pfn"], walk["hpa"]) == (0xE23CD7, 0xE23CD7234)
    assert walk["memmap"]["offset"] == 0x1234
    assert [a["allowed"] for a in walk["accesses"]] == [True, True, True]
    rom = shown(cli, "0xffe00000")["accesses"]
    assert [(a["access"], a["allowed"], a["fault"]) for a in rom] == [
        ("r", True, None),
        ("w", False, "FC_PROT"),
        ("x", True, None),
    ]
    assert rom[1]["why"] == "FC_PROT: the entry permits r-x"


def test_the_reasons_in_plain_words():
    assert whys(small(), 0)[1] == "no entry yet: a fault would map it as rwx"
    assert whys(small(), 1 << 30)[0] == "MMIO: no memmap covers it"
    assert whys(small(), 1 << 48)[0].startswith("MMIO: no memmap can cover it")
    assert whys(small(prot=5), 0)[1] == (
        "FC_PROT: no entry yet, and what is mapped there permits r-x"
    )
    assert whys(small("13932", 5), 0)[1] == (
        "FC_PROT: a fault would map the page as r-x, which does not permit it; "
        "the page stays mapped"
    )
    touched = small()
    touched.access(0, 1, 1)
    assert whys(touched, 0) == [
        "the entry permits rwx",
        "the entry permits rwx; this would set dirty",
        "the entry permits rwx",
    ]


def test_a_leaf_that_went_with_a_neighbour():
    vm = Machine("13896", debug=False)
    vm.alloc_memseg(0, 0x200000)
    vm.alloc_memseg(1, 0x1000, "rom")
    vm.mmap_memseg(0, 0, 0, 0x1FF000, 7)
    vm.mmap_memseg(0x1FF000, 1, 0, 0x1000, 5)
    vm.reinit()
    assert whys(vm, 0)[0].startswith("FC_NOMAP: its leaf table is gone")


def test_the_top_of_an_old_vmspace():
    vm = Machine("14042")
    vm.alloc_memseg(0, 0x400000)
    vm.mmap_memseg((1 << 46) - 0x200000, 0, 0, 0x400000, 7)
    assert whys(vm, (1 << 46) - 0x1000)[0] == "no entry yet: a fault would map it as rwx"
    assert whys(vm, 1 << 46)[0].startswith("FC_NOMAP: a memmap covers it, but look-ups")


def test_a_read_that_would_panic():
    vm = small("13932", prot=6)
    assert whys(vm, 0)[0].startswith(
        "would panic the kernel (panic E): assertion failed: (prot & PROT_READ) != 0"
    )
    assert vm.state is MachineState.RUNNING
    assert [v.allowed for v in verdicts(small("13932", prot=6, debug=False), 0)] == [True] * 3


def test_the_apic_access_page():
    vm = Machine("2025", npt="ept", apicv=True)
    walk = walk_page("x", "x", vm, 0xFEE00010).record
    assert (walk.memmap.segment, walk.memmap.slot) == ("APIC access page", None)
    assert [a.allowed for a in walk.accesses] == [True, True, False]


def test_of_a_leaf_that_exists_twice_the_empty_one_is_walked(twin_leaf):
    vm = twin_leaf
    walk = walk_page("x", "x", vm, 0x8000001000).record
    assert (walk.levels[-1].entry, walk.levels[-1].refcnt) == ("0x0", 0)
    assert walk.accesses[0].why == "no entry yet: a fault would map it as rwx"
    assert walk.state == "panicked"


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("name", ["testvm-13932", "segments", "intel-bhyve", "production-13932"])
def test_it_fits(cli, config, monkeypatch, columns, name):
    monkeypatch.setenv("COLUMNS", str(columns))
    cli("create", "--config", config(name))
    for gpa in ("0", "0xfee00000", "0xffe01234", "4G", "0x3fffffffffff", "0x1000000000000"):
        lines = cli("walk", gpa, "--format=table").out.splitlines()
        assert max(map(len, lines)) <= columns
        assert not any(line.endswith(" ") for line in lines)


def test_a_machine_that_stopped(cli, config):
    cli("create", "--config", config("testvm-13932"))
    cli("reboot")
    status, out, err = cli("walk", "4G")
    assert (status, "runs no more" in out, "crash 1" in err) == (0, True, True)


@pytest.mark.parametrize("gpa", ["", "zz", "-1", "0x", "1.5", "0x10000000000000000"])
def test_what_is_no_address(cli, config, gpa):
    cli("create", "--config", config("testvm"))
    status, out, err = cli("walk", "--", gpa)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "expected" in err
