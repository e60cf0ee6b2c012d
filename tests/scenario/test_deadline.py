"""Cells that do not end, on a kernel that loops without ever having been told to hang."""

from __future__ import annotations

import json
import signal
import threading
from contextlib import contextmanager

import pytest
import xmlschema

from bhyvesim.cli.commands import matrix
from bhyvesim.config.scenario.sources import Sources
from bhyvesim.errors import UsageError
from bhyvesim.scenario import bisect
from bhyvesim.scenario.deadline import TimeOver, deadline
from bhyvesim.scenario.model import CellResult, Failure
from tests.bounded import bounded

ENDLESS = """
from dataclasses import replace
from bhyvesim.kernel.revisions.current_2025 import REVISION as NEWEST, CurrentGpt

class Endless(CurrentGpt):
    def vacate_region(self, *arguments):
        while True:
            try:
                pass
            except Exception:
                pass

REVISION = replace(NEWEST, name="endless", date="2026", summary="never done", engine=Endless)
"""
SCENARIO = """\
title: t
vm: {name: x, memory: 8G, bootrom: 2M}
matrix: {gpt: [14042, endless], debug: [true]}
steps:
  - create
  - touch: {gpa: 0, len: 4K, access: r}
  - reboot
  - reboot:
    expect: {lost: 1}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "endless.py").write_text(ENDLESS, encoding="utf-8")
    (tmp_path / "a.yaml").write_text(SCENARIO, encoding="utf-8")
    return tmp_path


def run(folder, *more):
    options = ("--revision-file", "endless.py", "--timeout", "2", *more)
    return bounded("run", "a.yaml", *options, folder=folder)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_cell_without_an_end_is_an_error_of_its_own(folder, jobs):
    ended = run(folder, "--jobs", jobs, "--junit", "junit.xml")
    assert ended.status == 2
    assert ended.err == "bhyvesim: 2 cells, 1 failed, 1 did not end\n"
    assert "DEBUG  FAIL: ok  ERROR: no end at reboot\n" in ended.out
    assert (
        "ERROR t [gpt=endless,debug=true]\n  step      reboot\n  at        a.yaml:7:5\n"
        "  expected  an end of the cell within 2 s\n  got       none\n" in ended.out
    )
    schema = xmlschema.XMLSchema(str(__file__).replace("test_deadline.py", "junit.xsd"))
    schema.validate(str(folder / "junit.xml"))
    text = (folder / "junit.xml").read_text(encoding="utf-8")
    assert 'failures="1" errors="1"' in text
    assert '<error type="timeout"' in text


def test_it_is_one_in_json(folder):
    record = json.loads(run(folder, "--format", "json").out)
    assert (record["cells"], record["failed"], record["overdue"]) == (2, 1, 1)
    cells = record["scenarios"][0]["cells"]
    assert [(c["passed"], c["overdue"]) for c in cells] == [(False, False), (False, True)]
    assert cells[1]["failure"]["line"] == 7


def test_alone_it_still_is_no_expectation(folder):
    ended = run(folder, "-k", "endless")
    assert (ended.status, ended.err) == (2, "bhyvesim: 1 cells, 0 failed, 1 did not end\n")


@pytest.mark.parametrize("word", ["0", "-1", "nan", "1e9", "x"])
def test_a_time_that_is_none(folder, word):
    ended = bounded("run", "a.yaml", "--timeout", word, folder=folder)
    assert ended.status == 2
    assert ended.err.count("\n") == 1


def test_a_deadline_that_is_met_leaves_nothing():
    before = signal.getsignal(signal.SIGALRM)
    with deadline(60) as check:
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        check()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_deadline_ends_what_never_asks():
    with pytest.raises(TimeOver), deadline(0.05):
        for_ever()


def for_ever():
    while True:
        pass


def test_an_alarm_of_somebody_elses_stays():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        with pytest.raises(TimeOver), deadline(0) as check:
            check()
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 900
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rung == []


def test_in_a_thread_it_comes_where_it_is_asked_for():
    said = []

    def work():
        try:
            with deadline(0) as check:
                check()
        except TimeOver:
            said.append("over")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert said == ["over"]


def test_bisect_says_that_it_does_not_know(folder, monkeypatch):
    text = SCENARIO.replace("14042, endless", "2025").encode()
    scenario = Sources(lambda path: text).load("a.yaml")
    monkeypatch.setattr(bisect, "deadline", lambda seconds: over())
    with pytest.raises(UsageError, match=r"^a.yaml t \[gpt=2025,debug=true\]: no end: expected"):
        bisect.live(scenario, 0)


def test_matrix_calls_no_vm_safe_whose_life_has_no_end(cli, vm_file, monkeypatch):
    def endless(scenarios, selected, workers):
        for scenario, cell in selected:
            place = scenarios[scenario].steps[0].place
            failure = Failure("reboot", place, "an end", "none", overdue=True)
            yield CellResult(scenario, cell, "no end at reboot", failure, 0, 300.0)

    monkeypatch.setattr(matrix, "run_cells", endless)
    path = vm_file("name: x\nmemory: 1G\n")
    status, out, err = cli("matrix", path, "--gpt", "2025")
    assert (status, out) == (2, "")
    where = f"bhyvesim: {path}: no end at reboot on 2025 DEBUG"
    assert err == f"{where}: expected an end, in at most 300 seconds\n"


@contextmanager
def over():
    """A deadline that is over."""

    def check():
        raise TimeOver

    yield check
