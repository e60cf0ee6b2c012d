"""Whatever goes wrong is one line and a status that says so; a poor locale changes no name."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import contextmanager, suppress

import pytest

from bhyvesim.__main__ import hold_descriptors
from bhyvesim.cli import run
from bhyvesim.cli.root import COMMANDS
from tests.sessions import ROOT

POOR = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def shell(tmp_path):
    """Run bhyvesim with *words* as bytes; (status, standard output, standard error)."""

    def call(*words, closing="", **more):
        done = subprocess.run(
            ["bash", "-c", f'"$@" {closing}', "bash", sys.executable, "-m", "bhyvesim", *words],
            cwd=ROOT,
            env={**os.environ, **more},
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return call


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there is not enough memory for this"),
        (OSError(24, "Too many open files", "some\x1bwhere"), "some\\ewhere: Too many open files"),
        (RecursionError("too deep\n"), "a mistake in bhyvesim: RecursionError (test_failures.py:"),
        (ZeroDivisionError("x" * 5000), "a mistake in bhyvesim: ZeroDivisionError (test_failures"),
    ],
)
def test_what_nobody_foresaw_is_one_line(cli, monkeypatch, error, said):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("bhyvesim.cli.session.Session.emit", fail)
    status, out, err = cli("list")
    assert (status, out, err.count("\n")) == (70, "", 1)
    assert err.startswith(f"bhyvesim: {said}")
    assert len(err) < 1100
    monkeypatch.setenv("BHYVESIM_TRACEBACK", "1")
    if "mistake" in said:
        assert "Traceback" in cli("list").err


def test_closed_standard_input_is_said(shell):
    for words in (
        ("create", "--config", "-"),
        ("replay", "-"),
        ("import", "-"),
        ("check", "-"),
        ("run", "-"),
        ("identify", "--trace", "-"),
        ("host", "set", "--kstat", "-"),
    ):
        status, out, err = shell(*words, closing="<&-")
        assert (status, out) == (2, ""), (words, err)
        assert err == "bhyvesim: standard input: it is closed: expected something to read\n"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_without_its_streams(streams, name):
    """Its help is what it prints; the status is that of the output, or of what was wrong."""
    for out, err in (("full", None), (None, "full"), (None, None), ("full", "full")):
        for words, status in (((name, "--help"), 1), ((name, "--no-such-option"), 2)):
            with _broken(out) as sys.stdout, _broken(err) as sys.stderr:
                assert run(list(words)) == status


@pytest.mark.parametrize("name", sorted(COMMANDS))
@pytest.mark.parametrize("out", ["full", None])
def test_every_command_says_what_became_of_its_output(streams, name, out):
    said = sys.stderr = io.StringIO()
    with _broken(out) as sys.stdout:
        assert run([name, "--help"]) == 1
    why = "No space left on device" if out else "it is closed"
    assert said.getvalue() == f"bhyvesim: standard output: {why}\n"


@pytest.fixture
def streams(monkeypatch):
    """Standard output and error may be replaced."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))


@contextmanager
def _broken(kind):
    """A stream on a full disk, or one that is closed."""
    if kind is None:
        yield None
        return
    stream = open("/dev/full", "w")  # noqa: SIM115 - whose end fails too
    try:
        yield stream
    finally:
        with suppress(OSError):
            stream.close()


@pytest.mark.parametrize("closed", [(2,), (1, 2), (0, 1, 2), ()])
def test_no_file_gets_the_number_of_a_stream(closed, tmp_path):
    pid = os.fork()
    if pid == 0:
        number = 0
        try:
            for descriptor in closed:
                os.close(descriptor)
            hold_descriptors()
            number = os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY)
        finally:
            os._exit(number)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) > 2


def test_json_is_json_with_standard_error_closed(shell, config):
    words = ("create", "--format", "json", "--config", config("testvm"))
    status, out, _ = shell(*words, closing="2>&-")
    assert status == 0
    assert json.loads(out)["name"] == "testvm"


def test_a_name_is_the_same_in_a_poor_locale(shell, cli):
    name = "漢字"
    assert cli("--create", f"--vm={name}").status == 0
    status, out, _ = shell("list", **POOR)
    assert (status, "\\u6f22\\u5b57" in out) == (0, True)
    for words in (
        (f"--vm={name}", "--get-memmap"),
        ("log", f"--vm={name}"),
        ("check", "--vm", name),
        ("diff", name, f"{name}@1"),
    ):
        status, _, err = shell(*words, **POOR)
        assert status == 0, err
    assert shell("leaks", **POOR, BHYVESIM_VM=name)[0] == 0
    assert shell("--create", "--vm=文字", **POOR)[0] == 0
    assert "文字" in cli("list").out
    assert shell("destroy", f"--vm={name}", **POOR)[0] == 0
    assert "漢字" not in cli("list").out


@pytest.mark.parametrize("name", ["\udcff\udcfe", "a\x1b[31m", "a\nb", "a\u202eb"])
def test_names_that_are_none(cli, config, name):
    cli("create", "--config", config("testvm"))
    for words in (
        ("log",),
        ("undo",),
        ("leaks",),
        ("reboot",),
        ("destroy", "--force"),
        ("explain",),
        ("--get-memmap",),
        ("--create",),
        ("report", "-o", "/dev/null"),
        ("create", "--config", config("testvm")),
    ):
        status, out, err = cli(*words, f"--vm={name}")
        assert status in (1, 2), (words, err)
        assert (out, err.count("\n")) == ("", 1), (words, err)
        assert not {"\x1b", "\u202e"} & set(err)
    for words in (("diff", name), ("walk", "0", "--at", name), ("crash", "show", name)):
        status, out, err = cli(*words)
        assert (status in (1, 2), out, err.count("\n")) == (True, "", 1), err
    for words in (("create", "--config", name), ("run", name), ("import", name), (name,)):
        status, out, err = cli(*words)
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert "\x1b" not in err


def test_a_name_that_is_no_utf8(shell):
    status, out, err = shell("log", b"--vm=\xff")
    assert (status, out) == (1, "")
    assert err == "bhyvesim: there is no VM named \\udcff, and none in the past (ENOENT)\n"
