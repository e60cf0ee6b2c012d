"""bhyvesim run --list and --last-failed."""

from __future__ import annotations

import pytest

SCENARIO = """\
title: lost or not
vm: {name: x, memory: 16M}
matrix: {gpt: ["13932", "14042"], debug: [false]}
steps:
  - create
  - touch: {gpa: 0, len: 4K, access: r}
    expect:
      - when: {gpt: "13932"}
        errno: EINVAL
      - mapped: 0
  - destroy
"""
FAILING, FINE = "[gpt=13932,debug=false]", "[gpt=14042,debug=false]"


def test_cells_are_named_and_not_run(cli, vm_file, tmp_path):
    path = vm_file(SCENARIO, "s.yaml")
    status, out, err = cli("run", path, "--list")
    assert (status, err) == (0, "")
    assert out.splitlines() == [f"{path} lost or not {cell}" for cell in (FAILING, FINE)]
    assert cli("run", path, "--list", "-k", "14042").out.splitlines() == out.splitlines()[1:]
    assert not (tmp_path / "state").exists()


def test_what_failed_is_remembered(cli, vm_file, tmp_path, monkeypatch):
    path = vm_file(SCENARIO, "s.yaml")
    status, _, err = cli("run", "--last-failed")
    assert (status, "no failure is remembered" in err) == (2, True)
    status, _, err = cli("run", path, "--last-failed")
    assert (status, "none of these cells is remembered as failed" in err) == (2, True)
    status, _, err = cli("run", path)
    assert (status, "2 cells, 1 failed" in err) == (1, True)
    monkeypatch.chdir(tmp_path)
    for argv in (("--last-failed",), ("s.yaml", "--last-failed")):
        status, _, err = cli("run", *argv)
        assert (status, "1 cells, 1 failed" in err) == (1, True)
    assert cli("run", "--last-failed", "--list").out.splitlines() == [
        f"{path} lost or not {FAILING}"
    ]
    vm_file(SCENARIO.replace("errno: EINVAL", "mapped: 0"), "s.yaml")
    assert cli("run", "--last-failed").status == 0
    status, _, err = cli("run", "--last-failed")
    assert (status, "no failure is remembered" in err) == (2, True)


@pytest.mark.parametrize("text", [b"\xff", b"[1]\n", b"{}\n", b"nonsense", b"[[], 1, 2]\n"])
def test_a_memory_that_cannot_be_read_is_none(cli, vm_file, tmp_path, text):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "last-failed.jsonl").write_bytes(text)
    assert cli("run", "--last-failed").status == 2
    assert cli("run", vm_file(SCENARIO, "s.yaml")).status == 1
    assert cli("run", "--last-failed").status == 1


def test_a_state_that_cannot_be_written_changes_no_result(cli, vm_file, tmp_path):
    (tmp_path / "state").write_text("not a folder")
    status, _, err = cli("run", vm_file(SCENARIO, "s.yaml"), "-v")
    assert (status, "what failed is not remembered" in err) == (1, True)


def test_scenarios_must_be_named(cli):
    status, _, err = cli("run")
    assert (status, "missing FILES-OR-FOLDERS" in err) == (2, True)
