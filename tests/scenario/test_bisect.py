"""Which revision brought a failure, and which mended it."""

from __future__ import annotations

import pytest

from bhyvesim.cli.files import read_bytes
from bhyvesim.config.scenario.sources import Sources
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.report.bisect import bisected, sentence
from bhyvesim.scenario.bisect import History, histories, live, on_every_revision
from bhyvesim.scenario.model import Scenario
from tests.conftest import ROOT
from tests.scenario.test_run import RIGHT, WRONG

CASES = ROOT / "examples" / "bhyve-tests"
OLDEST = "in 13932, the oldest that is known"
ON_ONE = RIGHT.replace("gpt: all, ", "").replace("{name: t,", '{name: t, kernel: {gpt: "13932"},')
SHARED = """\
title: two memmaps that share a leaf
vm:
  name: shared
  segments: [{id: 0, size: 1M}, {id: 1, size: 1M}]
  mappings:
    - {gpa: 0, segment: 0, len: 1M, prot: rwx}
    - {gpa: 1M, segment: 1, len: 1M, prot: rwx}
  touch: none
"""


@pytest.fixture
def told(vm_file):
    """The sentences of a scenario, by what they are about."""

    def of(text_or_path):
        path = vm_file(text_or_path) if isinstance(text_or_path, str) else str(text_or_path)
        scenario = on_every_revision(Sources(read_bytes).load(path))
        found = histories(scenario, [live(scenario, i) for i in range(len(scenario.cells))])
        lines = bisected(scenario, found).text(None)[2:]
        return list(lines[: lines.index("")])

    return of


def steps(*lines):
    return SHARED + "steps:\n" + "".join(f"  - {line}\n" for line in lines)


def history(*outcomes):
    return History(({"debug": "true"},), tuple("abcdef"[: len(outcomes)]), outcomes)


@pytest.mark.parametrize("text", [RIGHT, WRONG, ON_ONE], ids=["right", "wrong", "on-one"])
def test_bug_14042_whatever_is_expected_of_it(told, text):
    assert told(text) == [
        f"DEBUG: {OLDEST} (panic A at reboot); mended in 14042",
        f"production: {OLDEST} (lost pages at reboot); mended in 14042",
    ]


@pytest.mark.parametrize(
    ("path", "sentences"),
    [
        (
            CASES / "a-shared-leaf.yaml",
            [
                f"DEBUG: {OLDEST} (panic A at unmap); mended in 14367",
                f"production: {OLDEST} (lost pages at unmap); mended in 14367",
            ],
        ),
        (CASES / "b-across-512-gib.yaml", ["brought by 15844 (panic C at map); mended in 2025"]),
        (CASES / "c-contents.yaml", ["no revision fails"]),
        (CASES / "d-sysmem-and-rom.yaml", ["no revision fails"]),
        (CASES / "e-dirty-tracking.yaml", ["no revision fails"]),
        (
            CASES.parent / "a-device-in-a-hole.yaml",
            ["brought by 13896 (panic B at touch); mended in 14367"],
        ),
        (
            CASES.parent / "a-held-page.yaml",
            ["brought by 13896 (hang at reboot), and no revision mends it"],
        ),
    ],
    ids=lambda value: value.stem if hasattr(value, "stem") else "",
)
def test_the_shipped_scenarios(told, path, sentences):
    assert told(path) == sentences


def test_a_failure_that_becomes_another(told):
    hole = "touch: {gpa: 5M, len: 4K, access: rw, by: device}, expect: FC_NOMAP"
    text = steps("create", "map: {gpa: 4M, segment: 0, len: 1M, prot: rwx}", f"{{{hole}}}")
    text += "  - touch: {gpa: 0, len: 2M, access: rw}\n  - unmap: {gpa: 0, len: 1M}\n"
    assert told(text) == [
        f"DEBUG: {OLDEST} (panic A at unmap); changed by 13896 (panic B at touch); mended in 14367"
    ]


def test_what_the_guest_sees_is_held_against_a_revision_that_is_described(told):
    """A production 13896 frees the tables of the other memmap, untouched yet, for good."""
    text = steps(
        "create",
        "touch: {gpa: 0, len: 4K, access: r}",
        "unmap: {gpa: 0, len: 1M}",
        "{peek: {gpa: 1M}, expect: [{when: {gpt: '13896'}, fault: FC_NOMAP}, {value: 0}]}",
    )
    assert told(text.replace("steps:", "matrix: {gpt: all, debug: [false]}\nsteps:")) == [
        "production: brought by 13896 (peek: expected ok, got FC_NOMAP at 0x100000); "
        "mended in 14367"
    ]


