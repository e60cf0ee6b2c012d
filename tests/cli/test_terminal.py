"""What a person sees: a real terminal, narrow and wide, with and without colour."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest


def on_terminal(*argv: str, columns: int = 80, **env: str) -> str:
    """The output of a command whose standard output is a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bhyvesim", *argv],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **env},
    )
    os.close(follower)
    output = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # Linux says EIO when the last writer is gone
            break
        if not chunk:
            break
        output += chunk
    os.close(leader)
    with process:
        assert process.stderr.read() == b""
    assert process.returncode == 0
    return output.decode().replace("\r\n", "\n")


@pytest.fixture(autouse=True)
def _vm(cli, config):
    cli("create", "--config", config("testvm"))


def test_a_table_on_a_terminal(cli, golden):
    golden("memmap-terminal.txt", on_terminal("--get-memmap", NO_COLOR="1"))
    assert "\x1b[" in on_terminal("--get-memmap")


@pytest.mark.parametrize("columns", [20, 40, 200])
def test_addresses_are_never_shortened(columns):
    narrow = on_terminal("--get-memmap", columns=columns, NO_COLOR="1")
    wide = on_terminal("--get-memmap", NO_COLOR="1")
    assert (narrow == wide) == (columns == 200)
    assert {"0", "FFE00000", "100000000"} <= set(narrow.split())
    assert "…" not in on_terminal("list", columns=columns)


def test_where_a_table_does_not_fit_each_row_is_a_record():
    assert on_terminal("--get-memmap", columns=40, NO_COLOR="1").split("\n\n")[1].splitlines() == [
        "Address  FFE00000",
        "Length   2048KB",
        "Segment  bootrom",
        "Offset   0",
        "Prot     R-X",
    ]


def test_colour_follows_the_environment(monkeypatch, cli):
    assert "\x1b" not in cli("list", "--format", "table").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1m" in cli("list", "--format", "table").out
    assert "\x1b" not in cli("list").out


def test_plain_on_request():
    assert on_terminal("--get-memmap", "--format=plain").splitlines()[1] == (
        "0           3072MB      sysmem      0           RWX   "
    )


def test_brackets_are_not_markup(cli, vm_file):
    text = (
        "name: '[bold]'\nsegments: [{id: 0, name: '[rom]', size: 4K}]\n"
        "mappings: [{gpa: 0, segment: 0, len: 4K}]\n"
    )
    cli("create", "--config", vm_file(text))
    assert "[rom]" in on_terminal("--vm=[bold]", "--get-memmap")
    assert "[bold]" in on_terminal("list")
