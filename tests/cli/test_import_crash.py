"""bhyvesim import: a crash becomes the VM that it was about, with what is known of it."""

from __future__ import annotations

import io
import json

import pytest
import yaml

from tests.sessions import ROOT

CRASHES = ROOT / "examples" / "crashes"
MDB = (CRASHES / "propolis-756g.txt").read_text(encoding="utf-8")
CONSOLE = (CRASHES / "propolis-756g-console.txt").read_text(encoding="utf-8")
FMDUMP = (CRASHES / "vm-destroy-fmdump.txt").read_text(encoding="utf-8")
MESSAGES = (CRASHES / "device-in-a-hole-messages.txt").read_text(encoding="utf-8")
MESSAGE = (
    "assertion failed: end <= vmm_gpt_node_end(node) (0xbd40000000 <= 0x8000000000), "
    "file: ../../intel/io/vmm/vmm_gpt.c, line: 616"
)
FRAMES = "".join(line + "\n" for line in MDB.splitlines() if line.startswith("fffff"))
MAP = (
    "Address     Length      Segment     Offset      Prot  Flags\n"
    "0           3072MB      sysmem      0           RWX   \0\n"
    "FFE00000    2048KB      bootrom     0           R-X   \0\n"
    "100000000   5120MB      sysmem      0           RWX   \0\n"
)
SYSLOG = "Aug 28 09:43:45 host genunix: [ID 655072 kern.notice] "
BIG = {"vmm": "propolis", "memory": "756G", "bootrom": "2M"}
UNREADABLE = (
    "assertion failed: (prot & PROT_READ) != 0, file: ../../i86pc/io/vmm/vmm_sol_rvi.c, "
    "line: 221\n\nfffff7883444a770 vmm:rvi_ops_map+1a ()\n"
)
PAGE_FAULT = "panic[cpu3]/thread=fffffe00: BAD TRAP: type=e (#pf Page fault) rp=fffffe00 addr=0\n\n"


@pytest.fixture
def crash(cli, vm_file):
    """Import a crash; returns the status, the VM (or None) without its name, and all text."""

    def run(text, *argv, file="foreign"):
        status, out, err = cli("import", vm_file(text, file), *argv)
        vm = yaml.safe_load(out) if out else None
        if vm is not None:
            vm.pop("name")
        return status, vm, out + err

    return run


def prefixed(text, prefix):
    return "".join(f"{prefix}{line}\n" for line in text.splitlines())


