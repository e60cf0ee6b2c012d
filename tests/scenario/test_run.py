"""bhyvesim run: the kernel's own cases, failures, selection, JUnit, annotations."""

from __future__ import annotations

import json
import multiprocessing
import os
import shlex
import signal
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

import pytest
import xmlschema

from bhyvesim.cli import run as command_line
from bhyvesim.cli.files import read_bytes
from bhyvesim.config.scenario.sources import Sources
from bhyvesim.scenario.many import run_cells
from bhyvesim.workers import WorkerDied, local
from tests.conftest import ROOT

CASES = str(ROOT / "examples" / "bhyve-tests")
ONE = str(ROOT / "examples" / "bhyve-tests" / "e-dirty-tracking.yaml")
LIFE = """\
title: a life
vm: {name: t, memory: 8G}
matrix: {gpt: all, debug: [true, false]}
steps:
  - create
  - reboot:
    expect: EXPECTED
  - destroy
"""
RIGHT = LIFE.replace(
    "EXPECTED", '[{when: {gpt: "13932", debug: true}, panic: A}, {when: {gpt: "13932"}, lost: 512}]'
)
WRONG = LIFE.replace("EXPECTED", "{lost: 0}")


@pytest.fixture
def results(cli):
    def run(*argv):
        return json.loads(cli("run", *argv, "--format", "json").out)

    return run


def test_the_kernels_own_cases(cli, golden):
    status, out, err = cli("run", CASES)
    assert (status, err) == (0, "bhyvesim: 104 cells, 0 failed\n")
    golden("bhyve-tests.txt", out.replace(f"{ROOT}/", ""))


def test_what_does_not_come_as_expected(cli, vm_file):
    path = vm_file(WRONG, "wrong.yaml")
    status, out, err = cli("run", path)
    assert (status, err) == (1, "bhyvesim: 12 cells, 2 failed\n")
    assert "FAIL: panic A at reboot" in out
    assert (
        "FAIL a life [gpt=13932,debug=false]\n"
        "  step      reboot\n"
        f"  at        {path}:6:5\n"
        "  expected  lost: 0\n"
        "  got       lost: 512\n"
        f"  again     bhyvesim run {path} -k '[gpt=13932,debug=false]'\n"
    ) in out


def test_the_command_that_reproduces_a_failure_does(cli, vm_file, results):
    path = vm_file(WRONG, "wrong.yaml")
    for cell in results(path)["scenarios"][0]["cells"]:
        if not cell["passed"]:
            words = shlex.split(cell["failure"]["reproduce"])
            assert words[0] == "bhyvesim"
            status, _, err = cli(*words[1:])
            assert (status, err) == (1, "bhyvesim: 1 cells, 1 failed\n")


def test_an_unexpected_panic_ends_the_cell_where_it_came(vm_file, results):
    cells = results(vm_file(WRONG))["scenarios"][0]["cells"]
    failure = cells[0]["failure"]
    assert failure["step"] == "reboot"
    assert failure["expected"] == "ok"
    assert failure["got"].startswith("panic in vmm_gpt_vacate_entry: assertion failed: ptes[i]")


def test_processes_and_one_process_agree(vm_file, results):
    def outcomes(jobs):
        run = results(ONE, vm_file(WRONG), "--jobs", jobs)
        for scenario in run["scenarios"]:
            for cell in scenario["cells"]:
                del cell["seconds"]
        return run

    assert outcomes(1) == outcomes(3)
    assert multiprocessing.active_children() == []


def test_leaving_early_leaves_no_process(vm_file):
    scenario = Sources(read_bytes).load(vm_file(RIGHT))
    with local(2) as workers:
        running = run_cells([scenario], [(0, i) for i in range(12)], workers)
        assert next(running).passed
        assert multiprocessing.active_children()
        running.close()
    assert multiprocessing.active_children() == []


def test_leaving_early_ends_what_is_under_way():
    """A task that never ends of itself is not waited for."""
    end, begin = os.pipe()
    try:
        with local(2) as workers:
            running = workers.spread(partial(_first_or_never, end), range(3))
            assert next(running) == 0
            there = multiprocessing.active_children()
            running.close()
            assert len(there) == 2
            for worker in there:
                assert wait([worker.sentinel], 10)  # it is gone
    finally:
        os.close(begin)
        os.close(end)


def _first_or_never(pipe, number):
    if number:
        os.read(pipe, 1)
    return number


def test_workers_leave_interrupts_to_the_parent(vm_file):
    scenario = Sources(read_bytes).load(vm_file(RIGHT))
    with local(2) as workers:
        running = run_cells([scenario], [(0, i) for i in range(12)], workers)
        results = [next(running)]
        for worker in multiprocessing.active_children():
            os.kill(worker.pid, signal.SIGINT)
        results += running
    assert len(results) == 12


