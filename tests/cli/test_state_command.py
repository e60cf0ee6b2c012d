"""state: damage is found and named, backups are whole, and what is old goes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from bhyvesim.host.host import Host
from bhyvesim.store.store import Store

OLD = Path(__file__).parents[1] / "store" / "state-0.1.sqlite3"


@pytest.fixture
def state(cli, config):
    """Two VMs, one with a past and one that panicked, a host, and a dump."""
    cli("create", "--config", config("testvm"), "--vm", "a")
    cli("reboot", "--vm", "a")
    cli("create", "--config", config("testvm-13932"), "--vm", "b")
    assert cli("reboot", "--vm", "b").status == 3
    cli("host", "set", "--memory", "64G", "--locked", "0")
    return Path(Store().path)


def execute(sql, *values):
    with closing(sqlite3.connect(Store().path)) as db:
        db.execute(sql, values)
        db.commit()


def everything(cli):
    return [cli("list", "--format=json").out, cli("crash", "list").out, cli("log", "--vm=a").out]


def test_a_whole_state(cli, state):
    status, out, err = cli("state", "check")
    assert (status, out) == (0, "")
    assert err.startswith("bhyvesim: no damage: looked at 2 VMs, ")
    assert "1 host and 1 crash dump\n" in err
    assert cli("--quiet", "state", "check") == (0, "", "")


def test_no_state_at_all(cli):
    assert cli("state", "check").err == "bhyvesim: no damage: looked at nothing\n"
    assert cli("state", "backup", "there").status == 1
    assert cli("state", "compact").status == 0
    assert not Path(Store().folder).exists()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("UPDATE vm SET seq = 77 WHERE name = 'a'", "a"),
        ("UPDATE vm SET life = 'x' WHERE name = 'a'", "a"),
        ("UPDATE vm SET name = x'00ff' WHERE name = 'a'", "a VM"),
        ("UPDATE moment SET state = 'off' WHERE life = 1 AND seq = 1", "moment 1 of a (life 1)"),
        ("DELETE FROM moment WHERE life = 1 AND seq = 1", "event 1 of a (life 1)"),
        ("UPDATE part SET body = x'00' WHERE id = 1", "part 1 of life 1"),
        ("UPDATE part SET since = 70 WHERE id = 1", "moment 2 of a (life 1)"),
        ("DELETE FROM part WHERE id = 1", "moment 2 of a (life 1)"),
        ("UPDATE event SET action = '{}' WHERE number = 1", "event 1 of a (life 1)"),
        ("UPDATE event SET digest = 'x' WHERE number = 1", "event 1 of b (life 2)"),
        ("UPDATE host SET body = replace(body, '6', '7')", "the host"),
        ("UPDATE crash SET record = x'00'", "crash dump 1"),
        ("UPDATE crash SET record = substr(record, 1, 300)", "crash dump 1"),
        ("UPDATE crash SET head = replace(head, '13932', '14042')", "crash dump 1"),
        ("UPDATE crash SET head = 'null'", "crash dump 1"),
        ("UPDATE crash SET time_ns = 'noon'", "crash dump 1"),
        ("DROP TABLE host", "the table host"),
        ("CREATE TRIGGER t AFTER INSERT ON vm BEGIN DELETE FROM vm; END", "the trigger t"),
    ],
)
def test_damage_is_found_and_named(cli, state, damage, what):
    execute(damage)
    status, out, err = cli("state", "check", "--format=json")
    assert status == 1, err
    assert what in [finding["what"] for finding in json.loads(out)["findings"]]
    assert " damaged: 'destroy --force'" in err
    assert cli("state", "check").out.startswith("DAMAGED  ")


def test_a_description_that_was_changed(cli, state):
    execute("UPDATE spec SET body = replace(body, '14042', '13896')")
    assert "the description " in cli("state", "check").out


@pytest.mark.parametrize("at", [0, 100, 4096, 3 * 4096 + 7])
def test_pages_that_were_overwritten(cli, state, at):
    with open(state, "r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * 2000)
    status, out, err = cli("state", "check")
    assert (status, out.partition("\n")[0].split()) == (1, ["DAMAGED", "PROBLEM"])
    assert "Traceback" not in err


def test_what_is_none_of_ours_is_no_damage(cli, state):
    state.unlink()
    with closing(sqlite3.connect(state)) as db:
        db.execute("CREATE TABLE diary (day)")
    for words in (("check",), ("backup", "x"), ("compact",)):
        status, out, err = cli("state", *words)
        assert (status, out, err.count("\n")) == (4, "", 1)
    assert not os.path.exists("x")


def test_an_old_state_is_checked_as_it_is(cli, tmp_path):
    folder = Path(Store().folder)
    folder.mkdir(mode=0o700)
    shutil.copy(OLD, folder / "state.sqlite3")
    before = (folder / "state.sqlite3").read_bytes()
    assert cli("state", "check").status == 0
    assert cli("state", "backup", tmp_path / "copy").status == 0
    assert (folder / "state.sqlite3").read_bytes() == before
    (folder / "state.sqlite3").unlink()
    assert cli("state", "restore", tmp_path / "copy").status == 0
    assert cli("state", "check").status == 0
    assert cli("list").out


LIFE = "(SELECT life FROM vm WHERE name = 'a')"
BROKEN = [
    "UPDATE moment SET sum = 1 WHERE life = {life}",
    "UPDATE moment SET maps = '7' WHERE life = {life}",
    "UPDATE vm SET life = 'x' WHERE name = 'a'",
    "UPDATE part SET body = x'00' WHERE life = {life}",
    "DELETE FROM part WHERE life = {life}",
    "UPDATE event SET sum = 1 WHERE life = {life}",
]


@pytest.mark.parametrize("damage", BROKEN)
@pytest.mark.parametrize("host", [True, False])
def test_a_damaged_vm_is_got_rid_of(cli, state, config, damage, host):
    if not host:
        cli("host", "forget")
    for words in (
        ("destroy", "--force", "--vm=a"),
        ("create", "--replace", "--vm=a", "--config", config("testvm")),
        ("--create", "--replace", "--vm=a", f"--config={config('testvm')}"),
    ):
        execute(damage.format(life=LIFE))
        dry = cli(*words, "--dry-run").status if words[0] != "--create" else 0
        assert dry == 0
        assert cli("state", "check").status == 1
        status, out, err = cli(*words)
        assert (status, out) == (0, ""), err
        lives_on = "event" in damage and words[1] == "--replace"
        assert cli("state", "check").status == lives_on  # in the past, as far as nobody looked
        assert cli("list").status == 0
        if words[1] == "--force":
            assert cli("create", "--vm=a", "--config", config("testvm")).status == 0
        execute("DELETE FROM event WHERE sum = 1")
        assert cli("reboot", "--vm=a").status == 0


def test_a_damaged_vm_that_is_replaced_is_said(cli, state, config):
    execute(BROKEN[0].format(life=LIFE))
    words = ("create", "--vm=a", "--config", config("testvm"))
    assert cli(*words).status == 4
    _, _, err = cli(*words, "--replace")
    assert err.startswith("bhyvesim: forgot the old a, which was damaged: a row is not as it was")


def test_a_vm_whose_name_is_lost_goes_with_all(cli, state):
    execute("UPDATE vm SET name = x'00ff' WHERE name = 'a'")
    execute("UPDATE vm SET name = CAST(x'ff62' AS TEXT) WHERE name = 'b'")
    status, _, err = cli("list")
    assert (status, "its name is" in err) == (4, True)
    assert cli("reboot", "--vm=a").status == 4
    assert cli("destroy", "--force", "--all").status == 0
    assert cli("list") == (0, "", "")
    assert cli("state", "check").status == 0


@pytest.mark.parametrize("path", ["", "nosuch/backup"])
def test_a_backup_that_cannot_be_there(cli, state, path):
    status, out, err = cli("state", "backup", path)
    said = f"{path or 'FILE'}: No such file or directory: expected a writable file"
    assert (status, out, err) == (2, "", f"bhyvesim: {said}\n")


def test_a_backup_is_restored_and_what_was_is_kept(cli, state, tmp_path):
    path = tmp_path / "backup"
    before = everything(cli)
    status, out, err = cli("state", "backup", path)
    assert (status, out) == (0, "")
    assert err.startswith(f"bhyvesim: backed up to {path}: ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    cli("destroy", "--all")
    after = everything(cli)
    assert after != before
    status, _, err = cli("state", "restore", path)
    assert (status, err.splitlines()[1]) == (
        0,
        f"bhyvesim: the state that was there is kept in {state}.before-restore",
    )
    assert everything(cli) == before
    assert cli("state", "restore", f"{state}.before-restore").status == 0
    assert everything(cli) == after
    names = ["state.sqlite3", "state.sqlite3.before-restore", "state.sqlite3.before-restore.2"]
    assert sorted(os.listdir(state.parent)) == names
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in state.parent.iterdir())


@pytest.mark.parametrize("at", [0, 4096])
def test_a_backup_is_restored_over_a_broken_file(cli, state, tmp_path, at):
    before = everything(cli)
    assert cli("state", "backup", tmp_path / "backup").status == 0
    with open(state, "r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * 9000)
    broken = state.read_bytes()
    assert cli("state", "backup", tmp_path / "other").status == 4
    assert not (tmp_path / "other").exists()
    assert cli("state", "restore", tmp_path / "backup").status == 0
    assert everything(cli) == before
    assert cli("state", "check").status == 0
    kept = Path(f"{state}.before-restore").read_bytes()
    assert kept == broken or at > 0


def _text(path):
    path.write_text("a letter")


def _empty(path):
    path.touch()


def _folder(path):
    path.mkdir()


def _pipe(path):
    os.mkfifo(path)


def _nothing(path):
    pass


def _diary(path):
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE diary (day)")


def _newer(path):
    shutil.copy(Store().path, path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


def _damaged(path):
    shutil.copy(Store().path, path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE moment SET sum = 1")
        db.commit()


def _trigger(path):
    shutil.copy(Store().path, path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TRIGGER t AFTER INSERT ON vm BEGIN DELETE FROM vm; END")


@pytest.mark.parametrize(
    "make",
    [_text, _empty, _folder, _pipe, _nothing, _diary, _newer, _damaged, _trigger],
)
def test_what_is_no_backup_is_refused(cli, state, tmp_path, make):
    path = tmp_path / "file"
    make(path)
    before = state.read_bytes()
    status, out, err = cli("state", "restore", path)
    assert (status in (2, 4), out, err.count("\n")) == (True, "", 1), err
    assert str(path) in err
    assert state.read_bytes() == before
    assert os.listdir(state.parent) == ["state.sqlite3"]
    if make in (_text, _folder, _pipe, _diary):
        status, out, err = cli("state", "backup", path)
        assert (status in (2, 4), out, err.count("\n")) == (True, "", 1), err
    assert cli("state", "backup", state).status == 2


def test_compact_removes_what_is_old_and_nothing_else(cli, state, monkeypatch):
    day = 86_400
    now = 1630143825
    cli("reboot", "--vm=a")
    cli("create", "--config", "configs/testvm.yaml", "--vm=c")
    cli("destroy", "--vm=c")
    for _ in range(3):
        cli("create", "--config", "configs/testvm-13932.yaml", "--vm=d", "--replace")
        cli("reboot", "--vm=d")
    assert len(cli("crash", "list").out.splitlines()) == 5
    shown = cli("list").out
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(now + 20 * day))
    cli("reboot", "--vm=a")
    assert "removed 0 dumps and 0 events" in cli("state", "compact").err
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(now + 31 * day))
    before = state.read_bytes()
    dry = json.loads(cli("state", "compact", "--dry-run", "--format=json").out)
    assert state.read_bytes() == before
    machine = Host(Store(), lambda: 0).machine("a").dump()
    freed = json.loads(cli("state", "compact", "--format=json").out)
    assert (freed["dumps"], freed["events"]) == (dry["dumps"], dry["events"])
    assert freed["dumps"] == 2  # those that no VM ended with
    assert freed["bytes_after"] == state.stat().st_size < freed["bytes_before"]
    assert cli("list").out.split() == shown.split() or "a" in shown
    assert Host(Store(), lambda: 0).machine("a").dump() == machine
    assert len(cli("log", "--vm=a").out.splitlines()) == 2  # the head, and the touch
    assert cli("log", "--vm=c").status == 1  # all of whose life was long ago
    assert cli("crash", "show").status == 0
    assert cli("state", "check").status == 0
    assert cli("undo", "--vm=a").status == 0
    assert cli("reboot", "--vm=a").status == 0


def test_compact_refuses_a_damaged_state(cli, state):
    execute(BROKEN[0].format(life=LIFE))
    before = state.read_bytes()
    assert cli("state", "compact", "--older-than", "0").status == 4
    assert state.read_bytes() == before


def test_a_list_of_dumps_reads_none(cli, state, monkeypatch):
    def fail(*arguments):
        raise AssertionError("a dump was read")

    monkeypatch.setattr("bhyvesim.crash.codec.decode", fail)
    monkeypatch.setattr("bhyvesim.store.dumps.decode", fail)
    assert cli("crash", "list").out.splitlines()[1].split()[0] == "1"
    assert cli("list").status == 0
