"""What steps do: lost pages, holds and the hang, device accesses, dirty tracking by ioctl."""

from __future__ import annotations

import json

import pytest

HEAD = "title: t\nmatrix: {gpt: all, debug: [true, false]}\n"
VM = "vm: {name: v, segments: [{id: 0, size: 4M}], mappings: [MAPS], touch: none}\n"
PAGE = VM.replace("MAPS", "{gpa: 0, segment: 0, len: 4K}")
TWO = VM.replace(
    "MAPS", "{gpa: 0, segment: 0, len: 4K}, {gpa: 4K, segment: 0, offset: 1M, len: 4K}"
)
NEW = "title: t\nmatrix: {gpt: ['2025'], debug: [true]}\n"


@pytest.fixture
def run(cli, vm_file):
    """Run a scenario; the (name, outcome, failure) of each cell."""

    def results(text):
        outcome = cli("run", vm_file(text), "--format", "json", "--jobs", "1")
        assert outcome.status in (0, 1), outcome.err
        cells = json.loads(outcome.out)["scenarios"][0]["cells"]
        return {
            (cell["axes"]["gpt"], cell["axes"]["debug"]): (cell["outcome"], cell["failure"])
            for cell in cells
        }

    return results


LOSING = HEAD.replace("[true, false]", "[false]") + TWO + "steps:\n  - create\n"
LOSING += "  - touch: {gpa: 0, len: 8K, access: w}\n  - unmap: {gpa: 0, len: 4K}\n"


def test_lost_pages_fail_a_scenario_that_says_nothing_of_them(run):
    for (gpt, _), (outcome, failure) in run(LOSING + "  - destroy\n").items():
        if gpt in ("13932", "14042", "13896"):
            assert outcome == "lost pages at unmap"
            assert (failure["expected"], failure["got"]) == ("lost: 0", "lost: 1")
        else:
            assert (outcome, failure) == ("ok", None)


@pytest.mark.parametrize(
    "said", ["{lost: any}", "[{when: {gpt: ['13932', '14042', '13896']}, lost: 1}]"]
)
def test_lost_pages_that_are_said_pass(run, said):
    results = run(LOSING + f"    expect: {said}\n  - destroy\n")
    assert {failure for _, failure in results.values()} == {None}


def test_destroy_never_loses(run):
    """What a production kernel drops with a shared leaf on the way out is no loss."""
    text = LOSING.replace("  - unmap: {gpa: 0, len: 4K}\n", "") + "  - destroy\n"
    assert {failure for _, failure in run(text).values()} == {None}


def test_a_hold_hangs_what_unmaps(run):
    text = HEAD + PAGE + "steps:\n  - create\n  - hold: {gpa: 0}\n"
    text += "    expect: [{when: {gpt: ['13932', '14042']}, errno: ENOTTY}, {hold: 1}]\n"
    text += "  - destroy:\n    expect:\n      - when: {gpt: ['13932', '14042']}\n        leaks: 0\n"
    text += "      - hang: vmc_space_unmap\n        tables: {1: 1}\n"
    for (gpt, _), (outcome, failure) in run(text).items():
        assert failure is None, failure
        assert outcome == ("ok" if gpt in ("13932", "14042") else "hang at destroy")


@pytest.mark.parametrize(
    ("panic", "met"),
    [
        ("A", True),
        ("B", False),
        ("{function: vmm_gpt_vacate_entry}", True),
        ("{function: vm_destroy}", False),
        ("{matches: 'ptes.i. == 0'}", True),
        ("{matches: 'vmsm'}", False),
        ("{function: vmm_gpt_vacate_entry, matches: 'vmsm'}", False),
        ("'ptes[i] == 0'", False),
    ],
)
def test_a_panic_is_the_one_that_is_expected(run, panic, met):
    text = NEW.replace("2025", "14042") + TWO + "steps:\n  - create\n"
    text += "  - touch: {gpa: 0, len: 8K, access: w}\n"
    text += f"  - unmap: {{gpa: 0, len: 4K}}\n    expect: {{panic: {panic}}}\n"
    outcome, failure = run(text)["14042", "true"]
    assert outcome == "panic A at unmap"
    assert (failure is None) == met


