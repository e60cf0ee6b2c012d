"""After an error of the state file: what is said of the writes is what happened to them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import count

import pytest

from bhyvesim.errors import StateError
from bhyvesim.store import outcome
from bhyvesim.store.store import Store


class Failing(sqlite3.Connection):
    """Its COMMIT does what *really* says, and then fails as *code*."""

    code = really = ""

    def execute(self, sql, *values):
        if sql != "COMMIT":
            return super().execute(sql, *values)
        super().execute(self.really)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname = self.code
        raise error


def names() -> list[str]:
    with Store().reading() as transaction:
        return transaction.names()


def add_with_a_failing_commit(monkeypatch, code: str, really: str) -> str:
    """What is said when a VM is written over such a connection."""
    connecting = {"code": code, "really": really}
    factory = type("Connection", (Failing,), connecting)
    with monkeypatch.context() as patch:
        patch.setattr(
            Store,
            "connect",
            lambda _, path, **how: sqlite3.connect(
                path, timeout=1, isolation_level=None, factory=factory
            ),
        )
        with pytest.raises(StateError) as raised, Store().writing() as transaction:
            transaction.point("added", 1, 1, 1)
    return str(raised.value)


@pytest.mark.parametrize(
    ("code", "really", "said", "there"),
    [
        ("SQLITE_IOERR_UNLOCK", "COMMIT", outcome.WRITTEN, ["added"]),
        ("SQLITE_IOERR_RDLOCK", "COMMIT", outcome.WRITTEN, ["added"]),
        ("SQLITE_IOERR_FSYNC", "ROLLBACK", outcome.NOTHING, []),
        ("SQLITE_FULL", "ROLLBACK", outcome.NOTHING, []),
        ("SQLITE_IOERR_DELETE", "COMMIT", outcome.UNKNOWN, ["added"]),
        ("SQLITE_IOERR_DELETE", "ROLLBACK", outcome.UNKNOWN, []),
        ("SQLITE_IOERR_DELETE", "SELECT 1", outcome.NOTHING, []),
    ],
)
def test_a_failed_commit_says_what_is_known(monkeypatch, code, really, said, there):
    message = add_with_a_failing_commit(monkeypatch, code, really)
    path = Store().path
    assert message == f"{path} cannot be used: disk I/O error; {said}"
    assert names() == there


def test_a_commit_that_readers_keep_waiting_writes_nothing():
    with Store().writing():
        pass
    with closing(sqlite3.connect(Store().path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM vm").fetchone()
        with (
            pytest.raises(StateError, match=r"in use .* for 0\.05 s; nothing was written"),
            Store(wait_seconds=0.05).writing() as transaction,
        ):
            transaction.point("added", 1, 1, 1)
    assert names() == []


def test_an_error_of_the_command_itself_passes_as_it_is():
    def write_and_fail():
        with Store().writing() as transaction:
            transaction.point("added", 1, 1, 1)
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        write_and_fail()
    assert names() == []


@pytest.fixture
def strace(tmp_path):
    """Prefix of a command whose *n*-th call of *call* on the state fails with EIO; and the log."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    if subprocess.run(["strace", "-o", os.devnull, "true"], check=False).returncode != 0:
        pytest.skip("strace may not trace here")
    log = tmp_path / "log"

    def prefix(call: str, n: int) -> list[str]:
        files = [f"-P{Store().path}", f"-P{Store().path}-journal"]
        inject = [f"-einject={call}:error=EIO:when={n}", f"-etrace={call}"]
        return ["strace", "-f", "-qq", f"-o{log}", *files, *inject]

    return prefix, log


@pytest.mark.parametrize("call", ["fcntl", "fdatasync", "?unlink,unlinkat"])
def test_whichever_system_call_fails_what_is_said_is_true(cli, config, tmp_path, strace, call):
    prefix, log = strace
    cli("create", "--config", config("testvm"), "--vm", "old")
    shutil.copytree(Store().folder, tmp_path / "before")
    create = ["create", "--config", config("testvm"), "--vm", "new"]
    said = set()
    for n in count(1):
        shutil.rmtree(Store().folder)
        shutil.copytree(tmp_path / "before", Store().folder)
        argv = [*prefix(call, n), sys.executable, "-m", "bhyvesim", *create]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if "INJECTED" not in log.read_text():
            break
        last = done.stderr.splitlines()[-1].rpartition("; ")[2] if done.returncode == 4 else ""
        said.add(last)
        if last != outcome.UNKNOWN:
            expected = ["old"] if last == outcome.NOTHING else ["new", "old"]
            assert names() == expected, done.stderr
    assert outcome.NOTHING in said
    assert said <= {outcome.NOTHING, outcome.WRITTEN, outcome.UNKNOWN, ""}
    assert (outcome.WRITTEN in said) == (call == "fcntl")


def test_a_second_transaction_that_fails_does_not_say_that_nothing_was_written(
    tmp_path, monkeypatch
):
    store = Store(str(tmp_path / "state"))
    with store.writing():
        pass
    (tmp_path / "state" / "state.sqlite3").unlink()

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StateError, match=f"; {outcome.EARLIER}$"), store.writing():
        pass
    with pytest.raises(StateError, match=f"; {outcome.NOTHING}$"), Store(store.folder).writing():
        pass


def test_nor_does_a_read_that_fails_after_it(tmp_path, monkeypatch):
    store = Store(str(tmp_path / "state"))
    with store.writing():
        pass

    def fail(*arguments):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Store, "check_version", fail)
    with pytest.raises(StateError, match=f"; {outcome.EARLIER}$"), store.reading():
        pass
