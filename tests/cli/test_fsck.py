"""bhyvesim fsck and leaks: what does not hold, and what nobody needs."""

from __future__ import annotations

import json

import pytest

from bhyvesim import Machine
from bhyvesim.kernel.gpt.leaf import EMPTY, counted
from bhyvesim.kernel.gpt.levels import LEAF_SPAN
from bhyvesim.kernel.look.fsck import examine
from bhyvesim.kernel.look.uses import table_uses
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.report.leaks import leaks_page


def small(gpt="2025", wired=False, **keys):
    vm = Machine(gpt, **keys)
    vm.alloc_memseg(0, 0x400000)
    vm.mmap_memseg(0, 0, 0, 0x400000, 7, wired)
    vm.access(0, 100, 2)
    return vm


def kinds(vm):
    return [finding.kind for finding in examine(vm)]


@pytest.mark.parametrize("gpt", REVISIONS)
def test_a_boot_and_a_reboot_leave_all_whole(cli, config, gpt):
    cli("create", "--config", config("intel-bhyve"), "--gpt", gpt)
    assert cli("fsck").status == cli("leaks").status == 0
    if cli("reboot").status == 0:
        status, out, _ = cli("fsck")
        assert (status, "all holds" in out) == (0, True)
        assert ("drift" in out) == (gpt not in ("13932", "14042"))


def test_pages_that_went_with_a_table(cli, config):
    cli("create", "--config", config("production-13932"))
    cli("reboot")
    status, out, _ = cli("fsck")
    assert (status, "all holds" in out) == (1, False)
    document = json.loads(cli("fsck", "--format=json").out)
    (finding,) = document["findings"]
    assert (document["ok"], finding["kind"], finding["pages"]) == (False, "counter", 511)
    assert finding["message"].startswith(
        "the kernel's counter says 2098175 pages are resident; 2097664 are: 511 went"
    )


def test_every_kind_of_damage():
    vm = small()
    assert examine(vm) == []
    leaves, leaf = vm.space.gpt.leaves, vm.space.gpt.leaves[0]
    leaves.assign(0, 1, None)
    (missing, counter) = examine(vm)
    assert (missing.kind, missing.gpa) == ("table", 0)
    assert counter.kind == "drift"  # 2025 never counts down, so this may be a reboot's
    leaves.assign(0, 1, counted(leaf, 511))
    assert "1 leaf table with a reference count of 511; 512 pages are covered" in (
        examine(vm)[0].message
    )
    leaves.assign(0, 1, leaf)
    leaves.assign(8, 10, EMPTY)
    (idle,) = examine(vm)
    assert (idle.kind, idle.gpa) == ("idle", 16 << 20)
    assert idle.message == "2 tables of level 1 that no memmap needs"
    vm.space.gpt.map_wired(range(8 * 512, 8 * 512 + 3), 0x67)
    assert kinds(vm) == ["stray", "idle"]
    leaves.assign(8, 10, None)
    vm.space.gpt.resident = 99
    assert [(f.kind, f.pages) for f in examine(vm)] == [("counter", 1)]
    vm.space.gpt.resident = 100
    vm.space.gpt.clear(range(1))
    vm.space.gpt.map_wired(range(1), 0x999067)
    assert kinds(vm) == ["entry", "drift"]


def test_a_wired_memmap_that_lacks_pages():
    vm = small("13932", wired=True, debug=False)
    assert examine(vm) == []
    vm.space.gpt.resident -= vm.space.gpt.clear(range(3, 5))
    (finding,) = examine(vm)
    assert (finding.kind, finding.gpa, finding.pages) == ("wired", 0x3000, 2)


def test_a_leaf_that_went_with_a_neighbour():
    vm = Machine("13896", debug=False)
    vm.alloc_memseg(0, 0x1FF000)
    vm.alloc_memseg(1, 0x1000, "rom")
    vm.mmap_memseg(0, 0, 0, 0x1FF000, 7)
    vm.mmap_memseg(0x1FF000, 1, 0, 0x1000, 5)
    vm.access(0, 10, 2)
    vm.reinit()
    assert kinds(vm) == ["table", "drift"]
    assert leaks_page("x", "x", vm)[1]  # the ROM's segment has no memmap now


def test_a_leaf_that_exists_twice(twin_leaf):
    vm = twin_leaf
    (twin, *idle) = [f for f in examine(vm) if f.kind in ("twin", "idle")]
    assert (twin.gpa, twin.pages) == (1 << 39, 1)
    assert [(f.gpa, f.kind) for f in idle][-1] == ((1 << 39) - LEAF_SPAN, "idle")
    unlinked = [u for u in table_uses(vm) if u.leaked and u.level == 1]
    assert [u.tables for u in unlinked] == [2]  # the one at the line twice, and the one before


def test_leaks_after_a_panic_half_way(cli, vm_file):
    cli("create", "--config", vm_file("name: x\nmemory: 1T\nkernel: {gpt: 15844}\n"))
    status, out, _ = cli("leaks", "--format=json")
    leaks = json.loads(out)
    assert (status, leaks["leaked"]) == (1, True)
    assert [s["slots"] for s in leaks["segments"]] == [[0], [1], []]
    assert sum(t["tables"] for t in leaks["tables"] if not t["users"]) == 523775
    assert "leaked: 1 segment, 523775 page tables\n" in cli("leaks").out
    assert cli("fsck").status == 1


def test_what_a_guest_needs(cli, config):
    cli("create", "--config", config("intel-bhyve"))
    cli("hold", "--gpa", "4G")
    status, out, _ = cli("leaks")
    assert (status, out.splitlines()[-1]) == (0, "nothing is leaked")
    document = json.loads(cli("leaks", "--format=json").out)
    assert document["holds"] == [{"hold": 1, "gpa": 1 << 32, "prot": "rw-"}]
    assert document["tables"][0]["users"] == ["vmspace"]
    assert {"level": 1, "tables": 1, "gpa": 0xFEE00000, "users": ["apic"]} in document["tables"]


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("name", ["production-13932", "segments", "intel-bhyve"])
def test_they_fit(cli, config, monkeypatch, columns, name):
    monkeypatch.setenv("COLUMNS", str(columns))
    cli("create", "--config", config(name))
    cli("reboot")
    for command in ("fsck", "leaks"):
        lines = cli(command, "--format=table").out.splitlines()
        assert max(map(len, lines)) <= columns
        assert not any(line.endswith(" ") for line in lines)