@pytest.mark.parametrize(("tables", "met"), [(0, False), (1, True), (2, False)])
def test_tables_are_as_many_as_are_expected(run, tables, met):
    text = f"{NEW}{PAGE}steps: [{{create: , expect: {{tables: {{1: {tables}}}}}}}]\n"
    _, failure = run(text)["2025", "true"]
    assert (failure is None) == met


def test_a_byte_that_is_another_fails(run):
    fill = NEW + PAGE + "steps: [create, {fill: {segment: 0, len: 2K, byte: 7}}, PEEK]\n"
    for length, byte, failure in (
        ("2K", 7, None),
        ("2K", 8, ("byte 0x0: 0x8", "byte 0x0: 0x7")),
        ("4K", 7, ("byte 0x800: 0x7", "byte 0x800: 0x0")),
    ):
        peek = f"{{peek: {{segment: 0, len: {length}}}, expect: {{byte: {byte}}}}}"
        _, failed = run(fill.replace("PEEK", peek))["2025", "true"]
        assert (failed and (failed["expected"], failed["got"])) == failure


def test_a_hang_that_nobody_expects_fails(run):
    text = NEW + PAGE + "steps: [create, {hold: {gpa: 0}}, destroy]\n"
    outcome, failure = run(text)["2025", "true"]
    assert (outcome, failure["expected"], failure["got"]) == (
        "hang at destroy",
        "ok",
        "hang in vmc_space_unmap",
    )


def test_a_release_lets_it_go(run):
    text = NEW + PAGE + "steps: [create, {hold: {gpa: 0, access: rw}}, {release: {hold: 1}}]\n"
    text = text.replace("}]\n", "}, {release: {hold: 1}, expect: EINVAL}, destroy]\n")
    assert run(text)["2025", "true"] == ("ok", None)


def test_a_device_reaches_where_no_vcpu_does(run):
    text = HEAD + PAGE + "steps:\n  - create\n  - touch: {gpa: 4K, len: 4K, access: r}\n"
    text += "    expect: FC_NOMAP\n  - touch: {gpa: 4K, len: 4K, access: r, by: device}\n"
    text += "    expect: [{when: {gpt: '13896'}, panic: B}, {fault: FC_NOMAP}]\n"
    for (gpt, _), (outcome, failure) in run(text).items():
        assert failure is None, failure
        assert outcome == ("panic B at touch" if gpt == "13896" else "ok")


def test_a_vm_may_name_devices_among_what_touches_it(run):
    text = HEAD + PAGE.replace("touch: none", "touch: [{gpa: 4K, len: 4K, access: rw, by: device}]")
    results = run(
        text + "steps: [{create: , expect: [{when: {gpt: '13896'}, panic: B}, FC_NOMAP]}]"
    )
    assert {failure for _, failure in results.values()} == {None}


