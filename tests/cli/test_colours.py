"""Who decides on colours, what they are on, and that no script meets one."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from bhyvesim.cli.root import COMMANDS, GROUPS
from tests.conftest import GOLDEN
from tests.sessions import ROOT
from tools import pictures

RED, YELLOW, GREEN, END = "\x1b[1;31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"


@pytest.fixture
def doomed(cli, config):
    cli("create", "--config", config("testvm-13932"))


@pytest.mark.parametrize(
    ("options", "environment", "coloured"),
    [
        ((), {}, False),
        ((), {"FORCE_COLOR": "1"}, True),
        ((), {"CLICOLOR_FORCE": "1"}, True),
        ((), {"CLICOLOR_FORCE": "0"}, False),
        ((), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        (("--color", "never"), {"FORCE_COLOR": "1"}, False),
        (("--color", "auto"), {"FORCE_COLOR": "1"}, True),
    ],
)
@pytest.mark.usefixtures("doomed")
def test_who_decides(cli, monkeypatch, options, environment, coloured):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in cli(*options, "list", "--format", "table").out) == coloured
    assert ("\x1b[" in cli(*options, "--get-memmap", "--format=table").out) == coloured
    assert ("\x1b[" in cli(*options, "--help").out) == coloured
    assert ("\x1b[" in cli(*options, "list", "--help").out) == coloured
    assert ("\x1b[" in cli(*options, "--vm=nobody", "reboot").err) == coloured


@pytest.mark.usefixtures("doomed")
def test_what_scripts_read_has_colours_only_where_they_are_asked_for(cli, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    for command in (["list"], ["matrix", "--vm=testvm"], ["check", "--vm=testvm"], ["log"]):
        assert "\x1b" not in cli(*command).out
    assert "\x1b" in cli("--color", "always", "list").out
    assert "\x1b" not in cli("--color", "always", "list", "--format", "plain").out
    assert "\x1b" not in cli("--color", "always", "list", "--format", "json").out
    assert "\x1b" not in cli("--color", "always", "--get-memmap").out  # bhyvectl's, to the byte


def test_colours_are_on_verdicts_and_on_nothing_that_looks_like_one(cli, config):
    cli("create", "--config", config("testvm-13932"), "--vm", "error")
    cli("--vm", "error", "reboot")
    assert f"\nerror  {RED}panicked{END}" in cli("--color", "always", "list").out
    out = cli("--color", "always", "matrix", "--vm", "error").out
    assert f"13932 DEBUG       {RED}NOT SAFE{END}  panic A at reboot\n" in out
    assert f"14042 DEBUG       {GREEN}safe{END}\n" in out
    out = cli("--color", "always", "check", config("testvm-13932")).out
    assert f"configs/testvm-13932.yaml:10:10: {RED}error{END} BV102" in out


def test_a_warning_is_yellow_and_says_so(cli, config):
    cli("create", "--config", config("production-13932"))
    err = cli("--color", "always", "reboot").err
    assert f"bhyvesim: {YELLOW}warning:{END} 512 pages" in err


@pytest.mark.usefixtures("doomed")
def test_a_panic_in_a_pipe_is_the_console_s_in_colour_too(cli, monkeypatch):
    console = (GOLDEN / "reboot-13932.txt").read_text(encoding="utf-8")
    monkeypatch.setenv("FORCE_COLOR", "1")
    status, out, err = cli("reboot")
    assert (status, out) == (3, "")
    assert re.sub(r"\x1b\[[0-9;]*m", "", err) == console
    assert err.startswith(f"{RED}panic[cpu")
    assert "\x1b[2mfffffe" in err
    assert f"testvm {RED}panicked{END} during reboot" in err


def test_a_panic_on_a_terminal_says_first_what_matters_and_last_what_to_do():
    (shown,) = pictures.shown(pictures.PICTURES["panic"])
    lines = shown.splitlines()
    assert lines[0].startswith(f"{RED}panic[cpu")
    assert "page   0x100001000: entry 1 of its leaf" in lines[3]
    assert "entry  0xe23cd7067: PFN 0xe23cd7, present writable" in lines[4]
    assert lines[6].startswith("\x1b[2m  fffffe")
    assert f"testvm {RED}panicked{END} during destroy" in lines[-3]
    assert "bhyvesim crash show 1\x1b[0m" in lines[-1]


@pytest.mark.usefixtures("doomed")
def test_a_panic_in_a_pipe_is_the_console_s(cli):
    console = (GOLDEN / "reboot-13932.txt").read_text(encoding="utf-8")
    assert cli("reboot").err == console


def test_every_command_is_in_one_group_of_the_help(cli):
    names = [name for group in GROUPS.values() for name in group]
    assert sorted(names) == sorted(set(names)) == sorted(COMMANDS)
    out = cli("--help").out
    for title in GROUPS:
        assert f"\n{title}:\n" in out


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["list", "--format=table"]])
def test_help_and_tables_need_no_rich(command):
    code = (
        "import sys; from bhyvesim.cli import run; "
        f"run({['--color', 'always', *command]!r}); assert 'rich' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