# Each of them is one and the same guest of 756 GiB.
SAME = {
    "mdb": MDB,
    "console": CONSOLE,
    "syslog": prefixed(CONSOLE, SYSLOG),
    "syslog-grep": prefixed(CONSOLE, "/var/adm/messages.0:" + SYSLOG),
    "syslog-iso": prefixed(CONSOLE, "<5>1 2026-08-28T09:43:45.123Z host genunix: "),
    "syslog-no-id": prefixed(CONSOLE, "Apr  1 17:20:03 host "),
    "quoted": prefixed(MDB, "> "),
    "quoted-twice": prefixed(MDB, "> > "),
    "kmdb": MDB.replace("> ", "[14]> ").replace("a770 ", "a770 vmm`").replace("a880 ", "a880 vmm`"),
    "crlf": MDB.replace("\n", "\r\n"),
    "colours": MDB.replace("panic message", "\x1b[31mpanic message\x1b[0m"),
    "nul": MDB.replace("\n", "\0\n"),
    "latin": MDB.encode() + b"caf\xe9\n",
    "indented": prefixed(MDB, "\t  "),
    "stamped": prefixed(CONSOLE, "[2026-08-28 09:43:45] "),
    "gaps": MDB.replace("\n", "\n\n"),
    "other-line": MDB.replace("line: 616", "line: 612"),
    "other-file": MDB.replace("../../intel/io/vmm", "../../i86pc/io/vmm"),
    "smartos": MDB.replace("build version: heads/stlouis-0-g361574b73e", "git branch: release"),
    "no-uuid": MDB.replace("5134a624-24c0-4a89-afbb-147859443d8e", "(not set)"),
    "no-status": MESSAGE + "\n" + FRAMES,
    "stack-first": FRAMES + "> ::status\npanic message: " + MESSAGE + "\n",
    "no-frame-pointers": MESSAGE
    + "\n"
    + FRAMES.replace("fffff7883444a", "")[0:0]
    + "".join(line.split(" ", 1)[1] for line in FRAMES.splitlines(keepends=True)),
    "message-only": MESSAGE + "\n",
    "message-without-place": MESSAGE.partition(", file")[0] + "\n",
    "cut-place": MESSAGE[:-12] + "\n",
    "wrapped-message": MESSAGE[:80] + "\n" + MESSAGE[80:] + "\n",
    "wrapped-in-a-number": MESSAGE[:62] + "\n" + MESSAGE[62:] + "\n",
    "wrapped-stack": MDB.replace("100000000, 2, 0,", "100000000,\n2, 0,"),
    "cut-stack": MDB.partition(", 2, 0, bc4")[0] + "\n",
    "fmdump": f"  panicstr = {MESSAGE}\n  panicstack = fffffffffbdcd481 () | "
    "vmm:vmm_gpt_populate_region+d3 () | vmm:vmspace_map+ee () | \n",
    "among-other-lines": prefixed(CONSOLE, SYSLOG).replace(
        "\n", "\nAug 28 09:43:45 host sshd[12]: [ID 800047 auth.info] Accepted publickey\n"
    ),
    "header-alone": CONSOLE.replace(": assertion", ":\nassertion"),
    "header-and-another-line": "\n".join(
        f"Aug 28 09:43:45 host {line}"
        for line in CONSOLE.replace(": assertion", ":\nsshd[12]: hello\nassertion").splitlines()
    ),
    "savecore": f"{SYSLOG}reboot after panic: {MESSAGE}\n",
    "two-forms": CONSOLE + MDB,
    "with-savecore": CONSOLE + f"\nAug 28 09:50:00 host savecore: reboot after panic: {MESSAGE}\n",
    "prose-around": f"Hello,\nwe saw this:\n\n{MDB}\nAny idea?\n",
    "no-message": FRAMES,
    "cut-message": MDB.replace(MESSAGE, MESSAGE[:40]),
    "cut-in-a-number": MDB.replace(MESSAGE, MESSAGE[:60]),
    "bom": b"\xef\xbb\xbf" + MDB.encode(),
    "$c": "".join(
        f"{line[17:]}\n" if line[:5] == "fffff" else f"{line}\n" for line in MDB.splitlines()
    ),
    "msgbuf-after": MDB + "> ::msgbuf\n" + CONSOLE,
}


@pytest.mark.parametrize("form", SAME)
def test_the_same_crash_in_many_forms_is_the_same_guest(crash, form):
    status, vm, told = crash(SAME[form])
    assert (status, vm) == (0, BIG), told
    assert "Cause: panic C of 15844: a memmap crosses a multiple of 512 GiB" in told
    assert "panic C of 15844; safe on 14042, 14367 and 2025\n" in told


# Each is not what it may seem: what is said, and the status. None of them gives a VM.
NOT_SO = {
    "page-fault": (PAGE_FAULT + FRAMES, "a panic that is not known here: BAD TRAP", 1),
    "other-assertion": ("assertion failed: end <= node_end, file: x.c, line: 1\n", "not known", 1),
    "longer-assertion": (f"{MESSAGE.replace(' (0x', ' || x (0x')}\n", "not known here", 1),
    "other-functions": (
        f"{MESSAGE}\nfffff7883444a770 vmm:vmm_gpt_vacate_entry+8b ()\n",
        "a panic that is not known here",
        1,
    ),
    "cut-in-the-end": (MESSAGE[:62] + "\n", "the text does not tell the VM's memory", 1),
    "no-arguments-no-message": (
        "vpanic()\nassfail3+0xd0()\nvmm_gpt_populate_region+0xd3()\n",
        "the text does not tell the VM's memory",
        1,
    ),
    "messages": (MESSAGES, "panic B of 13896; the text does not tell the VM's memory", 1),
    "other-numbers": (MDB.replace("0xbd4", "0xbc4"), "contradicts itself or the message", 2),
    "two-ranges": (MDB.replace("2, 0, bc4", "2, 0, bb4"), "contradicts itself", 2),
    "not-a-page": (MDB.replace("40000000", "40000001"), "whole pages below 64 TiB", 2),
    "freebsd": (
        "panic: Assertion vmsm != NULL failed at /usr/src/sys/amd64/vmm/vmm.c:1\ncpuid = 3\n"
        "KDB: stack backtrace:\n#0 0xffffffff80c0 at kdb_backtrace+0x65\n",
        "this is a trace of FreeBSD",
        2,
    ),
    "freebsd-ddb": ("vpanic() at vpanic+0x1c3/frame 0xfffffe00\n", "a trace of FreeBSD", 2),
    "linux": (
        "[   12.3] BUG: unable to handle page fault for address: 0\n[   12.3] Call Trace:\n"
        "[   12.3]  kvm_mmu_map+0x1a/0x30\n",
        "this is a trace of Linux",
        2,
    ),
    "two": (CONSOLE + FMDUMP, "2 crashes: expected --pick with one of 1 (line 1: assertion", 2),
    "two-alike": (CONSOLE + CONSOLE.replace("120: ", "999: "), "2 crashes", 2),
    "another-guests-map": (CONSOLE + MAP, "the memory map has no memmap [0x100000000, 0xbd4", 2),
    "bad-map": (CONSOLE + MAP.replace("3072MB", "x"), "expected such as 3072MB", 2),
    "only-a-header": ("> ::status\nbhyve\n", "a panic, without its message or stack", 2),
}