def test_tracking_by_ioctl(run):
    """EN makes releases mark at once, and Intel's hardware only from the next reinit on."""
    steps = """steps:
  - create
  - track-dirty: {gpa: 0, len: 4K}
    expect: EPERM
  - npt: {gpa: 0, len: 0, operation: EN_TRACK_DIRTY}
  - npt: {gpa: 0, len: 0, operation: 0x20}
    expect: {returns: 1}
  - touch: {gpa: 0, len: 4K, access: w}
  - track-dirty: {gpa: 0, len: 4K}
    expect: {dirty: 0, bitmap: "00"}
  - touch: {gpa: 0, len: 4K, access: w, by: device}
  - track-dirty: {gpa: 0, len: 4K}
    expect: {dirty: {pages: 0}, bitmap: "01"}
  - reboot
  - touch: {gpa: 0, len: 4K, access: w}
  - npt: {gpa: 0, len: 4K, operation: RESET_DIRTY|BITMAP_IN|BITMAP_OUT, bitmap: "ff"}
    expect: {bitmap: "01"}
  - destroy
"""
    text = NEW + PAGE.replace("name: v,", "name: v, cpu: intel, apicv: false,") + steps
    # Bits 1 to 7 of the last answer are no pages of the range, and come back as given.
    outcome, failure = run(text)["2025", "true"]
    assert (failure["expected"], failure["got"]) == ("bitmap: 01", "bitmap: ff")
    assert outcome == "ok"
    assert run(text.replace('{bitmap: "01"}', '{bitmap: "ff"}'))["2025", "true"] == ("ok", None)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_expectation_that_cannot_be_looked_at_fails_its_cell_alone(cli, vm_file, jobs):
    text = HEAD + PAGE + "steps: [{create: , expect: {contents: {segment: 3, value: 1}}}]\n"
    status, out, err = cli("run", vm_file(text), "--jobs", jobs)
    assert (status, err) == (1, "bhyvesim: 12 cells, 12 failed\n")
    assert "FAIL t, 12 cells alike\n" in out
    assert out.count("  got       there is no segment 3\n") == 1


def test_what_is_expected_of_an_answer_that_never_came_fails(run):
    text = (
        NEW + PAGE + "steps: [create, {npt: {gpa: 0, len: 4K, operation: 3}, expect: {dirty: 0}}]"
    )
    _, failure = run(text)["2025", "true"]
    assert (failure["expected"], failure["got"]) == ("dirty: 0 pages", "dirty: nothing pages")


def test_a_reinit_alone_and_what_fsck_finds(run):
    text = """\
title: a leaf goes with its neighbour
vm:
  name: t
  touch: none
  segments: [{id: 0, size: 2M}, {id: 1, name: rom, size: 4K}]
  mappings: [{gpa: 4K, segment: 0, len: 4K}, {gpa: 0, segment: 1, len: 4K}]
matrix: {gpt: ["14042"], debug: [false]}
steps:
  - create:
    expect: {fsck: []}
  - touch: {gpa: 4K, len: 4K, access: w}
  - reinit:
    expect: EXPECTED
"""

    def outcome(expected):
        [(_, failure)] = run(text.replace("EXPECTED", expected)).values()
        return failure and (failure["expected"], failure["got"])

    assert outcome("{lost: 1, fsck: [counter]}") is None
    assert outcome("{lost: 1, fsck: []}") == ("fsck: nothing", "fsck: counter")
    assert outcome("{lost: 0}") == ("lost: 0", "lost: 1")


def test_failures_that_differ_in_hex_numbers_alone_are_told_once(cli, vm_file):
    text = (
        "title: t\nvm: {name: v, memory: 4G}\n"
        "matrix: {gpt: ['13932'], debug: [true], cpu: [amd, intel]}\nsteps: [create, reboot]\n"
    )
    status, out, _ = cli("run", vm_file(text), "--jobs", "1")
    assert status == 1
    assert out.count("FAIL t, 2 cells alike\n") == 1
    assert "cells     [gpt=13932,debug=true,cpu=amd], [gpt=13932,debug=true,cpu=intel]\n" in out
    assert out.count("  got       panic in vmm_gpt_vacate_entry") == 1
    assert "            (in the first cell; in others with other hex numbers)\n" in out


def test_failures_that_differ_in_what_came_are_told_apart(cli, vm_file):
    text = (
        "title: t\nvm: {name: v, memory: 4G}\n"
        "matrix: {gpt: ['13932'], debug: [true, false], cpu: [amd]}\nsteps: [create, reboot]\n"
    )
    out = cli("run", vm_file(text), "--jobs", "1").out
    assert out.count("\nFAIL t [gpt=13932") == 2
    assert "alike" not in out
