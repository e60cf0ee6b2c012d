"""log, undo, why, diff, --at, and crash dumps as files, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def vm(cli, config):
    """The report's VM on a production kernel, rebooted once."""
    assert cli("create", "--config", config("production-13932"), "--vm", "x").status == 0
    assert cli("reboot").status == 0

    def do(*argv, status=0):
        outcome = cli(*argv)
        assert outcome.status == status, outcome.err
        return outcome

    return do


def test_log(vm):
    assert vm("log").out == (
        "EVENT  TIME                 ACTION  STEPS              CAME TO\n"
        "    1  2021-08-28 02:43:45  create  memory, boot       touched 2097664 pages, "
        "2097664 newly mapped\n"
        "    2  2021-08-28 02:43:45  reboot  reinit, map, boot  touched 2097664 pages, "
        "1024 newly mapped, lost 512 pages\n"
    )
    events = json.loads(vm("log", "--format=json").out)["events"]
    assert [event["result"].get("lost") for event in events] == [None, 512]
    assert len(events[0]["digest"]) == 64


def test_the_log_of_a_destroyed_vm_stays_and_undo_brings_it_back(vm):
    before = vm("--get-memmap").out
    vm("destroy")
    assert vm("log", "--vm", "x").out.splitlines()[-1].endswith("nothing leaked")
    assert "x is back" in vm("undo", "--vm", "x").err
    assert vm("--get-memmap").out == before
    assert "x is as after event 1" in vm("undo").err
    assert "there is no x any more" in vm("undo").err
    assert "none in the past" in vm("log", "--vm", "x", status=1).err
    assert vm("list").out == ""


def test_undo_of_a_panic(cli, config):
    cli("create", "--config", config("testvm-13932"))
    assert cli("reboot").status == 3
    assert cli("undo").status == 0
    assert cli("crash", "list").out == ""
    assert cli("reboot").status == 3


def test_pruning(vm):
    for _ in range(3):
        vm("reboot")
    assert "forgot 3 events of x" in vm("log", "--prune", "--keep", "2").err
    assert [line.split()[0] for line in vm("log").out.splitlines()[1:]] == ["4", "5"]
    assert "--at '2': expected 3" in vm("walk", "0", "--at", "2", status=2).err


def test_at_works_on_every_inspecting_command(vm):
    assert "FFE00000" not in vm("--get-memmap", "--at", "2.1").out
    assert "FFE00000" in vm("--get-memmap", "--at=2.2").out
    assert "8592031744" in vm("--get-stats", "--at", "1").out
    assert vm("--get-gpa-pmap=0x100001000", "--at", "2.1").out.endswith(" 0\n")
    assert vm("--get-memseg", "--at", "-1").out == vm("--get-memseg").out
    assert "event 2 step 1 (reinit)" in vm("walk", "0x100001000", "--at", "2.1").out
    for argv in (("gpt",), ("find", "--pfn", "0x1c0201")):
        after, during = (vm(*argv, "--format=json", "--at", at).out for at in ("2", "2.1"))
        assert during != after == vm(*argv, "--format=json").out
    assert "there was no VM before event 1" in vm("gpt", "--at", "0", status=2).err
    assert "the past cannot be changed" in vm("--at", "1", "--force-reset", status=2).err
    assert "expected one of the two" in vm("gpt", "--at", "1", "--crash", "1", status=2).err


def test_fsck_says_when_the_counter_went_wrong(vm):
    out = vm("fsck", status=1).out
    assert (
        "event 2 step 1 (reinit): 1024 pages lost their entries, the counter fell by 513; of "
        "memmaps that stayed: 512 pages at 0x100000000\n"
    ) in out
    vm("touch", "--gpa", "0", "--access", "x")
    vm("reboot")
    document = json.loads(vm("fsck", "--format=json", status=1).out)
    assert [line.split(":")[0] for line in document["drifted"]] == [
        "event 2 step 1 (reinit)",
        "event 3 step 1 (reinit)",
    ]
    assert vm("fsck", "--at", "1").out.endswith("all holds\n")
    assert json.loads(vm("fsck", "--at", "2", "--format=json", status=1).out)["drifted"] == [
        document["drifted"][0]
    ]


def test_why(vm):
    lines = vm("why", "0x100001000").out.splitlines()
    heads = [line for line in lines if line.startswith("event")]
    assert heads == [
        "event 2 step 3 (reboot: boot): mapped again by a fault, one of 512 pages alike",
        "event 2 step 1 (reboot: reinit): vmm_gpt_vacate_entry freed its leaf table, its entry "
        "with it, asked for by vm_map_remove(start 0xffe00000, end 0x100000000)",
        "event 1 step 2 (create: boot): mapped by a fault, one of 1310720 pages alike",
    ]
    document = json.loads(vm("why", "0x100001000", "--format=json").out)
    assert [cause["event"] for cause in document["causes"]] == [2, 2, 1]
    assert document["complete"]
    assert "no event that is kept changed it" in vm("why", "3G").out


def test_why_until(vm):
    def heads(*options):
        lines = vm("why", "0x100001000", *options).out.splitlines()
        return [line.split(" (")[0] for line in lines if line.startswith("event")]

    assert heads("--until", "pte == 0") == ["event 2 step 1", "event 1 step 2"]
    assert heads("--until", "event < 2 || table == 0") == ["event 2 step 1", "event 1 step 2"]
    assert heads("--until", "before == 0 && step == 2") == ["event 1 step 2"]
    assert "made it so: pte == 77" in vm("why", "4G", "--until", "pte == 77", status=1).err
    assert vm("why", "4G", "--until", "pto == 0", status=2).err == (
        "bhyvesim: column 1 of the predicate 'pto == 0': there is no 'pto' here: expected pte\n"
    )


