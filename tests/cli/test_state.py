"""The state file: whole before or whole after, never between; and never ours to break."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import threading
from contextlib import closing

import pytest

from bhyvesim.errors import StateError
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


@pytest.mark.parametrize("column", ["spec", "maps", "tables"])
def test_a_damaged_row_is_refused(cli, config, state, column):
    cli("create", "--config", config("testvm"))
    db = sqlite3.connect(state)
    db.execute(f"UPDATE vm SET {column} = '{{\"x\": 1}}'")
    db.commit()
    db.close()
    status, _, err = cli("reboot")
    assert status == 4
    assert "the state of testvm is damaged" in err


def test_a_folder_that_is_a_file(cli, config, tmp_path):
    (tmp_path / "state").write_text("not a folder")
    assert cli("create", "--config", config("testvm")).status == 4


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
    connect = Store._connect
    seen = 0

    def counting(self, path):
        nonlocal seen
        db = connect(self, path)

        def trace(_statement):
            nonlocal seen
            seen += 1
            if seen > statements:
                os._exit(99)

        db.set_trace_callback(trace)
        return db

    Store._connect = counting
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
