"""State files of version 0.1: they open, and are brought up to date at the first write."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

OLD = Path(__file__).with_name("state-0.1.sqlite3")


@pytest.fixture
def state(tmp_path):
    """A state folder of 0.1: a running VM, a panicked one, one powered off, one on Intel."""
    (tmp_path / "state").mkdir()
    return Path(shutil.copy(OLD, tmp_path / "state" / "state.sqlite3"))


def version(path):
    db = sqlite3.connect(path)
    try:
        return db.execute("PRAGMA user_version").fetchone()[0]
    finally:
        db.close()


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
    assert version(state) == 2
    assert cli("list").out.count("\n") == 5


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
