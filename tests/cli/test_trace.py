"""bhyvesim trace: dtrace's one-liner of the report, and everything around it."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.ops.replay import Replayer
from tests.conftest import ROOT

REMOVE = "fbt:vmm:vm_map_remove:entry"
SMALL = """
name: small
kernel: {gpt: "%s"}
memory: 8M
bootrom: 2M
touch: all
"""


@pytest.fixture
def small(cli, vm_file):
    """A VM of 8 MiB on the kernel *gpt*."""

    def create(gpt="2025"):
        path = vm_file(SMALL % gpt)
        assert cli("create", "--config", path).status == 0
        return path

    return create


def dumped(cli, *argv):
    """What replaying a file prints last: the dump."""
    status, out, err = cli("replay", *argv)
    assert status == 0, err
    return json.loads(out.splitlines()[-1])


def test_the_one_liner_of_the_report(cli, config):
    cli("create", "--config", config("testvm-13932"))
    status, out, err = cli("trace", "-n", REMOVE, "reboot")
    assert status == 3
    assert out == (
        "vm_map_remove:entry  vm_offset_t start = 0xffe00000, vm_offset_t end = 0x100000000\n"
    )
    assert "assertion failed: ptes[i] == 0 (0xe23cd7067 == 0x0)" in err
    assert "its dump is crash 1" in err
    assert cli("crash", "show", "1").status == 0


def test_with_a_predicate_and_the_caller(cli, config):
    cli("create", "--config", config("testvm-13932"))
    wanted = f'{REMOVE} /end == 0x100000000 && caller == "vm_free_memmap" && arg1 == start/'
    status, out, _ = cli("trace", "-n", wanted, "--stack", "reboot", "--dry-run")
    assert status == 3
    lines = out.splitlines()
    assert lines[1:4] == [
        f"{'':14}vmm`{name}" for name in ("vm_free_memmap", "vm_cleanup", "vm_reinit")
    ]
    assert lines[-2:] == [f"{'':14}unix`brand_sys_syscall", ""]


COMMANDS = [
    ("reboot",),
    ("touch", "--gpa", "0x1000", "--len", "8K", "--access", "w"),
    ("touch", "--gpa", "0xffe00000", "--access", "w"),
    ("hold", "--gpa", "0"),
    ("release", "3"),
    ("unmap", "--gpa", "0", "--len", "8M"),
    ("unmap", "--gpa", "0", "--len", "4K"),
    ("map", "--segid", "0", "--gpa", "16M", "--len", "4K"),
    ("alloc-memseg", "--segid", "5", "--size", "4M"),
    ("poke", "--gpa", "0x1000", "--value", "5"),
    ("peek", "--gpa", "0x1000", "--len", "8"),
    ("fill", "--gpa", "0", "--len", "4K", "--byte", "0xff"),
    ("dirty", "--op", "get", "--gpa", "0", "--len", "16K"),
    ("track-dirty", "--gpa", "0", "--len", "16K"),
    ("destroy",),
    ("destroy", "--format", "json"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("gpt", ["13932", "2025"])
def test_a_command_does_what_it_does_without(cli, small, monkeypatch, tmp_path, command, gpt):
    small(gpt)
    plain = cli(*command)
    dump = cli("gpt", "--format", "json").out
    monkeypatch.setenv("BHYVESIM_STATE_DIR", str(tmp_path / "other"))
    small(gpt)
    traced = cli("--vm", "small", "trace", "-n", ":::", *command)
    assert traced.status == plain.status
    assert traced.err.replace("bhyvesim: no probe fired\n", "") in (
        plain.out + plain.err,
        plain.err + plain.out,
    )
    assert cli("gpt", "--format", "json").out == dump


@pytest.mark.parametrize("gpt", REVISIONS)
def test_a_recording_gives_the_same_machine(cli, vm_file, tmp_path, gpt):
    path = vm_file(SMALL % gpt)
    status, out, err = cli("trace", "--format", "replay", "create", "--config", path)
    assert (status, "in the middle" in err) == (0, False)
    assert json.loads(out.splitlines()[0])["op"] == "create"
    for command in (
        ("poke", "--gpa", "0x3000", "--value", "7"),
        ("reboot",),
    ):
        status, more, err = cli("trace", "--format", "replay", *command)
        assert status == 0 or gpt in ("13932",)
        assert "in the middle" not in err
        assert more.startswith(out)
        assert len(more) > len(out)
        out = more
    again = Replayer()
    for line in out.splitlines():
        again.run(json.loads(line))
    from bhyvesim.cli.session import Session

    assert again.machine.dump() == Session().host.machine("small").dump()
    recorded = tmp_path / "ops.jsonl"
    recorded.write_text(out + '{"op":"dump"}\n')
    status, copied, _ = cli("trace", "--format", "replay", "replay", recorded)
    assert copied == recorded.read_text()


def test_a_recording_without_its_beginning_says_so(cli, small):
    small()
    cli("poke", "--gpa", "0x3000", "--value", "7")
    cli("log", "--prune", "--keep", "1")
    _, out, err = cli("trace", "--format", "replay", "reboot")
    assert json.loads(out.splitlines()[0])["op"] != "create"
    assert "the recording begins in the middle" in err


def test_a_create_that_replaces_is_recorded_from_create_on(cli, small):
    path = small()
    _, out, err = cli("trace", "--format", "replay", "create", "--replace", "--config", path)
    assert json.loads(out.splitlines()[0])["op"] == "create"
    assert "in the middle" not in err


def events(cli, *argv):
    out = cli("trace", "--format", "perfetto", *argv).out
    return json.loads(out)["traceEvents"]


def check_nesting(spans):
    """Each span is wholly inside or outside every other: a stack of ends tells."""
    under_way = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        assert start < end
        while under_way and under_way[-1] <= start:
            under_way.pop()
        assert not under_way or end <= under_way[-1]
        under_way.append(end)


@pytest.mark.parametrize("gpt", ["13932", "15844"])
@pytest.mark.parametrize("probe", [":::", "vm*:entry", ":::return", "fbt:vmm:vmm_gpt_*:"])
def test_perfetto_durations_nest(cli, config, gpt, probe):
    cli("create", "--config", config("testvm-13932"), "--gpt", gpt)
    made = events(cli, "-n", probe, "reboot", "--dry-run")
    assert made
    assert {(e["ph"], e["pid"], e["tid"]) for e in made} == {("X", 1, 1)}
    check_nesting([(e["ts"], e["ts"] + e["dur"]) for e in made])


def test_perfetto_shows_what_a_panic_cut_off(cli, config):
    cli("create", "--config", config("testvm-13932"))
    made = events(cli, "-n", ":::", "reboot")
    cut = {e["name"] for e in made if e["args"].get("returned") is False}
    assert {"vmm_gpt_vacate_entry", "vm_map_remove", "ioctl"} <= cut
    assert "vmm_gpt_unmap_region" not in cut
    assert events(cli, "-n", "vm_run:", "destroy") == []


def test_json_lines_are_what_the_machine_tells(cli, small):
    small()
    _, out, _ = cli("trace", "-n", "vmm_gpt_map:", "--format", "jsonl", "--stack", "reboot")
    rows = [json.loads(line) for line in out.splitlines()]
    assert Counter(row["name"] for row in rows) == {"entry": 1, "return": 1}
    entry, end = rows
    assert entry["args"] == {"gpa": 0xFFE00000, "prot": 5}
    assert (entry["times"], entry["step"], entry["result"]) == (512, 4096, None)
    assert entry["caller"] == entry["stack"][0] == "vmspace_lookup_map"
    assert end["result"] is not None


def test_neighbours_that_are_alike_are_one_line(cli, config):
    status, out, _ = cli("trace", "-n", "vmm_gpt_map:entry", "create", "--config", config("testvm"))
    assert status == 0
    assert out.splitlines() == [
        f"vmm_gpt_map:entry  uint64_t gpa = {gpa}, uint_t prot = {prot}  ({n} times, gpa by 0x1000)"
        for gpa, prot, n in (
            ("0", "0x7", 786432),
            ("0xffe00000", "0x5", 512),
            ("0x100000000", "0x7", 1310720),
        )
    ]


def test_aggregations(cli, small):
    small()
    argv = ("touch", "--gpa", "0", "--len", "16K")
    assert cli("trace", "-n", "vm_run:entry", "--count", *argv).out == f"{'':16}1\n"
    out = cli("trace", "-n", ":::entry", "--count-by", "caller", *argv).out
    assert f"  {'0x0':<50} {1:16}\n" in out
    out = cli("trace", "-n", "vmm_gpt_map:entry", "--quantize", "gpa", "reboot").out
    assert f"{1 << 31:>16} |{'@' * 40} {512:<9}\n" in out
    argv = ("--lquantize", "gpa,0xffe00000,0x100000000,0x100000", "--format", "jsonl", "reboot")
    out = cli("trace", "-n", "vmm_gpt_map:entry", *argv).out
    assert [json.loads(line) for line in out.splitlines()] == [
        {"aggregation": "lquantize", "argument": "gpa", "key": 0xFFE00000 + i, "count": 256}
        for i in (0, 0x100000)
    ]


def test_too_many_keys_leave_the_command_alone(cli, config):
    argv = ("-n", "vmm_gpt_map:entry", "--count-by", "gpa")
    status, out, err = cli("trace", *argv, "create", "--config", config("testvm"))
    assert (status, out) == (1, "")
    assert "more than 100000 keys" in err
    assert "created testvm" in err
    assert cli("gpt").status == 0


def test_a_cell_of_a_scenario(cli):
    file = str(ROOT / "examples" / "a-held-page.yaml")
    status, out, err = cli("trace", "-n", "vm_reinit:entry", "run", file)
    assert (status, out) == (2, "")
    assert "12 cells to trace: expected one; -k TEXT selects" in err
    one = ("run", file, "-k", "gpt=2025,debug=true")
    plain = cli(*one)
    status, out, err = cli("trace", "-n", "vmc_space_unmap:", *one)
    assert (status, out) == (
        plain.status,
        "vmc_space_unmap:entry  uintptr_t addr = 0xffe00000, size_t len = 0x200000\n",
    )
    assert plain.out in err
    _, out, _ = cli("trace", "--format", "replay", *one)
    ops = [json.loads(line)["op"] for line in out.splitlines()]
    assert (ops[0], ops[-2:]) == ("create", ["hold", "reinit"])


def test_listing(cli, small):
    out = cli("trace", "-l", "-n", "vmm_gpt_populate_region:entry").out
    assert out == (
        "fbt:vmm:vmm_gpt_populate_region:entry  "
        "void vmm_gpt_populate_region(vmm_gpt_t *gpt, uint64_t addr, uint64_t len)\n"
    )
    small("13932")
    assert "uint64_t start, uint64_t end)" in (
        cli("trace", "-l", "-n", "vmm_gpt_populate_region:entry").out
    )
    out = cli("trace", "-l", "--gpt", "13932", "--format", "jsonl").out
    assert len(out.splitlines()) == 2 * len(REVISIONS["13932"].functions)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("-n", "vm_map_remov:entry", "reboot"), "no function is 'vm_map_remov': expected vm_map"),
        (("-n", "vmc_fault:entry", "reboot"), "on kernel 13932, but on 13896"),
        (("-n", ":::", "list"), "cannot trace list: expected one of create"),
        (("-n", ":::", "rebot"), "did you mean 'reboot'"),
        (("-n", ":::", "reboot", "--nonsense"), "no such option"),
        (("reboot",), "missing -n PROBE"),
        (("-n", ":::"), "missing COMMAND"),
        (("-n", ":::", "--gpt", "2025", "reboot"), "--gpt is for -l"),
        (("-n", ":::", "--count", "--quantize", "gpa", "reboot"), "expected one of --count"),
        (("-n", ":::", "--quantize", "caller", "reboot"), "no such argument, 'caller'"),
        (("-n", "vm_map_remove:entry", "--count-by", "strt", "reboot"), "expected start"),
        (("-n", "vm_map_remove:entry", "--count-by", "map", "reboot"), "map of vm_map_remove"),
        (("-n", ":::", "--lquantize", "gpa,1,0,1", "reboot"), "LO 1 is not below HI 0"),
        (("-n", ":::", "--count", "--format", "perfetto", "reboot"), "an aggregation as perfetto"),
        (("-n", ":::", "--stack", "--format", "replay", "reboot"), "--stack is of single firings"),
        (("-l", "reboot"), "-l lists, and runs nothing"),
    ],
)
def test_mistakes_are_said_before_anything_runs(cli, small, argv, words):
    small("13932")
    before = cli("gpt", "--format", "json").out
    status, out, err = cli("trace", *argv)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert cli("gpt", "--format", "json").out == before


def test_quiet_and_the_wrong_vm(cli, small):
    small()
    assert (
        cli("--quiet", "trace", "-n", "vmc_hold:", "peek", "--gpa", "0").err.count("bhyvesim") == 0
    )
    assert cli("trace", "-n", "vm_run:entry", "--vm", "smal", "reboot").status == 1
    assert cli("trace", "-n", "vm_run:entry", "reboot", "--vm", "small").status == 0
