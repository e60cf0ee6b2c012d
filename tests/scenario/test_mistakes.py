"""Scenario files that are wrong: status 2, with file, line and column."""

from __future__ import annotations

import pytest

HEAD = "title: t\nvm: {name: t, memory: 8G}\n"
MISTAKES = {
    "vm: {name: t, memory: 8G}\nsteps: [create]\n": "1:1: the key 'title' is missing",
    HEAD: "1:1: the key 'steps' is missing",
    HEAD + "steps: []\n": "3:8: steps: no steps: expected at least one",
    HEAD + "steps: create\n": "3:8: steps: 'create' stands here: expected a list",
    HEAD + "step: [create]\n": "3:1: unknown key 'step': expected steps (did you mean that?)",
    HEAD + "steps: [craete]\n": "3:9: steps[0]: 'craete' is not known: expected create",
    HEAD + "steps:\n  - rebot:\n": "4:5: steps[0]: unknown key 'rebot': expected reboot",
    HEAD + "steps:\n  - reboot:\n    destroy:\n": "4:5: steps[0]: 2 steps in one",
    HEAD + "steps:\n  - expect: ok\n": "4:5: steps[0]: 0 steps in one",
    HEAD
    + "steps:\n  - map: {gpa: 0, len: 4K}\n": "4:10: steps[0].map: the key 'segment' is missing",
    HEAD + "steps:\n  - map: {gpa: 0, segmnt: 0}\n": "4:19: steps[0].map: unknown key 'segmnt'",
    HEAD + "steps:\n  - poke: {value: 1}\n": "4:11: steps[0].poke: no place: expected gpa",
    HEAD + "steps:\n  - poke: {gpa: 0, segment: 1, value: 1}\n": "4:20: steps[0].poke: segment tog",
    HEAD + "steps:\n  - poke: {gpa: 0, value: 1, size: 9}\n": "4:36: steps[0].poke.size: 9 bytes",
    HEAD
    + "steps:\n  - fill: {gpa: 0, len: 1T, byte: 0}\n": "4:25: steps[0].fill.len: 1099511627776",
    HEAD + "steps:\n  - fill: {gpa: 0, len: 4K, byte: 256}\n": "4:35: steps[0].fill.byte: 0x100 is",
    HEAD
    + "steps:\n  - dirty: {gpa: 0, len: 4K, pages: 3-1}\n": "4:37: steps[0].dirty.pages: '3-1'",
    HEAD
    + "steps:\n  - npt: {gpa: 0, len: 0, operation: 1K}\n": "4:38: steps[0].npt.operation: '1K'",
    HEAD + "matrix: {}\nsteps: [create]\n": "3:9: matrix: an empty matrix: expected one or more of",
    HEAD + "matrix: {gpt: []}\nsteps: [create]\n": "3:15: matrix.gpt: an empty list",
    HEAD + "matrix: {gpt: [1]}\nsteps: [create]\n": "3:16: matrix.gpt[0]: '1' is not known",
    HEAD + "matrix: {gpt: ['2025', 2025]}\nsteps: [create]\n": "3:16: matrix.gpt[0]: '2025' stands",
    HEAD + "matrix: {name: [a]}\nsteps: [create]\n": "3:10: matrix: unknown key 'name'",
    HEAD
    + "matrix: {memory: [8X]}\nsteps: [create]\n": "3:19: matrix.memory[0]: '8X' is not a size",
    "title: t\nvm: nowhere.yaml\nsteps: [create]\n": "2:5: vm: ",
    "title: t\nvm: [1]\nsteps: [create]\n": "2:5: vm: a list: expected a VM description",
}
EXPECTATIONS = {
    "{when: {gpt: 13932}}": "5:26: steps[0].expect.when.gpt: gpt is never '13932': expected one",
    "{when: {cpu: amd}}": "5:21: steps[0].expect.when: unknown key 'cpu'",
    "{when: {gpt: [2025, 1]}}": "5:33: steps[0].expect.when.gpt[1]: gpt is never '1'",
    "{ok: true, errno: EINVAL}": "5:24: steps[0].expect: ok and errno can never hold together",
    "{errno: EINVAL, panic: A}": "5:29: steps[0].expect: errno and panic can never hold together",
    "{ok: false}": "5:14: steps[0].expect: ok: false",
    "{leaks: 0}": "5:14: steps[0].expect: leaks of reboot can never hold",
    "{value: 1}": "5:14: steps[0].expect: value of reboot can never hold",
    "{gpa: 4K}": "5:19: steps[0].expect.gpa: gpa without a fault can never hold",
    "{panic: A, lost: 1}": "5:24: steps[0].expect: lost after a panic can never hold",
    "{panic: {}}": "5:21: steps[0].expect.panic: nothing is said of the panic",
    "{panic: {matches: '['}}": "5:31: steps[0].expect.panic.matches: '[': ",
    "[ok, ok]": "5:18: steps[0].expect[1]: this expectation can never hold",
    "[]": "5:13: steps[0].expect: no expectation",
    "EWHAT": "5:13: steps[0].expect: 'EWHAT' is not known",
    "{errno: EWHAT}": "5:21: steps[0].expect.errno: 'EWHAT' is not known",
    "{pte: {gpa: 0}}": "5:19: steps[0].expect.pte: nothing is said of the entry",
    "{pte: {gpa: 0, flags: [big]}}": "5:36: steps[0].expect.pte.flags[0]: 'big' is not known",
    "{tables: {5: 1}}": "5:23: steps[0].expect.tables: unknown key '5'",
    "{contents: {segment: 0, size: 1, value: 256}}": "5:53: steps[0].expect.contents.value: 0x100",
    "{resident: -1}": "5:24: steps[0].expect.resident: -1 is negative",
}