def test_a_killed_worker_is_said_and_leaves_nothing(vm_file):
    scenario = Sources(read_bytes).load(vm_file(RIGHT))
    with local(2) as workers:
        running = run_cells([scenario], [(0, i % 12) for i in range(5000)], workers)
        next(running)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            list(running)
    assert multiprocessing.active_children() == []


def test_interrupted_reports_what_finished(cli, vm_file, monkeypatch):
    import bhyvesim.cli.commands.scenarios as module

    def interrupted(scenarios, selected, workers, run):
        yield from run_cells(scenarios, selected[:3], workers, run)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_cells", interrupted)
    status, out, err = cli("run", vm_file(RIGHT), "--jobs", "2")
    assert status == 130
    assert "panic A at reboot" in out
    assert "3 cells, 0 failed, 9 not run" in err
    assert multiprocessing.active_children() == []


def test_selection_and_fail_fast(results, vm_file):
    path = vm_file(WRONG)
    assert results(path, "-k", "gpt=2025")["cells"] == 2
    assert results(path, "-k", "A LIFE")["cells"] == 12
    assert results(path, "--fail-fast", "--jobs", "1")["cells"] == 1


def test_junit_is_valid(cli, vm_file, tmp_path):
    schema = xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))
    out = tmp_path / "junit.xml"
    assert cli("run", ONE, vm_file(WRONG), "--junit", out).status == 1
    schema.validate(str(out))
    suites = schema.to_dict(str(out))["testsuite"]
    assert [suite["@tests"] for suite in suites] == [8, 12]
    assert [suite["@failures"] for suite in suites] == [0, 2]
    assert suites[0]["@timestamp"] == "2021-08-28T09:43:45"
    messages = [case["failure"]["@message"] for case in suites[-1]["testcase"] if "failure" in case]
    assert messages[1] == "expected lost: 0, got lost: 512"


def test_junit_of_odd_titles(cli, vm_file, tmp_path):
    out = tmp_path / "junit.xml"
    odd = RIGHT.replace("a life", '"a <life> & \\x1b[1m \\"x\\""')
    assert cli("run", vm_file(odd), "--junit", out).status == 0
    xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd")).validate(str(out))


def test_github_annotations(cli, vm_file, monkeypatch):
    path = vm_file(WRONG, "a,b.yaml")
    assert "::error" not in cli("run", path).out
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    annotations = [line for line in cli("run", path).out.splitlines() if line.startswith("::")]
    file = path.replace(",", "%2C")
    assert annotations[-1] == (
        f"::error file={file},line=6,col=5,title=a life [gpt=13932%2Cdebug=false]"
        "::reboot: expected lost: 0, got lost: 512"
    )


def test_matrix_says_where_a_vm_is_safe(cli, config):
    status, out, _ = cli("matrix", config("testvm"), "--format", "json")
    assert status == 0
    kernels = json.loads(out)["kernels"]
    unsafe = {(k["gpt"], k["debug"]): k["outcome"] for k in kernels if not k["safe"]}
    assert unsafe == {
        ("13932", True): "panic A at reboot",
        ("13932", False): "lost pages at reboot",
    }
    assert {k["drift"] for k in kernels if k["safe"]} == {0, 1536}
    assert cli("matrix", config("testvm"), "--fail-on-unsafe").status == 1


def test_matrix_of_a_large_vm(cli, vm_file):
    path = vm_file("name: large\nmemory: 1T\n")
    kernels = json.loads(cli("matrix", path, "--format", "json").out)["kernels"]
    assert {k["outcome"] for k in kernels if k["gpt"] == "15844"} == {"panic C at create"}
    _, out, _ = cli("matrix", path)
    assert "15844 DEBUG       NOT SAFE  panic C at create" in out


def test_matrix_of_a_vm_that_no_kernel_takes(cli, vm_file):
    path = vm_file("name: huge\nmemory: 65T\n")
    kernels = json.loads(cli("matrix", path, "--format", "json").out)["kernels"]
    outcomes = {k["gpt"]: k["outcome"] for k in kernels if k["debug"]}
    assert outcomes["2025"] == "refused EFAULT at create"
    assert outcomes["14042"] == "ok"


def test_a_guest_that_touches_a_hole_is_no_danger(cli, vm_file):
    path = vm_file("name: h\nmemory: 1G\ntouch: [{gpa: 2G, len: 4K, access: r}]\n")
    kernels = json.loads(cli("matrix", path, "--format", "json").out)["kernels"]
    assert all(kernel["safe"] for kernel in kernels if kernel["gpt"] != "13932")


def test_an_interrupt_from_the_keyboard(monkeypatch, capsys):
    import bhyvesim.cli.root as root

    monkeypatch.setattr(
        root, "main", lambda argv, session: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    assert command_line(["list"]) == 130
    assert capsys.readouterr().err == "bhyvesim: interrupted\n"
