"""Every command on terminals of several widths: nothing is wider, nothing ends in blanks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bhyvesim.cli.root import COMMANDS
from bhyvesim.text import columns_of
from tests.sessions import ROOT

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_MOTION = re.compile(r"\x1b\[[0-9;?]*[A-Zhl]|\r")


class Terminal:
    """A state folder, and commands in it whose output goes to a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "BHYVESIM_STATE_DIR": str(folder), "TERM": "xterm-256color"}
        for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "BHYVESIM_VM"):
            self.env.pop(name, None)
        self.env |= {"SOURCE_DATE_EPOCH": "1630143825", "TZ": "UTC"}

    def __call__(self, *argv: str, columns: int = 80, **more: str) -> str:
        """What *argv* prints on a terminal of so many *columns*, both streams of it."""
        leader, follower = open_terminal()
        env = {**self.env, "COLUMNS": str(columns), **more}
        process = subprocess.Popen(
            [sys.executable, "-m", "bhyvesim", *argv],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=follower,
            stderr=follower,
            env=env,
        )
        os.close(follower)
        output = b""
        while chunk := _read(leader):
            output += chunk
        os.close(leader)
        self.status = process.wait()
        return output.decode().replace("\r\n", "\n")


def open_terminal() -> tuple[int, int]:
    try:
        return pty.openpty()
    except OSError as error:
        pytest.skip(f"no pseudo-terminal is to be had: {error}")


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 65536)
    except OSError:  # Linux says EIO when the last writer is gone
        return b""


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    """Three VMs, one of which has panicked, with a past and a dump."""
    made = Terminal(tmp_path_factory.mktemp("widths"))
    made("create", "--config", "configs/testvm-13932.yaml", "--vm", "doomed")
    made("--vm=doomed", "reboot")
    made("create", "--config", "configs/testvm-13932.yaml", "--vm", "panicking")
    made("create", "--config", "configs/segments.yaml", "--vm", "a-vm-whose-name-is-rather-long")
    made("--vm=a-vm-whose-name-is-rather-long", "touch", "--gpa", "0", "--len", "8K")
    (made.folder / "tracked.yaml").write_text("name: t\nmemory: 64M\ntrack_dirty: true\n")
    made("create", "--config", str(made.folder / "tracked.yaml"), "--vm", "tracked")
    (made.folder / "failing.yaml").write_text(
        "title: a scenario that fails on every kernel, whatever its processor is called\n"
        "vm: {name: v, memory: 2M}\n"
        "matrix: {gpt: all, debug: [true, false], cpu: [amd, intel]}\n"
        "steps: [{create: , expect: EINVAL}]\n"
    )
    (made.folder / "drift.jsonl").write_text(
        '{"ops": [{"op": "create", "gpt": "2025", "debug": true, "npt": "rvi"}], "results": [1]}\n'
    )
    return made


