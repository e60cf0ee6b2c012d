"""Dry runs, a starter file, revisions on the command line."""

from __future__ import annotations

import json


def test_dry_runs_store_nothing(cli, config, tmp_path):
    path = config("testvm")
    status, _, err = cli("create", "--config", path, "--dry-run")
    assert (status, err.startswith("bhyvesim: dry run: would create testvm")) == (0, True)
    assert not (tmp_path / "state").exists()
    cli("create", "--config", config("testvm-13932"))
    before = cli("list", "--format=json").out
    status, _, err = cli("reboot", "--dry-run")
    assert status == 3
    assert err.endswith("dry run: testvm would panic during reboot; nothing was stored\n")
    assert cli("destroy", "--dry-run").status == 3
    assert cli("create", "--config", path, "--dry-run").status == 1
    assert cli("list", "--format=json").out == before
    assert cli("crash", "list").out == ""
    cli("create", "--config", path, "--vm", "other")
    assert cli("destroy", "--vm", "other", "--dry-run").status == 0
    assert "other" in cli("list").out


def test_a_starter_file_makes_a_vm(cli, tmp_path):
    path = tmp_path / "vm.yaml"
    assert cli("config", "init", path).status == 0
    assert path.read_text() == cli("config", "init").out
    assert cli("create", "--config", path).status == 0
    before = path.read_text()
    status, _, err = cli("config", "init", path)
    assert (status, "exists already" in err) == (2, True)
    assert path.read_text() == before
    assert cli("config", "init", "/nonexistent/vm.yaml").status == 2


def test_a_revision_on_the_command_line(cli, config):
    cli("create", "--config", config("testvm"), "--gpt", "13932")
    assert json.loads(cli("list", "--format=json").out)["vms"][0]["gpt"] == "13932"
    assert cli("create", "--config", config("testvm"), "--gpt", "1").status == 2