def test_tables_and_counts_may_differ_where_it_is_said(told):
    """13932 and 14042 have no leaf before a page of it is touched."""
    assert told(steps("{create: , expect: {tables: {1: 1}}}")) == [
        f"DEBUG: {OLDEST} (create: expected 1 tables of level 1, got 0); mended in 13896"
    ]
    described = "[{when: {gpt: ['13932', '14042']}, tables: {1: 0}}, {tables: {1: 1}}]"
    text = steps(f"{{create: , expect: {described}}}")
    assert told(text.replace("steps:", "matrix: {gpt: all}\nsteps:")) == [
        "DEBUG: no revision fails"
    ]


def test_a_step_that_no_revision_takes_as_expected(told):
    text = steps("create", "{touch: {gpa: 0, len: 1M, access: r}, expect: {mapped: 3}}")
    assert told(text) == [
        f"DEBUG: {OLDEST} (touch: expected mapped: 3, got mapped: 256), and no revision mends it"
    ]


def test_refusals(told):
    again = "alloc-memseg: {id: 0, size: 1M}"
    assert told(steps("create", f"{{{again}, expect: EEXIST}}")) == ["DEBUG: no revision fails"]
    (sentence,) = told(steps("create", again))
    assert sentence.startswith(f"DEBUG: {OLDEST} (refused ")
    assert told("title: t\nvm: {name: huge, memory: 65T, touch: none}\nsteps: [create]\n") == [
        "DEBUG: brought by 13896 (refused EFAULT at create), and no revision mends it"
    ]


def test_an_operation_that_is_not_there_is_no_failure_and_no_cure(told):
    npt = "npt: {gpa: 0, len: 4K, operation: GET_DIRTY}"
    text = steps("create", f"{{{npt}, expect: [{{when: {{gpt: '2025'}}, returns: 0}}, ENOTTY]}}")
    assert told(text.replace("steps:", "matrix: {gpt: all}\nsteps:")) == [
        "DEBUG: no revision fails"
    ]
    # What goes wrong all the same counts.
    text = steps("create", npt, "touch: {gpa: 0, len: 2M, access: rw}", "unmap: {gpa: 0, len: 1M}")
    assert told(text) == [f"DEBUG: {OLDEST} (panic A at unmap); mended in 2025"]


def test_variants_are_told_apart_by_what_matters(told):
    life = WRONG.replace("matrix: {gpt: all, ", "matrix: {cpu: [amd, intel], memory: [2G, 8G], ")
    assert told(life) == [
        "memory=2G: no revision fails",
        f"DEBUG memory=8G: {OLDEST} (panic A at reboot); mended in 14042",
        f"production memory=8G: {OLDEST} (lost pages at reboot); mended in 14042",
    ]


def test_variants_with_nothing_in_common_are_named_one_by_one():
    def some(*pairs):
        return tuple({"debug": debug, "cpu": cpu} for debug, cpu in pairs)

    bad = History(some(("true", "amd"), ("false", "intel")), ("a",), ("x",))
    good = History(some(("true", "intel"), ("false", "amd")), ("a",), ("ok",))
    lines = bisected(Scenario("t", "file", (), ()), [bad, good]).text(None)
    assert lines[2:4] == [
        "DEBUG amd, production intel: in a, the oldest that is known (x), and no revision mends it",
        "DEBUG intel, production amd: no revision fails",
    ]


def test_a_matrix_of_some_revisions_is_taken_to_all(vm_file):
    path = vm_file(WRONG.replace("gpt: all", 'gpt: ["2025", "14042"]'))
    cells = on_every_revision(Sources(read_bytes).load(path)).cells
    assert [(c.axes["gpt"], c.axes["debug"]) for c in cells] == [
        (gpt, debug) for debug in ("true", "false") for gpt in REVISIONS
    ]
    assert all(c.vm.kernel.gpt == c.axes["gpt"] for c in cells)


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (["ok", "ok"], "no revision fails"),
        (["n/a", "ok"], "no revision fails"),
        (["n/a", "n/a"], "no revision has all of its operations"),
        (["x", "ok"], "in a, the oldest that is known (x); mended in b"),
        (["x", "x"], "in a, the oldest that is known (x), and no revision mends it"),
        (["n/a", "x", "ok"], "brought by b (x); mended in c"),
        (["ok", "x", "n/a"], "brought by b (x), and no revision mends it"),
        (["ok", "x", "n/a", "ok"], "brought by b (x); mended in d"),
        (["ok", "x", "n/a", "x", "ok"], "brought by b (x); mended in e"),
        (["ok", "x", "y", "y"], "brought by b (x); changed by c (y), and no revision mends it"),
        (
            ["x", "ok", "x"],
            "in a, the oldest that is known (x); mended in b; brought by c (x), "
            "and no revision mends it",
        ),
    ],
)
def test_histories_in_words(outcomes, words):
    assert sentence(history(*outcomes)) == words
