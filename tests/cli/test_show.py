"""bhyvesim show: one VM on a page."""

from __future__ import annotations

import json


def test_the_vm_of_the_report(cli, config):
    cli("create", config("testvm"))
    cli("reboot")
    assert cli("show", "testvm").out.splitlines() == [
        "testvm: running, kernel 14042 DEBUG, RVI",
        "tables      RVI",
        "memory      8G",
        "pages       2097664 present, 2097664 resident by the kernel",
        "last event  2: reboot, 2021-08-28 02:43:45: touched 2097664 pages, 512 newly mapped",
        "",
        "SLOT      ADDRESS   SIZE  WHAT     OFFSET  PROT",
        "   0          0x0     3G  sysmem   0x0     rwx",
        "       0xc0000000  1022M  hole",
        "   1   0xffe00000     2M  bootrom  0x0     r-x",
        "   2  0x100000000     5G  sysmem   0x0     rwx",
        "",
        "LEVEL  TABLES  MEMORY",
        "    4       1      4K",
        "    3       1      4K",
        "    2       9     36K",
        "    1    4097  16388K",
    ]


def test_drift_holds_and_the_past(cli, vm_file):
    path = vm_file("name: x\nmemory: 16M\ncpu: intel\nkernel: {gpt: '15844'}\n")
    cli("create", path)
    cli("reboot")
    cli("hold", "--gpa", "0x1000")
    shown = json.loads(cli("show", "--format=json").out)
    assert shown["resident"] - shown["present"] == 512
    assert (shown["holds"], shown["apicv"], shown["last"]["event"]) == (1, True, 3)
    kinds = [area["kind"] for area in shown["memmap"]]
    assert kinds == ["memmap", "hole", "apic", "hole", "memmap"]
    assert shown["memory"] == 16 << 20
    out = cli("show").out
    assert "off by +512 (see 'explain drift')" in out
    assert "1: an unmap would hang (see 'explain hang')" in out
    assert json.loads(cli("show", "--at", "1", "--format=json").out)["last"]["event"] == 1
    for area, after in zip(shown["memmap"], shown["memmap"][1:], strict=False):
        assert area["gpa"] + area["len"] == after["gpa"]


def test_a_dump_and_widths(cli, config, monkeypatch):
    cli("create", config("testvm-13932"))
    assert cli("reboot").status == 3
    _, out, err = cli("show")
    assert "testvm: panicked" in out
    assert "this is from its crash dump" in err
    assert "last event" not in cli("show", "--crash", "1").out
    monkeypatch.setenv("COLUMNS", "40")
    lines = cli("show", "--format=table").out.splitlines()
    assert max(map(len, lines)) <= 44
