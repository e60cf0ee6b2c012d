"""bhyvectl's manner: its options, abbreviations, order and formats."""

from __future__ import annotations

import json

import pytest

from bhyvesim.cli.bhyvectl.getopt import OptionError, parse
from bhyvesim.cli.bhyvectl.options import SIMULATED, TABLE

GIB = 1 << 30


def names(*argv):
    options, _ = parse(argv, TABLE, {"format": True})
    return options


def test_every_full_name_resolves_to_itself():
    for name, takes_argument in TABLE:
        argument = ["x"] if takes_argument else []
        assert names(f"--{name}", *argument) == {name: "x" if takes_argument else ""}
    assert len(TABLE) == len({name for name, _ in TABLE})
    assert {name for name, _ in TABLE} >= SIMULATED


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("--v", "vm"),
        ("--cp", "cpu"),
        ("--cr", "create"),
        ("--dest", "destroy"),
        ("--set-m", "set-mem"),
        ("--get-memm", "get-memmap"),
        ("--get-mems", "get-memseg"),
        ("--force-r", "force-reset"),
        ("--force-p", "force-poweroff"),
        ("--get-st", "get-stats"),
        ("--get-al", "get-all"),
        ("--get-gp", "get-gpa-pmap"),
        ("--get-ep", "get-eptp"),
        ("--i", "inject-nmi"),
        ("--ru", "run"),
        ("--w", "wrlock-cycle"),
        ("--get-ac", "get-active-cpus"),
        ("--get-cp", "get-cpu-topology"),
        ("--pm", "pmtmr-port"),
    ],
)
def test_the_shortest_abbreviations(typed, name):
    argument = ["x"] if dict(TABLE)[name] else []
    assert list(names(typed, *argument)) == [name]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--get-mem"], "ambiguous option -- get-mem (could be --get-memmap, --get-memseg)"),
        (["--get-mem=3"], "ambiguous option -- get-mem (could be --get-memmap, --get-memseg)"),
        (["--nothing=1"], "illegal option -- nothing=1"),
        (["-z"], "illegal option -- z"),
        (["--create=1"], "option doesn't take an argument -- create"),
        (["--vm"], "option requires an argument -- vm"),
        (["--help"], "illegal option -- help"),
        (["--forma", "json"], "illegal option -- forma"),
    ],
)
def test_getopts_words(argv, message):
    with pytest.raises(OptionError) as error:
        names(*argv)
    assert str(error.value) == message


def test_arguments_repeats_operands_and_the_end_of_options():
    assert names("--vm", "--create") == {"vm": "--create"}
    assert names("--vm=") == {"vm": ""}
    assert names("--vm=a", "--vm", "b") == {"vm": "b"}
    options, operands = parse(["one", "--vm=a", "-", "two", "--", "--create"], TABLE, {})
    assert (options, operands) == ({"vm": "a"}, ["one", "-", "two", "--create"])


def test_no_permutation_where_posix_says_so(monkeypatch):
    monkeypatch.setenv("POSIXLY_CORRECT", "")
    assert parse(["--vm=a", "one", "--create"], TABLE, {}) == ({"vm": "a"}, ["one", "--create"])


@pytest.fixture
def vm(cli, config):
    cli("create", "--config", config("testvm"))


@pytest.mark.usefixtures("vm")
def test_several_questions_are_answered_in_bhyvectls_order(cli):
    asked = ["--get-stats", "--get-gpa-pmap=0", "--get-memmap", "--get-memseg"]
    heads = ["ID  Length", "Address   ", "gpa 0: 0x8", "vcpu0 stat"]
    out = cli("--vm=testvm", *asked, "--get-highmem", "--get-lowmem").out
    found = [line[:10] for line in out.splitlines() if line[:10] in heads]
    assert found == heads
    assert (
        "lowmem\t\t0x0000000000000000/3221225472\nhighmem\t\t0x0000000100000000/5368709120" in out
    )


@pytest.mark.usefixtures("vm")
def test_a_walk_from_the_root_down(cli):
    tables = "0x8030000000027 0x8020000003027 0x80100007ff027"
    out = cli("--vm=testvm", "--get-gpa-pmap=0xffe00000").out
    pte = "0x1c0000025"
    assert out == f"gpa 0xffe00000: {tables} {pte}\n"
    assert cli("--get-gpa-pmap=3G").out == "gpa 0xc0000000: 0x8030000000027 0x8020000003027 0\n"
    assert cli("--get-gpa-pmap=1T").out == "gpa 0x10000000000: 0\n"
    walk = json.loads(cli("--get-gpa-pmap=0xffe00000", "--format=json").out)["gpa-pmap"]["walk"]
    assert [(s["level"], s["index"]) for s in walk] == [(4, 0), (3, 3), (2, 511), (1, 0)]
    assert walk[3]["flags"] == ["present", "user", "accessed"]


