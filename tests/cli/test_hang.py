"""Holds on stored VMs, and the hang that they lead to: a result, stored like a panic."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def hung(cli, config):
    cli("create", "--config", config("testvm"), "--gpt", "14367")
    status, out, _ = cli("hold", "--gpa", "4G", "--format", "json")
    assert (status, json.loads(out)) == (0, {"hold": 1, "fault": None, "gpa": None})
    return cli("reboot")


def test_a_reboot_hangs_while_a_page_is_held(hung, cli):
    status, out, err = hung
    assert (status, out) == (3, "")
    lines = err.splitlines()
    assert "vmc_space_unmap loops for ever, holding the lock of the vmspace" in lines[0]
    assert lines[0].startswith("hang[cpu")
    assert lines[2].endswith(" vmm:vmc_space_unmap ()")
    assert "assfail" not in err
    assert lines[-1] == (
        "bhyvesim: testvm hung during reboot; its dump is crash 1: "
        "see 'bhyvesim explain 1' and 'bhyvesim crash show 1'"
    )
    assert json.loads(cli("list", "--format", "json").out)["vms"][0]["state"] == "hung"


@pytest.mark.usefixtures("hung")
def test_the_forced_dump_can_be_looked_at(cli):
    assert "bootrom" in cli("--get-memmap").out  # nothing was unmapped
    assert "from its crash dump, crash 1" in cli("--get-memmap").err
    shown = json.loads(cli("crash", "show", "--format", "json").out)
    assert shown["locks"] == ["the lock of the vmspace", "that of a client"]
    mdb = cli("crash", "show", "--format", "mdb").out
    assert "panic message: forced crash dump initiated at user request\n" in mdb
    status, _, err = cli("crash", "show", "--format", "fma")
    assert (status, "is not known" in err) == (2, True)


@pytest.mark.usefixtures("hung")
def test_explain_tells_the_hang(cli, golden):
    golden("explain-hang.txt", cli("explain").out)


@pytest.mark.usefixtures("hung")
def test_after_a_hang_only_destroy_helps(cli):
    for command in (["reboot"], ["touch", "--gpa", "0"], ["hold", "--gpa", "0"], ["release", "1"]):
        status, _, err = cli(*command)
        assert (status, "(HUNG)" in err) == (1, True)
    assert "destroyed testvm, which had hung; its crash dump stays" in cli("destroy").err
    assert cli("crash", "list").out.count("\n") == 2


def test_a_released_page_hangs_nothing(cli, config):
    cli("create", "--config", config("testvm"), "--gpt", "2025")
    assert cli("hold", "--gpa", "1M").out.splitlines()[1].split() == ["1", "none"]
    assert cli("release", "1", "--clean").status == 0
    status, _, err = cli("release", "1")
    assert (status, "there is no hold 1 (EINVAL)" in err) == (1, True)
    assert cli("reboot").status == 0
    assert cli("destroy").status == 0


def test_what_cannot_be_held(cli, config):
    cli("create", "--config", config("testvm"), "--gpt", "2025")
    status, out, _ = cli("hold", "--gpa", "0xffe00000")  # the ROM may not be written
    assert (status, out.splitlines()[1].split()) == (1, ["FC_NOMAP", "0xffe00000"])
    status, _, err = cli("hold", "--gpa", "0", "--access", "x")
    assert (status, "r or w" in err) == (2, True)
    cli("create", "--config", config("testvm"), "--vm", "old")
    status, _, err = cli("--vm=old", "hold", "--gpa", "0")
    assert (status, "(ENOTTY)" in err) == (1, True)