@pytest.mark.parametrize("case", NOT_SO)
def test_what_is_not_so_gives_no_vm(crash, case):
    text, said, expected = NOT_SO[case]
    status, vm, told = crash(text)
    assert (status, vm) == (expected, None), told
    assert said in told


@pytest.mark.parametrize("file", sorted(path.name for path in CRASHES.iterdir()))
def test_the_scenario_of_a_sample_passes(cli, tmp_path, file):
    scenario = tmp_path / "scenario.yaml"
    status = cli("import", CRASHES / file, "--scenario", scenario).status
    if status == 1:
        assert not scenario.exists()
    else:
        assert status == 0
        assert "6 cells, 0 failed" in cli("run", scenario).err


def test_a_map_beside_it_gives_the_guest(crash, cli, vm_file, tmp_path):
    status, vm, told = crash(FMDUMP + MAP)
    assert (status, vm["memory"], vm["cpu"]) == (0, "8G", "amd")
    assert "Assumed" not in told
    assert "Not safe on 13932 DEBUG: panic A at destroy" in told


def test_a_map_makes_a_device_in_a_hole(cli, vm_file, tmp_path):
    hole = MAP.replace("5120MB", "5121MB")
    scenario = tmp_path / "scenario.yaml"
    status, out, _ = cli("import", vm_file(MESSAGES + hole, "foreign"), "--scenario", scenario)
    assert status == 0
    assert "Run here, this VM comes to the same on 13896." in out
    assert "panic: B" in scenario.read_text()
    assert "0 failed" in cli("run", scenario).err


def test_what_only_intel_comes_to_was_on_intel(crash):
    status, vm, told = crash(MESSAGES + MAP)
    assert (status, vm["memory"], vm["cpu"]) == (0, "8G", "intel")
    assert "Assumed: an Intel host: on AMD this VM does not come to it." in told


def test_a_hang_is_told_by_its_stack(cli, vm_file, tmp_path):
    stuck = (
        "panic[cpu1]/thread=ff: deadman: timed out\n\nfffff7883444a770 vmm:vmc_space_unmap+1a ()\n"
    )
    scenario = tmp_path / "scenario.yaml"
    status, out, _ = cli("import", vm_file(stuck + MAP, "foreign"), "--scenario", scenario)
    assert status == 0
    assert "Cause: hang of 13896, 14367, 15844 and 2025" in out
    assert "0 failed" in cli("run", scenario).err


def test_a_guest_that_does_not_come_to_it_is_not_claimed(crash):
    status, vm, told = crash(UNREADABLE + MAP)
    assert (status, vm["memory"]) == (1, "8G")
    assert "by its text, but this VM does not come to it when it is run" in told


def test_the_map_of_the_big_guest(crash):
    status, vm, told = crash(CONSOLE + MAP.replace("5120MB", " 753GB"))
    assert (status, vm) == (0, BIG)
    assert "Assumed" not in told


def test_the_memmap_across_a_line_was_made_last(cli, vm_file, tmp_path):
    twice = (
        "panic message: assertion failed: next_sibling->vgn_gpa > child->vgn_gpa "
        "(0x8000000000 > 0x8000000000), file: ../../intel/io/vmm/vmm_gpt.c, line: 389\n"
        "fffff7883444a770 vmm_gpt_node_add+0x10(fffffcfa31f6bcc0, 1, 2)\n"
        "fffff7883444a880 vm_mmap_memseg+0xfe(fffffcfb7d3cf000, 7fffffe000, 0, 0, 3000, 7)\n"
    )
    rows = (
        f"{MAP.splitlines()[0]}\n7FFFFFE000  12KB        sysmem      0           RWX\n"
        "8000002000  4096B       sysmem      0           RWX\n"
    )
    scenario = tmp_path / "scenario.yaml"
    path = vm_file(twice + rows, "foreign")
    status, out, _ = cli("import", path, "--scenario", scenario)
    assert status == 0, out
    assert "Run here, this VM comes to the same on 15844." in out
    assert "0 failed" in cli("run", scenario).err


