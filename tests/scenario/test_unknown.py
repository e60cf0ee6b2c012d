"""What the model does not know is said to be unknown: neither safe, nor failed, nor refused."""

from __future__ import annotations

import json
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


def test_a_bisection_that_meets_it_says_where(cli, scenario):
    status, out, err = cli("bisect", scenario, "--jobs", "1")
    assert (status, out) == (2, "")
    assert err.startswith(f"bhyvesim: {scenario} t [gpt=13932,debug=true]: {WHY}: expected ")
