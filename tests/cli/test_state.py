"""The state file: whole before or whole after, never between; and never ours to break."""

from __future__ import annotations

import errno
import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing

import click
import pytest

from bhyvesim.cli.params import complete_vm
from bhyvesim.cli.root import root
from bhyvesim.errors import StateError
from bhyvesim.store.schema import OLDEST_VERSION, VERSION
from bhyvesim.store.store import Store


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state" / "state.sqlite3"


def test_reading_makes_nothing(cli, state):
    assert cli("list") == (0, "", "")
    assert cli("--vm=x", "--get-memmap").status == 1
    assert not state.parent.exists()


def test_the_folder_is_private(cli, config, state):
    cli("create", "--config", config("testvm"))
    assert stat.S_IMODE(state.parent.stat().st_mode) == 0o700


def test_xdg_state_home(cli, config, tmp_path, monkeypatch):
    monkeypatch.delenv("BHYVESIM_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    cli("create", "--config", config("testvm"))
    assert (tmp_path / "xdg" / "bhyvesim" / "state.sqlite3").exists()


@pytest.mark.parametrize("command", [("list",), ("--get-memmap",), ("reboot",), ("destroy",)])
def test_a_damaged_file_is_refused_and_kept(cli, config, state, command):
    state.parent.mkdir()
    state.write_bytes(b"SQLite format 3\0" + b"\xa5" * 5000)
    before = state.read_bytes()
    status, out, err = cli(*command)
    assert (status, out, err.count("\n")) == (4, "", 1)
    assert err.startswith(f"bhyvesim: {state}")
    assert state.read_bytes() == before


def test_another_programs_database_is_refused_and_kept(cli, config, state):
    state.parent.mkdir()
    db = sqlite3.connect(state)
    db.execute("CREATE TABLE diary (day)")
    db.close()
    before = state.read_bytes()
    status, _, err = cli("create", "--config", config("testvm"))
    assert status == 4
    assert "is not a bhyvesim state file; nothing was written" in err
    assert state.read_bytes() == before


@pytest.mark.parametrize("command", [("list",), ("reboot",), ("destroy",)])
def test_a_file_with_another_programs_number_is_refused_and_kept(cli, config, state, command):
    """Whatever else is in it: it may look like ours."""
    cli("create", "--config", config("testvm"))
    db = sqlite3.connect(state)
    db.execute("PRAGMA application_id = 252006673")
    db.close()
    before = state.read_bytes()
    status, out, err = cli(*command)
    assert (status, out, err.count("\n")) == (4, "", 1)
    assert "is not a bhyvesim state file; nothing was written" in err
    assert state.read_bytes() == before


@pytest.mark.parametrize("version", [OLDEST_VERSION - 1, -1, VERSION + 1])
def test_versions_next_to_those_that_are_known(cli, config, state, version):
    cli("create", "--config", config("testvm"))
    db = sqlite3.connect(state)
    db.execute(f"PRAGMA user_version = {version}")
    db.close()
    before = state.read_bytes()
    for command in (("list",), ("reboot",)):
        status, out, err = cli(*command)
        assert (status, out) == (4, "")
        assert f"has state version {version}, this bhyvesim reads version {VERSION}" in err
    assert state.read_bytes() == before


def test_a_newer_file_is_refused_and_kept(cli, config, state):
    cli("create", "--config", config("testvm"))
    db = sqlite3.connect(state)
    db.execute("PRAGMA user_version = 99")
    db.close()
    before = state.read_bytes()
    for command in (("list",), ("reboot",), ("create", "--config", config("testvm"))):
        status, _, err = cli(*command)
        assert status == 4
        assert "has state version 99" in err
    assert state.read_bytes() == before


def a_file_for_the_folder(state, monkeypatch):
    state.parent.write_text("not a folder")
    return f"{state} cannot be read: Not a directory"


def a_file_above_the_folder(state, monkeypatch):
    monkeypatch.setenv("BHYVESIM_STATE_DIR", f"{state.parent}/below")
    state.parent.write_text("not a folder")
    return f"{state.parent}/below/state.sqlite3 cannot be read: Not a directory"


def a_folder_for_the_file(state, monkeypatch):
    state.mkdir(parents=True)
    return f"{state} cannot be read: it is not a file"


def a_loose_link_for_the_file(state, monkeypatch):
    state.parent.mkdir()
    state.symlink_to("gone")
    return f"{state} cannot be read: it is a link, not a file"


def a_link_for_the_file(state, monkeypatch):
    state.parent.mkdir()
    (state.parent / "other").touch()
    state.symlink_to("other")
    return f"{state} cannot be read: it is a link, not a file"


def a_pipe_for_the_file(state, monkeypatch):
    state.parent.mkdir()
    os.mkfifo(state)
    return f"{state} cannot be read: it is not a file"


def no_home(state, monkeypatch):
    for name in ("BHYVESIM_STATE_DIR", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    return (
        "no home folder is known ($HOME is no path, uid 54321 has no name): "
        "expected $BHYVESIM_STATE_DIR or $XDG_STATE_HOME"
    )


def a_loose_link_for_the_folder(state, monkeypatch):
    state.parent.symlink_to("gone")
    return f"{state.parent} is a link that leads nowhere"


@pytest.fixture(
    params=[
        a_file_for_the_folder,
        a_file_above_the_folder,
        a_folder_for_the_file,
        a_loose_link_for_the_file,
        a_loose_link_for_the_folder,
        a_link_for_the_file,
        a_pipe_for_the_file,
        no_home,
        errno.EACCES,
        errno.EIO,
        errno.ELOOP,
    ],
    ids=lambda param: getattr(param, "__name__", None) or errno.errorcode[param],
)
def unreadable(request, monkeypatch, state):
    """A state that cannot be read; what is said of it."""
    if callable(request.param):
        return request.param(state, monkeypatch)
    look = os.lstat

    def failing(path, *args, **kwargs):
        if path == str(state):
            raise OSError(request.param, os.strerror(request.param), path)
        return look(path, *args, **kwargs)

    monkeypatch.setattr(os, "lstat", failing)
    return f"{state} cannot be read: {os.strerror(request.param)}"


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "--get-memmap",
        "--vm=x --get-stats",
        "crash list",
        "explain",
        "reboot",
        "destroy --all",
        "create --config {}",
        "create --dry-run --config {}",
    ],
)
def test_a_state_that_cannot_be_read_is_not_an_empty_one(cli, config, unreadable, command):
    status, out, err = cli(*command.format(config("testvm")).split())
    assert (status, out, err) == (4, "", f"bhyvesim: {unreadable}\n")


