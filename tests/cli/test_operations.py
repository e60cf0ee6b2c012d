"""Single operations on stored VMs: what scenarios and replay can do, commands can."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def vm(cli):
    """A VM of 16 MiB on the newest kernel, made piece by piece."""
    assert cli("--create", "--vm=p").status == 0
    assert cli("alloc-memseg", "0", "--size", "16M").status == 0
    assert cli("map", "--gpa", "0", "--segment", "0", "--len", "16M", "--prot", "rw").status == 0

    def do(*argv, status=0):
        outcome = cli(*argv)
        assert outcome.status == status, outcome.err
        return outcome

    return do


def test_a_map_made_and_taken_away(vm):
    made = ("map", "--gpa", "1G", "--segment", "0", "--offset", "8M", "--len", "4M", "--wired")
    assert "mapped 4M of segment 0 at 0x40000000, rwx wired" in vm(*made).err
    shown = json.loads(vm("--get-memmap", "--format=json").out)["memmap"]
    assert [(m["gpa"], m["offset"], m["wired"]) for m in shown] == [
        (0, 0, False),
        (1 << 30, 8 << 20, True),
    ]
    assert "EFAULT" in vm(*made, status=1).err
    assert "EINVAL" in vm("unmap", "--gpa", "1G", "--len", "8M", status=1).err
    vm("unmap", "--gpa", "1G", "--len", "4M")
    assert len(json.loads(vm("--get-memmap", "--format=json").out)["memmap"]) == 1
    assert "EEXIST" in vm("alloc-memseg", "0", "--size", "16M", status=1).err


def test_bytes_through_the_guest_and_a_segment(vm):
    vm("poke", "--gpa", "0xffe", "--value", "0x11223344", "--size", "4")
    shown = vm("peek", "--segment", "0", "--offset", "0xff0", "--len", "36").out
    assert shown == (
        "0000000000000ff0  00 00 00 00 00 00 00 00 00 00 00 00 00 00 44 33  |..............D3|\n"
        '0000000000001000  22 11 00 00 00 00 00 00 00 00 00 00 00 00 00 00  |"...............|\n'
        "0000000000001010  00 00 00 00                                      |....|\n"
    )
    vm("fill", "--segment", "0", "--offset", "0x2000", "--len", "4K", "--byte", "0x41")
    shown = vm("peek", "--gpa", "0x2000", "--len", "4K").out
    assert shown.splitlines() == [
        f"0000000000002000  {'41 ' * 16} |{'A' * 16}|",
        "*",
        f"0000000000002ff0  {'41 ' * 16} |{'A' * 16}|",
    ]
    document = json.loads(vm("peek", "--gpa", "0x2fff", "--len", "2", "--format=json").out)
    assert document == {"address": 0x2FFF, "data": "4100", "fault": None}
    assert vm("touch", "--gpa", "0x1000").out.split()[-3:-1] == ["1", "0"]  # it was mapped


def test_what_the_guest_cannot_reach(vm):
    failed = vm("peek", "--gpa", "0xfffff8", "--len", "16", status=1)
    assert failed.out.startswith("0000000000fffff8  00 00 00 00 00 00 00 00 ")
    assert "the guest's access at 0x1000000 failed: FC_NOMAP" in failed.err
    assert "FC_NOMAP" in vm("fill", "--gpa", "8M", "--len", "9M", status=1).err
    vm("--force-poweroff")
    assert "EBUSY" in vm("poke", "--gpa", "0", "--value", "1", status=1).err
    vm("poke", "--segment", "0", "--value", "1")  # its VMM can


def test_dirty_tracking(vm):
    vm("touch", "--gpa", "0x3000", "--len", "8K", "--access", "w")
    assert vm("dirty", "--gpa", "0", "--len", "64K").out.split() == [
        *("ADDRESS", "PAGES"),
        *("0x3000", "2"),
    ]
    document = json.loads(
        vm("dirty", "--gpa", "0", "--len", "64K", "--op", "reset", "--format=json").out
    )
    assert document == {
        "value": None,
        "bitmap": "1800",
        "pages": [{"gpa": 0x3000, "pages": 2}],
    }
    assert vm("dirty", "--gpa", "0", "--len", "64K").out == ""
    assert "EPERM" in vm("track-dirty", "--gpa", "0", "--len", "64K", status=1).err
    assert vm("npt", "--gpa", "0", "--len", "0", "--operation", "0x21").out == "returned 0\n"
    on = ("npt", "--gpa", "0", "--len", "0", "--operation", "GET_TRACK_DIRTY")
    assert vm(*on).out == "returned 1\n"
    vm("poke", "--gpa", "0x5000", "--value", "7")
    assert vm("track-dirty", "--gpa", "0", "--len", "64K").out.split()[-2:] == ["0x5000", "1"]
    given = ("npt", "--gpa", "0", "--len", "64K", "--operation", "SET_DIRTY|BITMAP_IN|BITMAP_OUT")
    assert vm(*given, "--bitmap", "0300").out == "returned 0\n0x0  2\n"
    assert "EFAULT" in vm(*given, "--bitmap", "03", status=1).err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("peek",), "which memory?"),
        (("peek", "--gpa", "0", "--segment", "0"), "which memory?"),
        (("poke", "--gpa", "0", "--value", "256", "--size", "1"), "more than 1 bytes"),
        (("fill", "--gpa", "0", "--len", "1", "--byte", "256"), "256 is no byte"),
        (("fill", "--gpa", "0", "--len", "1G"), "expected 1 to 268435456"),
        (("npt", "--gpa", "0", "--len", "0", "--operation", "GETDIRTY"), "one of RESET_DIRTY"),
        (("npt", "--gpa", "0", "--len", "0", "--operation", "0x100000000"), "32 bits"),
        (
            ("npt", "--gpa", "0", "--len", "0", "--operation", "3", "--bitmap", "0"),
            "two hex digits",
        ),
    ],
)
def test_mistakes_are_said_in_a_line(vm, argv, said):
    outcome = vm(*argv, status=2)
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_panic_of_an_unmap_is_stored(cli, config):
    cli("create", "--config", config("testvm-13932"))
    assert cli("unmap", "--gpa", "0xffe00000", "--len", "2M").status == 3
    assert "panicked during unmap" in cli("explain").out


def test_pages_that_an_unmap_loses_are_named(cli, config):
    cli("create", "--config", config("production-13932"))
    outcome = cli("unmap", "--gpa", "0xffe00000", "--len", "2M")
    assert outcome.status == 0
    assert "512 pages at 0x100000000 to 0x1001fffff lost their PTEs" in outcome.err
