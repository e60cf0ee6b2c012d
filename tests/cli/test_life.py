"""create, --get-memmap, reboot, touch, destroy, list: the main job."""

from __future__ import annotations

import json

import pytest

MEMMAP = (
    "Address     Length      Segment     Offset      Prot  Flags\n"
    "0           3072MB      sysmem      0           RWX   \n"
    "FFE00000    2048KB      bootrom     0           R-X   \n"
    "100000000   5120MB      sysmem      0           RWX   \n"
)
MEMSEG = (
    "ID  Length      Name\n"
    "0   3072MB      sysmem\n"
    "1   2048KB      bootrom\n"
    "2   5120MB      sysmem\n"
)


def test_the_memory_map_of_the_report(cli, config):
    assert cli("create", "--config", config("testvm")).status == 0
    assert cli("--vm=testvm", "--get-memmap") == (0, MEMMAP, "")
    assert cli("--vm", "testvm", "--get-memseg") == (0, MEMSEG, "")
    assert cli("--get-memmap", "--get-memseg").out == MEMSEG + MEMMAP


def test_twenty_reboots_leave_nothing_behind(cli, config):
    cli("create", "--config", config("testvm"))
    before = cli("list", "--format", "json").out
    for _ in range(20):
        status, out, err = cli("reboot")
        assert (status, out) == (0, "")
        assert "warning" not in err
    assert cli("list", "--format", "json").out == before
    assert cli("--get-memmap").out == MEMMAP
    status, _, err = cli("destroy")
    assert (status, err) == (
        0,
        "bhyvesim: destroyed testvm: no table, page or segment leaked\n",
    )
    assert cli("list") == (0, "", "")


def test_reboot_panics_where_the_bug_is(cli, config, golden):
    cli("create", "--config", config("testvm-13932"))
    status, out, err = cli("reboot")
    assert (status, out) == (3, "")
    golden("reboot-13932.txt", err)
    assert cli("crash", "show").out in err
    for layout in ("fma", "mdb"):
        status, out, _ = cli("crash", "show", "1", "--format", layout)
        assert status == 0
        golden(f"reboot-13932.{layout}.txt", out)


def test_destroy_panics_where_the_bug_is(cli, config, golden):
    cli("create", "--config", config("testvm-13932"))
    status, _, err = cli("--vm=testvm", "--destroy")
    assert status == 3
    assert "panicked during destroy" in err
    golden("destroy-13932.fma.txt", cli("crash", "show", "--format", "fma").out)


def test_a_panicked_vm_answers_from_its_dump_and_can_only_go(cli, config):
    cli("create", "--config", config("testvm-13932"))
    cli("reboot")
    status, out, err = cli("--get-memmap")
    assert (status, out) == (0, MEMMAP)
    assert err == "bhyvesim: testvm has panicked: this is from its crash dump, crash 1\n"
    for command in (("reboot",), ("touch", "--gpa", "0"), ("--force-reset",)):
        status, out, err = cli(*command)
        assert (status, out) == (1, "")
        assert "PANICKED" in err
    assert "panicked  13932 DEBUG" in cli("list").out
    assert cli("destroy").status == 0
    assert cli("list").out == ""
    assert json.loads(cli("crash", "list", "--format", "json").out)["crashes"][0]["id"] == 1
    assert "ptes[i] == 0" in cli("crash", "show", "1").out


def test_the_crash_dump_holds_the_whole_state(cli, config):
    cli("create", "--config", config("testvm-13932"))
    cli("reboot")
    dump = json.loads(cli("crash", "show", "--format", "json").out)
    assert dump["operation"] == "reboot"
    assert dump["time_ns"] == 1630143825 * 10**9
    assert dump["dump"]["resident"] == 2097664 - 513
    assert [4, 0, 1, 1, 1] in dump["dump"]["nodes"]
    assert dump["facts"]["pte"] == 0xE23CD7067


def test_production_warns_of_what_it_lost(cli, config):
    cli("create", "--config", config("production-13932"))
    status, _, err = cli("reboot")
    assert status == 0
    assert "warning: 512 pages at 0x100000000 to 0x1001fffff lost their PTEs" in err
    assert "2098175 resident pages, but 2097664 are mapped (+511)" in err


def test_a_warning_kernel_logs_and_goes_on(cli, vm_file):
    path = vm_file("name: w\nmemory: 4G\nkernel: {gpt: 13932, assertions: warn}\n")
    cli("create", "--config", path)
    status, _, err = cli("reboot")
    assert status == 0
    *failed, more = err.splitlines()[:4]
    assert ["assertion failed" in line for line in failed] == [True] * 3
    assert "[gpa 0x100001000, level 1, index 1, pte " in failed[0]
    assert failed[0].endswith("] in vmm_gpt_vacate_entry(gpa 0x100000000)")
    assert more == "bhyvesim: and 508 more, entries 4 to 511 (--verbose)"


def test_a_warning_kernel_tells_all_when_asked(cli, vm_file):
    path = vm_file("name: w\nmemory: 4G\nkernel: {gpt: 13932, assertions: warn}\n")
    cli("create", "--config", path)
    err = cli("--verbose", "reboot").err
    failed = [line for line in err.splitlines() if "assertion failed" in line]
    assert len(failed) == 511
    assert len(set(failed)) == 511


def test_create_refuses_a_taken_name(cli, config):
    cli("create", "--config", config("testvm"))
    status, _, err = cli("create", "--config", config("testvm"))
    assert (status, err) == (1, "bhyvesim: there is a VM named testvm already (EEXIST)\n")
    assert cli("create", "--config", config("testvm"), "--vm", "other").status == 0
    assert cli("create", "--config", config("testvm-13932"), "--replace").status == 0
    names = [vm["gpt"] for vm in json.loads(cli("list", "--format", "json").out)["vms"]]
    assert names == ["14042", "13932"]