def test_why_shows_ten_and_says_so(vm):
    for _ in range(4):
        vm("reboot")
    assert vm("why", "0xffe00000").out.splitlines()[-1] == "there are earlier changes: --all"
    assert "earlier" not in vm("why", "0xffe00000", "--all").out


def test_diff_of_the_last_event(vm):
    out = vm("diff", status=1).out
    assert out == (
        "--- x@1\n+++ x@2\n@@ counters\n-resident pages 2097664\n+resident pages 2098175\n"
    )
    assert "x@1 and x@1 are equal" in vm("diff", "@1", "x@1").out
    assert vm("diff", "x").status == 0


def test_diff_of_moments_and_vms(vm, config):
    out = vm("diff", "@1", "@2.1", status=1).out.splitlines()
    assert "-[0xffe00000, 0x100000000) r-x segment 1 from 0x0" in out
    assert "-level 1 [0xffe00000, 0x100200000) 2 tables, reference count 0" in out
    assert (
        "-[0x100000000, 0x100200000) 512 pages: 0x1c0200067, PFN 0x1c0200, present writable "
        "user accessed dirty"
    ) in out
    vm("create", "--config", config("testvm"), "--vm", "y")
    assert vm("--vm=y", "diff", "x", "y", status=1).out.startswith("--- x\n+++ y\n")
    document = json.loads(vm("--vm=x", "diff", "@1", "--format=json", status=1).out)
    assert document["counters"] == [
        {"name": "resident pages", "before": "2097664", "after": "2098175"}
    ]


def test_diff_of_a_first_event_shows_all_of_it(vm):
    vm("undo")
    out = vm("diff", status=1).out
    assert "+++ x@1" in out
    assert "+segment 0 (sysmem), 3G" in out
    assert "2097664" in out


def test_diff_on_two_kernels(vm):
    out = vm("diff", "--on", "13932,14042", status=1).out
    assert "x, event 2 step 1 (reinit):" in out
    assert "  the same differs as before" in out
    assert "--on wants two kernels" in vm("diff", "--on", "14042", status=2).err
    assert "'7' is not one of" in vm("diff", "--on", "14042,7", status=2).err


@pytest.fixture
def dump(cli, config, tmp_path):
    """A crash dump in a file; its VM is destroyed, and the stored dump removed."""
    cli("create", "--config", config("testvm-13932"))
    assert cli("reboot").status == 3
    path = str(tmp_path / "report.dump")
    assert cli("crash", "export", "1", "-o", path).status == 0
    refused = cli("crash", "rm", "1")
    assert (refused.status, "EBUSY" in refused.err) == (1, True)
    cli("destroy")
    assert cli("crash", "rm", "1").status == 0
    assert cli("crash", "list").out == ""
    return path


def test_a_dump_in_a_file_is_looked_at_as_a_vm_is(cli, dump):
    assert "PFN 0xe23cd7" in cli("walk", "0x100001000", "--crash", dump).out
    assert "FFE00000" in cli("--get-memmap", "--crash", dump).out
    assert "vmm_gpt_vacate_entry" in cli("explain", dump).out
    shown = cli("crash", "show", dump).out
    assert shown.startswith("panic[cpu")
    assert cli("diff", dump, dump).status == 0


def test_a_dump_comes_back_from_its_file(cli, dump):
    assert "as crash 2" in cli("crash", "import", dump).err
    assert cli("explain", "2").status == 0
    assert cli("diff", "crash:2", dump).status == 0
    assert cli("crash", "export", "2", "-o", dump).status == 0
    assert "as crash 3" in cli("crash", "import", dump).err


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-9], "a damaged crash dump"),
        (lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], "a damaged crash dump"),
        (lambda data: data.replace(b"dump 1 ", b"dump 9 "), "a dump of version '9'"),
        (lambda data: b"", "not a crash dump"),
        (lambda data: b"\x1b[31m" * 100, "not a crash dump"),
    ],
)
def test_a_damaged_dump_is_refused_and_nothing_imported(cli, dump, damage, said):
    whole = Path(dump).read_bytes()
    bad = Path(dump).with_name("bad.dump")
    bad.write_bytes(damage(whole))
    for command in (("crash", "import", dump, bad), ("gpt", "--crash", bad)):
        status, out, err = cli(*command)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert said in err
    assert cli("crash", "list").out == ""


def test_dumps_that_are_not_there(cli, tmp_path):
    assert "No such file" in cli("gpt", "--crash", tmp_path / "x.dump").err
    assert cli("gpt", "--crash", "7").status == 1
    assert "expected an id, or a file" in cli("gpt", "--crash", "seven").err
    assert cli("crash", "export", "7", "-o", tmp_path / "y").status == 1
    assert not (tmp_path / "y").exists()


def test_a_file_appears_whole_or_not_at_all(cli, dump, tmp_path, monkeypatch):
    import os

    cli("crash", "import", dump)

    def failing(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", failing)
    target = tmp_path / "out" / "new.dump"
    target.parent.mkdir()
    status, _, err = cli("crash", "export", "2", "-o", target)
    assert (status, list(target.parent.iterdir())) == (2, [])
    assert "No space left on device: expected a writable file" in err