_CONSOLE = "examples/crashes/propolis-756g-console.txt"
VM = "--vm=a-vm-whose-name-is-rather-long"
# What is printed of each command; {} is the state folder. Several lines are several commands.
CALLS: dict[str, list[list[str]]] = {
    "create": [
        ["create", "--config", "configs/testvm.yaml", "--dry-run"],
        ["create", "--config", "configs/warn-13932.yaml", "--dry-run", "--format=table"],
    ],
    "list": [["list"]],
    "show": [[VM, "show"], ["show", "doomed"]],
    "help": [["help"], ["help", "create"]],
    "reboot": [
        [VM, "reboot", "--dry-run", "--format=table"],
        ["--vm=panicking", "reboot", "--dry-run"],
    ],
    "pause": [[VM, "pause", "--dry-run"], [VM, "pause", "--help"]],
    "resume": [[VM, "resume", "--dry-run"]],
    "migrate": [
        ["migrate", "--vm=tracked", "--to", "x", "--dry-run"],
        ["migrate", "--vm=tracked", "--to", "x", "--dry-run", "--discipline=arrived-clean"],
        ["migrate", "--help"],
    ],
    "host": [
        ["host", "set", "--memory", "1T", "--reservoir", "800G", "--dry-run", "--format=table"],
        ["host", "show"],
        ["host", "set", "--help"],
    ],
    "state": [
        ["state", "check"],
        ["state", "check", "--format=table"],
        ["state", "compact", "--dry-run", "--format=table"],
        ["state", "backup", "{}/testvm.yaml"],
    ],
    "destroy": [[VM, "destroy", "--dry-run", "--format=table"], ["destroy", "--vm=nobody"]],
    "undo": [["undo"]],
    "touch": [[VM, "touch", "--gpa", "0x1000", "--by=device"]],
    "hold": [[VM, "hold", "--gpa", "0x3000"]],
    "release": [[VM, "release", "7"]],
    "alloc-memseg": [
        [VM, "alloc-memseg", "--help"],
        [VM, "alloc-memseg", "3", "--size=4K"],
    ],
    "map": [[VM, "map", "--help"]],
    "unmap": [[VM, "unmap", "--help"]],
    "poke": [[VM, "poke", "--help"]],
    "fill": [[VM, "fill", "--help"]],
    "dirty": [[VM, "dirty", "--help"]],
    "track-dirty": [[VM, "track-dirty", "--gpa", "0", "--len", "16K"]],
    "npt": [[VM, "npt", "--help"]],
    "log": [[VM, "log"], ["--vm=doomed", "log"]],
    "diff": [[VM, "diff"], ["diff", "doomed@1", "doomed@2"]],
    "why": [["--vm=doomed", "why", "0x100000000"]],
    "walk": [["walk", "--vm=doomed", "0x100000000"]],
    "gpt": [["gpt", "--vm=doomed"], ["gpt", "--vm=doomed", "--format=table"]],
    "peek": [[VM, "peek", "--help"]],
    "find": [["find", "--vm=doomed", "--pfn", "0xe23cd7"]],
    "leaks": [["leaks", "--vm=doomed"]],
    "fsck": [["fsck", "--vm=doomed"]],
    "trace": [
        ["trace", "-l"],
        ["trace", "-n", "vm_reinit:entry", "--stack", "reboot", VM, "--dry-run"],
    ],
    "report": [["report", "--vm=doomed", "-o", "{}/report.html"]],
    "crash": [["crash", "list"], ["crash", "show"]],
    "explain": [["explain"], ["explain", "BV101"], ["explain", "revision-14042"]],
    "identify": [
        ["identify", "--no-experiment", "--panic-file", _CONSOLE],
        ["identify", "--help"],
    ],
    "bisect": [["bisect", "examples/bhyve-tests/a-shared-leaf.yaml"]],
    "explore": [
        [
            "explore",
            "--gpt",
            "13932",
            "--runs",
            "200",
            "--seed",
            "1",
            "--jobs",
            "1",
            "-o",
            "{}/found",
        ]
    ],
    "prove": [["prove", "--gpt", "2025", "--bound", "maps=1,points=2", "--jobs", "1"]],
    "lockstep": [["lockstep", "--help"]],
    "run": [
        ["run", "examples/bhyve-tests/a-shared-leaf.yaml", "--jobs", "1"],
        ["run", "{}/failing.yaml", "--jobs", "1"],
    ],
    "check": [["check", "configs"], ["check", "configs/testvm-13932.yaml"]],
    "matrix": [
        ["matrix", "configs/testvm-13932.yaml"],
        ["matrix", "configs"],
        ["matrix", "configs", "--from", "13932", "--to", "14042"],
    ],
    "replay": [
        ["replay", "--check", "{}/drift.jsonl"],
        ["replay", "--live", "examples/recordings/two-vms.jsonl"],
    ],
    "record": [["record", "--help"]],
    "config": [["config", "--help"]],
    "import": [["import", "--help"], ["import", "examples/crashes", "--check"]],
    "schema": [["schema", "--help"]],
    "completion": [["completion", "--help"]],
    "": [
        ["--help"],
        ["--version"],
        ["--vm=doomed", "--get-memmap", "--get-memseg", "--get-stats", "--get-eptp"],
        ["--vm=doomed", "--get-gpa-pmap=0x100000000"],
        ["--vm=doomed", "--get-memmap", "--graph"],
    ],
}


# There are several VMs; one of the crashes tells too little.
WRONG = [["undo"], ["import", "examples/crashes", "--check"]]


def test_every_command_is_looked_at():
    assert CALLS.keys() - {""} == COMMANDS.keys()


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("command", CALLS)
def test_it_fits(terminal, command, columns):
    for argv in CALLS[command]:
        words = [word.format(terminal.folder) for word in argv]
        output = terminal(*words, columns=columns)
        assert output, argv
        assert terminal.status != 2 or argv in WRONG
        text = _COLOURS.sub("", output)
        for line in _MOTION.split(text.replace("\n", "\r")):
            assert line == line.rstrip(), argv
            if columns_of(line) > columns:
                assert _unbreakable(line), (argv, line)
        assert "\n\n\n" not in text, argv


def test_narrow_terminals_lose_no_words(terminal):
    text = _COLOURS.sub("", terminal("crash", "show", columns=44))
    assert text.rstrip().endswith("what happened, in\n                      plain words")
    assert "\n  vmm:vmm_gpt_vacate_entry+8b ()\n" in text
    notes = _COLOURS.sub("", terminal("matrix", "configs/testvm.yaml", columns=44))
    assert "\n\nNot counted: kernels from" in notes


def _unbreakable(line: str) -> bool:
    """Whether *line* is one long word, with no more than its indent and a key before it."""
    *before, _ = line.removesuffix(" \\").split()
    return len(before) <= 1