def test_replacing_a_vm_destroys_it_first_and_that_may_panic(cli, config):
    cli("create", "--config", config("testvm-13932"))
    assert cli("create", "--config", config("testvm"), "--replace").status == 3
    assert "panicked" in cli("list").out
    assert cli("create", "--config", config("testvm"), "--replace").status == 0
    assert "running  14042" in cli("list").out


def test_a_vm_that_panics_at_create_is_there_as_panicked(cli, vm_file):
    path = vm_file("name: big\nmemory: 1T\nkernel: {gpt: 15844}\n")
    status, _, err = cli("create", "--config", path)
    assert status == 3
    assert "end <= vmm_gpt_node_end(node) (0x10040000000 <= 0x8000000000)" in err
    assert "vmm:vmm_gpt_populate_region ()" in err
    assert json.loads(cli("list", "--format=json").out)["vms"][0]["state"] == "panicked"


def test_a_refused_create_leaves_nothing(cli, vm_file):
    path = vm_file(
        "name: x\nsegments: [{id: 0, size: 1M}]\nmappings: [{gpa: 0, segment: 1, len: 1M}]\n"
    )
    status, _, err = cli("create", "--config", path)
    assert (status, err) == (1, "bhyvesim: there is no segment 1 (EINVAL)\n")
    assert cli("list").out == ""


def test_touch_says_what_was_mapped_and_where_it_failed(cli, vm_file):
    cli("create", "--config", vm_file("name: t\nmemory: 16M\ntouch: none\n"))
    touched = json.loads(
        cli("touch", "--gpa", "0x1000", "--len", "8K", "--access", "rw", "--format", "json").out
    )
    assert touched == {"ok": 2, "mapped": 2, "fault": None, "gpa": None, "vm_run": None}
    status, out, _ = cli("touch", "--gpa", "16380K", "--len", "64K", "--access", "w")
    assert status == 1
    assert out.splitlines()[1].split() == ["1", "1", "FC_NOMAP", "0x1000000", "mmio"]
    status, out, _ = cli("touch", "--gpa", "0xffe00000", "--access", "w")
    assert status == 1
    assert out.splitlines()[1].split() == ["0", "0", "FC_PROT", "0xffe00000", "paging"]


def test_touch_can_panic_the_host(cli, vm_file):
    cli("create", "--config", vm_file("name: t\nmemory: 1M\nkernel: {gpt: 13896}\n"))
    status, _, err = cli("touch", "--gpa", "1M", "--by=device")
    assert status == 3
    assert "assertion failed: vmsm != NULL, file: ../../i86pc/io/vmm/vmm_vm.c, line: 714" in err
    assert "genunix:assfail ()" in err
    assert "vmm:vmspace_lookup_map ()\n" in err


def test_which_vm_is_meant(cli, config, monkeypatch):
    status, _, err = cli("reboot")
    assert (status, err.split(":")[1]) == (
        1,
        " there is no VM; 'create --config FILE' makes one (ENOENT)\n",
    )
    cli("create", "--config", config("testvm"), "--vm", "a")
    assert "rebooted a" in cli("reboot").err
    cli("create", "--config", config("testvm"), "--vm", "b")
    status, _, err = cli("--get-memmap")
    assert (status, err) == (2, "bhyvesim: which VM? expected --vm=NAME, one of a, b\n")
    assert "rebooted b" in cli("--vm", "b", "reboot").err
    assert "rebooted a" in cli("reboot", "--vm=a").err
    monkeypatch.setenv("BHYVESIM_VM", "b")
    assert "rebooted b" in cli("reboot").err
    assert cli("--vm=c", "--get-memmap") == (1, "", "bhyvesim: there is no VM named c (ENOENT)\n")


def test_destroy_all(cli, config):
    cli("create", "--config", config("testvm"), "--vm", "a")
    cli("create", "--config", config("testvm-13932"), "--vm", "b")
    cli("create", "--config", config("testvm"), "--vm", "c")
    status, _, err = cli("destroy", "--all")
    assert status == 3
    assert "destroyed a" in err
    assert "b panicked during destroy" in err
    assert "destroyed c" in err
    assert [vm["name"] for vm in json.loads(cli("list", "--format", "json").out)["vms"]] == ["b"]
    assert cli("destroy", "--all").status == 0


def test_bhyvectls_own_verbs(cli, config):
    path = config("testvm")
    assert cli("--create", f"--config={path}", "--vm=x", "--get-memmap").out == MEMMAP
    assert "rebooted x" in cli("--force-reset", "--vm=x").err
    assert cli("--vm=x") == (0, "", "")
    assert "destroyed x" in cli("--dest", "--vm=x").err


@pytest.mark.parametrize(
    "name",
    ["testvm", "testvm-13932", "production-13932", "intel-bhyve", "segments"],
)
def test_every_shipped_description_boots(cli, config, golden, name):
    status, _, err = cli("create", "--config", config(name))
    assert status == 0
    assert "warning" not in err
    golden(f"memmap-{name}.txt", cli("--get-memmap").out + cli("--get-memseg").out)


def test_json_everywhere(cli, config):
    cli("create", "--config", config("segments"))
    memmap = json.loads(cli("--get-memmap", "--format=json").out)["memmap"]
    assert memmap[0] == {
        "gpa": 0,
        "len": 64 << 20,
        "segid": 0,
        "segment": "sysmem",
        "offset": 0,
        "prot": "rwx",
        "wired": True,
    }
    memseg = json.loads(cli("--get-memseg", "--format=json").out)["memseg"]
    assert memseg[2]["host_pfn"] == 0x200000
    assert "wired" in cli("--get-memmap").out
