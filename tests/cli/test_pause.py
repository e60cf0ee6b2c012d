"""pause and resume of stored VMs, in both manners, and how VM_RUN comes back."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def vm(cli, vm_file):
    cli("create", "--config", vm_file("name: p\nmemory: 8M\nkernel: {gpt: 2025}\n"))


@pytest.mark.usefixtures("vm")
@pytest.mark.parametrize("manner", [("pause", "resume"), ("--pause", "--resume")])
def test_pause_and_resume(cli, manner):
    pause, resume = manner
    done = cli("--vm=p", pause)
    assert (done.status, done.err) == (0, "bhyvesim: paused p\n")
    assert json.loads(cli("list", "--format", "json").out)["vms"][0]["state"] == "paused"
    again = cli("--vm=p", pause)
    assert again.status == 1
    assert "EALREADY" in again.err
    assert cli("--vm=p", resume).err == "bhyvesim: resumed p\n"
    assert cli("--vm=p", resume).status == 1


@pytest.mark.usefixtures("vm")
@pytest.mark.parametrize(
    "ask", [["touch", "--gpa", "0"], ["reboot"], ["--force-poweroff"], ["migrate", "--to", "q"]]
)
def test_what_needs_the_guest_is_busy_and_changes_nothing(cli, ask):
    cli("pause", "--vm", "p")
    before = cli("log", "--vm", "p", "--format", "json").out
    refused = cli("--vm=p", *ask)
    assert refused.status == 1
    assert "EBUSY" in refused.err
    assert cli("log", "--vm", "p", "--format", "json").out == before
    assert cli("touch", "--vm", "p", "--gpa", "0", "--by", "device").status == 0
    assert cli("destroy", "--vm", "p").status == 0


@pytest.mark.usefixtures("vm")
def test_one_that_is_powered_off_has_no_guest_to_pause(cli):
    cli("--vm=p", "--force-poweroff")
    refused = cli("pause", "--vm", "p")
    assert refused.status == 1
    assert "EBUSY" in refused.err


def test_older_kernels_cannot(cli, vm_file):
    cli("create", "--config", vm_file("name: old\nmemory: 8M\nkernel: {gpt: 14367}\n"))
    refused = cli("pause")
    assert refused.status == 1
    assert "ENOTTY" in refused.err


@pytest.mark.usefixtures("vm")
def test_a_dry_run_pauses_nothing(cli):
    cli("pause", "--dry-run")
    assert cli("resume").status == 1


@pytest.mark.usefixtures("vm")
def test_the_past_knows_it(cli):
    cli("pause")
    cli("resume")
    events = json.loads(cli("log", "--format", "json").out)["events"]
    assert [event["action"]["action"] for event in events] == ["create", "pause", "resume"]
    cli("undo")
    assert cli("resume").status == 0


@pytest.mark.usefixtures("vm")
@pytest.mark.parametrize("other", ["--resume", "--force-reset", "--destroy"])
def test_an_order_that_is_not_known_is_refused(cli, other):
    refused = cli("--vm=p", "--pause", other)
    assert refused.status == 2
    assert refused.err.count("\n") == 1


@pytest.mark.usefixtures("vm")
def test_bhyvectls_abbreviations_of_2023(cli):
    assert cli("--vm=p", "--pa").status == 0
    assert cli("--vm=p", "--resu").status == 0
    assert "ambiguous" in cli("--vm=p", "--p").err


def test_touch_says_how_vm_run_comes_back(cli, vm_file):
    for gpt, sees in (("14367", "EFAULT"), ("15844", "paging")):
        cli(
            "create",
            "--replace",
            "--config",
            vm_file(f"name: r\nmemory: 8M\nkernel: {{gpt: {gpt}}}\n"),
        )
        touched = cli("touch", "--gpa", "0xffe00000", "--access", "w", "--format", "json")
        assert touched.status == 1
        assert json.loads(touched.out)["vm_run"] == sees
        hole = cli("touch", "--gpa", "0x40000000", "--format", "json")
        assert json.loads(hole.out)["vm_run"] == "mmio"
        fine = cli("touch", "--gpa", "0", "--format", "json")
        assert json.loads(fine.out)["vm_run"] is None


def test_steps_and_their_expectations(cli, vm_file):
    scenario = vm_file(
        """\
title: pausing
vm: {name: p, memory: 8M, touch: none}
matrix: {gpt: [14367, 15844, 2025]}
steps:
  - create
  - pause:
    expect:
      - {when: {gpt: 14367}, errno: ENOTTY}
      - ok
  - touch: {gpa: 0, len: 4K, access: r}
    expect:
      - {when: {gpt: 14367}, pages: 1}
      - EBUSY
  - resume:
    expect:
      - {when: {gpt: 14367}, errno: ENOTTY}
      - ok
  - touch: {gpa: 0xffe00000, len: 4K, access: w}
    expect:
      - {when: {gpt: 14367}, fault: FC_PROT, vm_run: EFAULT}
      - {fault: FC_PROT, vm_run: paging}
  - destroy
"""
    )
    assert cli("run", scenario, "--jobs", "1").status == 0
    wrong = vm_file(
        "title: t\nvm: {name: p, memory: 8M}\nmatrix: {gpt: [2025]}\nsteps:\n  - create\n"
        "  - touch: {gpa: 0xffe00000, len: 4K, access: w}\n"
        "    expect: {fault: FC_PROT, vm_run: EFAULT}\n"
    )
    failed = cli("run", wrong, "--jobs", "1")
    assert failed.status == 1
    assert "vm_run: paging" in failed.out