def test_a_page_that_may_not_be_read(crash):
    rows = f"{MAP.splitlines()[0]}\n0           4096KB      sysmem      0           -W-\n"
    status, _, told = crash(UNREADABLE + rows)
    assert status == 0, told
    assert "Cause: panic E of 13932 and 14042" in told


def test_another_memmap_stands_alone(crash):
    moved = MDB.replace("100000000", "7f00000000").replace("bc40000000", "3e40000000")
    status, vm, _ = crash(moved)
    assert status == 0
    assert vm["segments"] == [{"id": 2, "name": "sysmem", "size": "249G"}]


def test_bhyves_highmem_is_segment_1(crash):
    status, vm, _ = crash(MDB.replace("100000000, 2,", "100000000, 1,"))
    assert (status, vm["vmm"], vm["memory"]) == (0, "bhyve", "756G")


def test_pick_takes_one_of_two(crash):
    _, vm, _ = crash(CONSOLE + FMDUMP, "--pick", "2")
    assert vm["memory"] == "4G"


def test_json_has_all_in_one(cli):
    status, out, _ = cli("import", CRASHES / "propolis-756g.txt", "--format", "json")
    read = json.loads(out)
    assert status == 0
    assert (read["cause"], read["mended"], read["reproduced"]) == ("panic C", "2025", ["15844"])
    assert yaml.safe_load(read["vm"])["memory"] == "756G"
    assert yaml.safe_load(read["scenario"])["matrix"]["gpt"] == "all"


def test_standard_input_and_the_name(cli, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(MDB.encode())))
    status, out, _ = cli("import", "-", "--vm", "mine")
    assert (status, yaml.safe_load(out)["name"]) == (0, "mine")


def test_long_logs_are_streamed(crash):
    noise = f"{SYSLOG}nothing of note happened here, once more\n" * 40_000
    status, vm, _ = crash(noise + prefixed(CONSOLE, SYSLOG) + noise)
    assert (status, vm) == (0, BIG)


@pytest.mark.parametrize(
    "line",
    [
        "> " * 4000,
        "#1 " + "()" * 4000,
        "() at " + "a" * 8000,
        "a" * 8000 + "+1 (",
        "panic: " * 1100,
        "assertion failed: " * 400,
        ", file: x" * 800 + "assertion failed: x",
        "panic[cpu1]/thread=ff:" * 300,
        "panicstack = " + "f+1 ()|" * 1000,
        "Aug 28 09:43:45 " * 500 + "panic",
        "x" * (1 << 20),
    ],
    ids=range(11),
)
def test_hostile_lines_take_no_time(cli, vm_file, line):
    from time import perf_counter

    start = perf_counter()
    assert cli("import", vm_file(f"{line}\n" * 200, "foreign")).status in (1, 2)
    assert perf_counter() - start < 10


def test_a_cut_or_lost_piece_never_makes_another_vm(crash):
    lines = CONSOLE.splitlines()
    for number, line in enumerate(lines[:4]):
        for cut in range(0, len(line), 5):
            rest = [*lines[:number], line[:cut], line[cut + 1 :], *lines[number + 1 :]]
            _, vm, told = crash("\n".join(rest))
            assert vm in (None, BIG), told


def test_nothing_from_outside_is_printed_raw(crash):
    _, _, told = crash(
        "panic[cpu0]/thread=ff: assertion failed: \x1b]0;x\x07\u202e, file: x, line: 1\n"
    )
    assert "\x1b" not in told
    assert "\u202e" not in told


def test_our_own_files_are_no_crashes(cli, vm_file):
    _, out, _ = cli("import", CRASHES / "propolis-756g.txt")
    assert "a VM description already" in cli("import", vm_file(out, "again.yaml")).err


def test_what_only_quotes_a_panic_is_no_crash(cli, vm_file):
    zone = (
        '{"alias": "web", "brand": "bhyve", "ram": 4096,\n'
        f' "description": "panic message: {MESSAGE}"}}\n'
    )
    status, out, _ = cli("import", vm_file(zone, "zone.json"))
    assert (status, yaml.safe_load(out)["memory"]) == (0, "4G")


def test_among_many_files(cli, vm_file, tmp_path):
    paths = [vm_file(MDB, "a"), vm_file(MESSAGES, "b")]
    status, out, err = cli("import", *paths, "--check")
    assert status == 2
    assert "756G" in out
    assert "the text does not tell the VM's memory" in err
