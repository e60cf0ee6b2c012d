"""State files of version 0.1: they open, and are brought up to date at the first write."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from bhyvesim.store.dumps import read_crash
from bhyvesim.store.migrations import MIGRATIONS
from bhyvesim.store.schema import OLDEST_VERSION, VERSION
from bhyvesim.store.store import Store

OLD = Path(__file__).with_name("state-0.1.sqlite3")


@pytest.fixture
def state(tmp_path):
    """A state folder of 0.1: a running VM, a panicked one, one powered off, one on Intel."""
    (tmp_path / "state").mkdir()
    return Path(shutil.copy(OLD, tmp_path / "state" / "state.sqlite3"))


def version(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def test_what_0_1_stored_is_all_there(state, cli):
    vms = json.loads(cli("list", "--format", "json").out)["vms"]
    assert [(vm["name"], vm["state"], vm["gpt"]) for vm in vms] == [
        ("doomed", "panicked", "13932"),
        ("pieces", "running", "14367"),
        ("resting", "off", "2025"),
        ("testvm", "running", "14042"),
    ]
    assert "vmm_gpt_vacate_entry" in cli("explain").out
    assert json.loads(cli("crash", "show", "--format", "json").out)["locks"] == []
    assert version(state) == 1  # looking changes nothing


def test_the_first_write_brings_it_up_to_date(state, cli):
    assert cli("--vm=testvm", "reboot").status == 0
    assert version(state) == VERSION
    assert cli("list").out.count("\n") == 5
    kept = state.with_name("state.sqlite3.v1")
    assert version(kept) == 1
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    with closing(sqlite3.connect(kept)) as db, closing(sqlite3.connect(OLD)) as old:
        for table in ("vm", "crash"):
            query = f"SELECT * FROM {table} ORDER BY 1"
            assert db.execute(query).fetchall() == old.execute(query).fetchall()


def test_a_dump_of_0_1_becomes_a_machine(state, cli):
    before = json.loads(cli("crash", "show", "--format", "json").out)
    assert cli("--vm=testvm", "destroy").status == 0
    assert json.loads(cli("crash", "show", "--format", "json").out) == before
    with Store().reading() as transaction:
        assert isinstance(transaction.crash_record(1), bytes)
        dump = read_crash(transaction, transaction.crash(1))
    with closing(sqlite3.connect(OLD)) as old:
        (text,) = old.execute("SELECT record FROM crash").fetchone()
    assert dump.machine().dump() == json.loads(text)["dump"]


def test_a_dry_run_migrates_nothing(state, cli):
    assert cli("--vm=testvm", "destroy", "--dry-run").status == 0
    assert version(state) == 1
    assert [path.name for path in state.parent.iterdir()] == ["state.sqlite3"]


def test_migrations_are_ordered_and_named():
    assert [migration.to for migration in MIGRATIONS] == list(
        range(OLDEST_VERSION + 1, VERSION + 1)
    )
    assert len({migration.name for migration in MIGRATIONS}) == len(MIGRATIONS)


@pytest.mark.usefixtures("state")
def test_intel_vms_of_0_1_have_no_apic_page(cli):
    for name in ("resting", "pieces"):
        assert cli(f"--vm={name}", "touch", "--gpa", "0xfee00000").status == 1
        assert cli(f"--vm={name}", "reboot").status == 0
    assert cli("--vm=resting", "touch", "--gpa", "4G").status == 0


@pytest.mark.usefixtures("state")
def test_a_vm_of_0_1_can_hang(cli):
    assert cli("--vm=pieces", "hold", "--gpa", "1M").status == 0
    assert cli("--vm=pieces", "destroy").status == 3
    assert json.loads(cli("list", "--format", "json").out)["vms"][1]["state"] == "hung"


@pytest.mark.usefixtures("state")
def test_all_of_it_can_be_destroyed(cli):
    status, _, err = cli("destroy", "--all")
    assert (status, err.count("destroyed")) == (0, 4)


def test_a_vm_of_0_1_that_makes_no_sense_goes_along_and_is_refused_alone(state, cli):
    with closing(sqlite3.connect(state)) as db:
        db.execute("UPDATE vm SET tables = '{\"x\": [' WHERE name = 'pieces'")
        db.commit()
    assert cli("--vm=testvm", "reboot").status == 0
    assert version(state) == VERSION
    status, out, err = cli("--vm=pieces", "--get-stats")
    assert (status, out, err.count("\n")) == (4, "", 1)
    assert "the state of pieces is damaged" in err
    assert cli("--vm=resting", "--get-stats").status == 0
    assert cli("--vm=pieces", "destroy", "--force").status == 0
