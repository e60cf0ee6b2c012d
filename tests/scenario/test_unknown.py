"""What the model does not know is said to be unknown: neither safe, nor failed, nor refused."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

VM = """\
name: far
segments: [{id: 0, size: 256T}]
mappings: [{gpa: 32T, segment: 0, len: 240T, prot: rwx}]
"""
WHY = (
    "[0x200000000000, 0x1100000000000) reaches 0x1000000000000: 13932 takes that, and what it "
    "makes of it is not modelled"
)


@pytest.fixture
def far(vm_file):
    """A VM of which two kernels make what is not modelled, and the others nothing: EFAULT."""
    return vm_file(VM, "far.yaml")


@pytest.fixture
def scenario(far, vm_file):
    text = "title: t\nvm: far.yaml\nmatrix: {gpt: [13932, 13896], debug: [true]}\nsteps: [create]\n"
    return vm_file(text, "case.yaml")


def test_a_matrix_says_what_is_unknown_and_goes_on(cli, far):
    status, out, _ = cli("matrix", far, "--gpt", "13932", "--gpt", "13896", "--debug")
    _, first, second, *notes = out.splitlines()
    assert first.split() == ["13932", "DEBUG", "unknown", "unknown", "at", "create"]
    assert second.split() == ["13896", "DEBUG", "NOT", "SAFE", "refused", "EFAULT", "at", "create"]
    assert f"{WHY}." in notes
    assert status == 0
    assert cli("matrix", far, "--gpt", "13932", "--fail-on-unsafe").status == 1


def test_a_fleet_names_the_vm_of_which_something_is_unknown(cli, far, config):
    argv = ("matrix", far, config("testvm"), "--gpt", "13932", "--debug")
    record = json.loads(cli(*argv, "--format", "json").out)
    assert [vm["verdict"] for vm in record["vms"]] == ["unknown", "NOT SAFE"]
    assert record["vms"][0]["kernels"][0]["outcome"] == "unknown at create"
    assert record["vms"][0]["kernels"][0]["safe"] is False
    assert f"{far}: {WHY}." in record["notes"]


def test_a_rollout_from_what_is_unknown_is_no_change_that_is_known(cli, far):
    out = cli("matrix", far, "--from", "13932", "--to", "13896", "--format", "json").out
    assert json.loads(out)["vms"][0]["change"] == "unknown"


def test_a_cell_of_which_nothing_is_known_neither_passes_nor_fails(cli, scenario, tmp_path):
    junit = tmp_path / "junit.xml"
    status, out, err = cli("run", scenario, "--junit", junit)
    assert status == 2
    assert err.endswith("2 cells, 1 failed, 1 not known\n")
    assert "ERROR t [gpt=13932,debug=true]" in out
    assert WHY in out
    suite = ElementTree.parse(junit).getroot()[0]
    assert (suite.get("failures"), suite.get("errors")) == ("1", "1")
    assert [e.get("type") for e in suite.iter("error")] == ["unknown"]
    record = json.loads(cli("run", scenario, "--format", "json").out)
    assert (record["failed"], record["overdue"], record["unknown"]) == (1, 0, 1)
    assert [cell["unknown"] for cell in record["scenarios"][0]["cells"]] == [True, False]


def test_a_bisection_names_the_oldest_that_is_known(cli, scenario):
    status, out, _ = cli("bisect", scenario, "--jobs", "1")
    assert status == 1
    assert "in 13896, the oldest that is known (refused EFAULT at create)" in out
    row = next(line for line in out.splitlines() if line.startswith("DEBUG "))
    assert row.split()[1:4] == ["unknown", "unknown", "refused"]
    assert "unknown: what it makes of this scenario is not modelled" in out


def test_a_bisection_in_which_none_is_known_to_fail(cli, scenario):
    path = Path(scenario)
    path.write_text(path.read_text().replace("[create]", "[{create: , expect: {errno: EFAULT}}]"))
    status, out, _ = cli("bisect", scenario, "--jobs", "1")
    assert (status, "no revision is known to fail" in out) == (2, True)


LOST = """\
title: t
vm:
  name: x
  segments: [{id: 0, size: 8G}, {id: 1, size: 2M, name: bootrom}, {id: 2, size: 256T, name: fb}]
  mappings:
    - {gpa: 0, segment: 0, len: 3G, prot: rwx}
    - {gpa: 0xffe00000, segment: 1, len: 2M, prot: r-x}
    - {gpa: 4G, segment: 0, offset: 3G, len: 5G, prot: rwx}
  touch: all
matrix: {gpt: [13932], debug: [false]}
steps:
  - create
  - {reboot: , expect: {lost: any}}
  - map: {gpa: 32T, segment: 2, len: 240T, prot: rwx}
"""


def test_what_went_before_is_told_first(cli, vm_file):
    """Pages that were lost are worse than what comes after is unknown."""
    record = json.loads(cli("run", vm_file(LOST, "lost.yaml"), "--format", "json").out)
    cell = record["scenarios"][0]["cells"][0]
    assert (cell["unknown"], cell["outcome"]) == (True, "lost pages at reboot")


def test_a_check_calls_it_neither_safe_nor_refused(cli, far):
    status, out, _ = cli("check", far)
    line = next(line for line in out.splitlines() if "BV104" in line)
    assert "(EFAULT); what 13932 and 14042 make of it is not modelled" in line
    assert line.endswith("[endangers 13932, 14042, 13896, 14367, 15844, 2025]")
    assert status == 1