def test_completion_says_nothing_of_a_state_that_cannot_be_read(unreadable, capfd):
    completing = {"COMP_LINE": "bhyvesim reboot --vm ", "COMP_POINT": "21"}
    ctx = click.Context(root)
    assert complete_vm(ctx, root.params[0], "") == []
    if "no home" in unreadable:
        return
    if "Not a directory" in unreadable or "link" in unreadable or "not a file" in unreadable:
        done = subprocess.run(
            [sys.executable, "-m", "bhyvesim"],
            env={**os.environ, **completing, "_BHYVESIM_COMPLETE": "bash_complete"},
            capture_output=True,
            check=False,
        )
        assert (done.stdout.strip(), done.stderr) == (b"", b"")
    assert capfd.readouterr() == ("", "")


def _as_nobody(pipe) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        with Store().reading() as transaction:
            pipe.send(transaction.names())
    except StateError as error:
        pipe.send(str(error))


def test_a_folder_that_may_not_be_searched(cli, config, state):
    cli("create", "--config", config("testvm"))
    state.parent.chmod(0)
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        process = multiprocessing.get_context("fork").Process(target=_as_nobody, args=(theirs,))
        process.start()
        assert ours.recv() == f"{state} cannot be read: Permission denied"
        process.join()
    state.parent.chmod(0o700)


def test_an_empty_file_is_an_empty_state(cli, state):
    state.parent.mkdir()
    state.touch()
    assert cli("list") == (0, "", "")


def test_commands_wait_for_each_other_and_then_give_up(cli, config, state):
    cli("create", "--config", config("testvm"))
    impatient = Store(wait_seconds=0.05)
    waiting = threading.Event()
    outcome = []

    def wait():
        waiting.set()
        with Store().writing() as transaction:
            outcome.append(transaction.names())

    thread = threading.Thread(target=wait)
    with closing(sqlite3.connect(state, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match=r"in use by another command for 0\.05 s"):
            impatient.writing().__enter__()
        thread.start()
        waiting.wait()
        db.execute("COMMIT")
    thread.join()
    assert outcome == [["testvm"]]


def _die_after(statements: int, argv: list[str]) -> None:
    """Run a command, and die without a word at the n-th SQL statement."""
    connect = Store.connect
    seen = 0

    def counting(self, path, **how):
        nonlocal seen
        db = connect(self, path, **how)

        def trace(_statement):
            nonlocal seen
            seen += 1
            if seen > statements:
                os._exit(99)

        db.set_trace_callback(trace)
        return db

    Store.connect = counting
    from bhyvesim.cli import run

    os._exit(run(argv))


@pytest.mark.parametrize("config_name", ["testvm", "testvm-13932"])
def test_a_killed_command_leaves_the_state_before_or_after(cli, config, config_name):
    cli("create", "--config", config(config_name))
    before = cli("list", "--format", "json").out
    after = None
    died = 0
    for statements in range(100):
        process = multiprocessing.get_context("fork").Process(
            target=_die_after, args=(statements, ["reboot"])
        )
        process.start()
        process.join()
        now = cli("list", "--format", "json").out
        if process.exitcode != 99:
            after = now
            break
        died += 1
        assert now == before
    assert died > 4
    assert process.exitcode == (3 if config_name == "testvm-13932" else 0)
    assert after is not None
    assert (after != before) == (config_name == "testvm-13932")