@pytest.mark.usefixtures("vm")
def test_stats_as_scripts_grep_them(cli):
    out = cli("--vm=testvm", "--get-stats").out
    assert out == (
        f"vcpu0 stats:\n{'Resident memory':<40}\t0\n{'Wired memory':<40}\t{2097664 * 4096}\n"
    )
    assert cli("--get-stats", "--cpu=1").out.splitlines()[1].endswith("\t0")


@pytest.mark.parametrize("gpt", ["13896", "14367", "15844", "2025"])
def test_from_the_vmspace_on_resident_memory_is_all_that_is_counted(cli, vm_file, gpt):
    cli("create", "--config", vm_file(f"name: new\nmemory: 1M\nkernel: {{gpt: {gpt}}}\n"))
    out = cli("--vm=new", "--get-stats").out
    assert out == f"vcpu0 stats:\n{'Resident memory':<40}\t{(256 + 512) * 4096}\n"


def test_the_root_of_the_tables(cli, config):
    cli("create", "--config", config("testvm"), "--vm", "a")
    cli("create", "--config", config("intel-bhyve"), "--vm", "i")
    assert cli("--vm=a", "--get-eptp").out == "rvi/npt[0]\t\t0x0008040000000000\n"
    assert cli("--vm=i", "--get-eptp", "--cpu=2").out == "eptp[2]\t\t0x000804000000001e\n"


def test_memory_given_to_a_vm_that_is_off_does_not_turn_it_on(cli):
    assert cli("--create", "--vm=x").status == 0
    assert cli("--vm=x", "--force-poweroff").status == 0
    assert cli("--vm=x", "--set-mem=64").status == 0
    assert json.loads(cli("list", "--format=json").out)["vms"][0]["state"] == "off"
    status, _, err = cli("--vm=x", "touch", "--gpa", "0")
    assert (status, "(EBUSY)" in err) == (1, True)


def test_create_and_set_mem_without_a_description(cli):
    assert cli("--create", "--vm=x") == (0, "", "")
    assert cli("--vm=x", "--get-memmap").out.count("\n") == 1
    assert cli("--vm=x", "--set-mem=4097", "--get-memmap").out.splitlines()[1:] == [
        "0           3072MB      sysmem      0           RWX   ",
        "100000000   1026MB      sysmem      0           RWX   ",
    ]
    status, _, err = cli("--vm=x", "--set-mem=4097")
    assert (status, "EEXIST" in err) == (1, True)
    assert json.loads(cli("list", "--format=json").out)["vms"][0]["memory"] == 4098 << 20
    assert cli("--force-reset").status == 0
    assert cli("--create", "--vm=x").status == 1


@pytest.mark.usefixtures("vm")
def test_power_off(cli):
    assert cli("--force-poweroff").status == 0
    assert "off" in cli("list").out
    status, _, err = cli("--force-poweroff")
    assert (status, "EALREADY" in err) == (1, True)
    status, _, err = cli("touch", "--gpa", "0")
    assert (status, "EBUSY" in err) == (1, True)
    assert cli("reboot").status == 0
    assert "running" in cli("list").out
    assert cli("--force-poweroff", "--destroy").status == 0
    assert cli("list").out == ""


@pytest.mark.usefixtures("vm")
def test_a_failure_ends_the_rest(cli):
    cli("--force-poweroff")
    assert cli("--force-poweroff", "--destroy").status == 1
    assert "testvm" in cli("list").out


@pytest.mark.usefixtures("vm")
def test_a_mistyped_name(cli):
    status, _, err = cli("--vm=testwm", "--get-memmap")
    assert (status, err) == (
        1,
        "bhyvesim: there is no VM named testwm; did you mean testvm? (ENOENT)\n",
    )


def test_quiet_and_verbose(cli, config):
    assert cli("--quiet", "create", "--config", config("production-13932")).err == ""
    err = cli("--quiet", "reboot").err
    assert err.count("warning: ") == err.count("\n") == 2
    err = cli("--verbose", "create", "--config", config("testvm")).err
    assert "slot 1: 2M of segment 1, from 0x0, at 0xffe00000, r-x" in err


def test_version_names_the_revisions(cli):
    status, out, _ = cli("--version")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[3::2]] == [
        "13932",
        "14042",
        "13896",
        "14367",
        "15844",
        "2025",
    ]