@pytest.mark.parametrize("text", MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes(cli, vm_file, text):
    path = vm_file(text, "s.yaml")
    status, out, err = cli("run", path)
    assert (status, out) == (2, "")
    assert err.startswith(f"bhyvesim: {path}:{MISTAKES[text]}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("expect", EXPECTATIONS, ids=range(len(EXPECTATIONS)))
def test_expectations_that_can_never_hold(cli, vm_file, expect):
    path = vm_file(f"{HEAD}steps:\n  - reboot:\n    expect: {expect}\n", "s.yaml")
    status, _, err = cli("run", path)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"bhyvesim: {path}:{EXPECTATIONS[expect]}")


def test_a_scenario_that_includes_itself(cli, vm_file):
    vm_file(HEAD + "steps:\n  - include: b.yaml\n", "a.yaml")
    b = vm_file(HEAD + "steps:\n  - create\n  - include: a.yaml\n", "b.yaml")
    status, _, err = cli("run", b)
    assert status == 2
    assert "a.yaml:4:14: steps[0].include: " in err
    assert "includes itself" in err
    other = vm_file(HEAD + "steps:\n  - include: ./c.yaml\n", "c.yaml")
    assert f"{other}:4:14: steps[0].include: " in cli("run", other).err  # by another name


def test_included_steps_run(cli, vm_file):
    vm_file(HEAD + "steps:\n  - reboot\n  - reboot\n", "again.yaml")
    path = vm_file(HEAD + "steps:\n  - create\n  - include: again.yaml\n  - destroy\n", "s.yaml")
    assert cli("run", path).status == 0


def test_a_file_that_is_included_twice_runs_twice(cli, vm_file):
    """Only one that is being read already would be a circle."""
    vm_file(HEAD + "steps:\n  - map: {gpa: 16G, segment: 0, len: 4K}\n", "map.yaml")
    steps = "steps:\n  - create\n  - include: map.yaml\n  - include: map.yaml\n"
    out = cli("run", vm_file(HEAD + steps, "s.yaml")).out
    assert "FAIL: refused EFAULT at map" in out  # the second time
    assert out.count("map.yaml:4:5") == 1


def test_an_included_file_that_is_not_there(cli, vm_file):
    path = vm_file(HEAD + "steps:\n  - include: nowhere.yaml\n", "s.yaml")
    status, _, err = cli("run", path)
    assert (status, err.count("\n")) == (2, 1)
    assert f"{path}:4:14: steps[0].include: " in err


def test_folders_and_selections_without_scenarios(cli, vm_file, tmp_path):
    vm_file("name: t\nmemory: 8G\n")
    status, _, err = cli("run", tmp_path)
    assert (status, "no scenarios in it" in err) == (2, True)
    status, _, err = cli("run", vm_file(HEAD + "steps: [create]\n", "s.yaml"), "-k", "nothing")
    assert (status, "selects no cell" in err) == (2, True)


def test_steps_before_create_find_no_machine(cli, vm_file):
    path = vm_file(HEAD + "steps:\n  - reboot:\n    expect: ENOENT\n  - create\n", "s.yaml")
    assert cli("run", path).status == 0


def test_junit_that_cannot_be_written(cli, vm_file):
    path = vm_file(HEAD + "steps: [create]\n", "s.yaml")
    status, _, err = cli("run", path, "--junit", "/nonexistent/x.xml")
    assert (status, "expected a writable file" in err) == (2, True)
