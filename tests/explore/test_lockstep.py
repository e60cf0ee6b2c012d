"""bhyvesim lockstep: another implementation held against the model, and twenty that err."""

from __future__ import annotations

import gzip
import json
import shlex
import sys
from itertools import islice, permutations

import pytest

from bhyvesim.explore.lockstep import Lockstep
from bhyvesim.explore.sequences import Plan, at_random
from bhyvesim.explore.ways import Bounds, exhaustive
from bhyvesim.kernel.revisions import REVISIONS
from tests.conftest import ROOT
from tests.explore.oracle_mistakes import MISTAKES

BUILT_IN = tuple(REVISIONS)[:6]
PEER = (sys.executable, "-m", "tests.explore.peer")
ORACLE = shlex.join(PEER)

# What is asked first, by mistake: at random if nothing is said here.
KERNELS = {
    "GetResets": ("2025",),
    "TrackingAtOnce": ("2025",),
    "NoExecuteForgotten": ("2025",),
    "NewerTwinBehind": ("15844",),
}


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_oracle_agrees(cli):
    outcome = cli("lockstep", "--against", ORACLE, "--runs", "150", "--seed", "2")
    assert outcome.status == 0, outcome.out
    assert outcome.out.startswith("no difference in 150 sequences of ")
    outcome = cli("lockstep", "--against", ORACLE, "--exhaustive", "maps=2,points=4")
    assert (outcome.status, outcome.err) == (0, "")
    ways = Bounds(2, 4).ways() * len(BUILT_IN) * 4
    assert f"no difference in {ways} sequences" in outcome.out


def test_there_are_twenty():
    assert len(MISTAKES) == 20


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_found(name):
    kernels = KERNELS.get(name, BUILT_IN)
    cases = exhaustive(kernels, Bounds(2, 5)) if name == "NewerTwinBehind" else None
    with Lockstep([*PEER, "--mistake", name], 30) as others:
        for case in cases or islice(at_random(Plan(kernels, 1)), 700):
            found = others.check(case)
            if found is not None:
                assert found.divergence.wrong is not None
                assert found.steady
                assert len(found.case.operations) <= 15
                return
    raise AssertionError("not found")


def test_ways_are_all_there_are():
    for maps, points in ((1, 4), (2, 4), (2, 5), (3, 6)):
        bounds = Bounds(maps, points)
        ways = list(bounds.spans())
        assert len(ways) == len(set(ways)) == bounds.ways()
        for way in ways:
            assert all(a[1] <= b[0] or b[1] <= a[0] for a, b in permutations(way, 2))


def test_a_divergence_is_told(cli):
    outcome = cli("lockstep", "--against", f"{ORACLE} --mistake CountsOnePageLess", "--seed", "1")
    assert outcome.status == 1
    lines = outcome.out.splitlines()
    assert lines[0].endswith("table level 1 at 0x0: count 0, expected 1")
    assert lines[0].startswith("operation 3 (mmap_memseg), ")
    operations = [json.loads(line) for line in lines if line.startswith("{")]
    assert [operation["op"] for operation in operations] == [
        "create",
        "alloc_memseg",
        "mmap_memseg",
    ]


PROGRAMS = {
    "dies": ("import sys; sys.exit('oh \\x1b[31mdear')", "it ended with status 1"),
    "hangs": ("import time; time.sleep(60)", "no answer within 0.5 s"),
    "talks nonsense": ("print('42 is the answer', flush=True); input()", "no JSON: 42 is"),
    "answers a list": ("print('[1]', flush=True); input(); input()", "no JSON object: [1]"),
    "says too much": ("print('x' * 10_000_000, flush=True); input()", "a line of more than"),
    "says nothing more": ("import os, time; os.close(1); time.sleep(60)", "it closed its output"),
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_one_that_gives_no_answer_is_a_finding(cli, what):
    program, words = PROGRAMS[what]
    waiting = f"input()\n{program}"
    command = shlex.join([sys.executable, "-c", waiting])
    outcome = cli("lockstep", "--against", command, "--timeout", "0.5", "--runs", "3")
    assert outcome.status == 1, outcome.err
    assert words in outcome.out
    assert "\x1b" not in outcome.out
    assert len(outcome.out) < 3000
    if what == "dies":
        assert "its errors, at last:" in outcome.out
        assert "oh \\e[31mdear" in outcome.out


SOME = ("--runs=20", "--seed=3", "--format=json")
WAYS = {
    "IsKilled": "it was killed by SIGKILL",
    "LeavesAChild": "no answer within 0.5 s",
    "TalksNonsense": "dump: no JSON: mapped",
    "SaysItTwice": "dump: a line that nobody asked for",
}


def parted(cli, way, *arguments):
    outcome = cli("lockstep", "--against", f"{ORACLE} --behave {way}", *SOME, *arguments)
    assert (outcome.status, outcome.err) == (1, "")
    return json.loads(outcome.out)["parted"]


@pytest.mark.parametrize("way", WAYS)
def test_one_that_breaks_off_is_a_finding(cli, way):
    patience = "0.5" if way == "LeavesAChild" else "60"
    found = parted(cli, way, "--timeout", patience)
    assert found["message"] == WAYS[way]
    assert len(found["operations"]) <= 3


def test_what_one_create_leaves_to_the_next_is_found_with_both(cli):
    for way, message in (
        ("LivesOnce", "it ended with status 1"),
        ("ForgetsNoSegments", "result: EEXIST, expected ok"),
    ):
        found = parted(cli, way)
        assert [op["op"] for op in found["operations"]].count("create") == 2
        assert (found["message"], found["steady"]) == (message, True)


def test_what_does_not_come_again_is_told_as_it_was(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("MOOD", str(tmp_path / "mood"))
    found = parted(cli, "IsMoody")
    assert (found["message"], found["steady"]) == ("dump: resident 77, expected 0", False)
    assert len(found["operations"]) == found["found"]


def test_rows_may_be_split_and_in_any_order(cli):
    peer = ("--against", f"{ORACLE} --behave SplitsItsRows", "--gpt=15844", "--gpt=13932")
    assert cli("lockstep", *peer, *SOME).status == 0
    assert cli("lockstep", *peer, "--exhaustive=maps=2,points=4").status == 0


def test_an_arrangement_has_nothing_that_is_left_out(cli, tmp_path):
    path = tmp_path / "v.jsonl"
    bound = ("--exhaustive=maps=1,points=2", "--gpt=2025")
    cli("lockstep", "--save", path, *bound, "--leave-out=access", "--leave-out=stats")
    text = path.read_text(encoding="utf-8")
    assert '"op":"mmap_memseg"' in text
    assert '"op":"access"' not in text
    assert '"op":"stats"' not in text


def test_by_default_arrangements_come_first_and_then_random_sequences(cli, tmp_path):
    path = tmp_path / "v.jsonl"
    cli("lockstep", "--save", path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == Bounds(2, 4).ways() * len(BUILT_IN) * 4 + 500


def test_vectors_are_saved_and_replayed(cli, tmp_path):
    path = tmp_path / "v.jsonl.gz"
    saved = cli("lockstep", "--save", str(path), "--runs", "20", "--gpt", "2025")
    assert (saved.status, saved.out) == (0, "")
    assert "20 sequences with the model's answers" in saved.err
    assert len(gzip.decompress(path.read_bytes()).splitlines()) == 20
    assert cli("replay", "--check", str(path)).status == 0
    again = cli("lockstep", "--against", ORACLE, str(path))
    assert again.status == 0
    assert "no difference in 20 sequences" in again.out


def test_what_is_said_to_agree_is_what_was_asked(cli, tmp_path):
    path = str(tmp_path / "v.jsonl")
    cli("lockstep", "--save", path, "--runs", "5", "--gpt", "2025")
    outcome = cli("lockstep", "--against", ORACLE, path)
    assert outcome.out.rstrip().endswith("operations on 2025")
    for option in ("--gpt=13932", "--seed=1", "--pages=1100"):
        outcome = cli("lockstep", "--against", ORACLE, path, option)
        assert (outcome.status, outcome.out) == (2, "")
        assert f"{option.partition('=')[0]} with FILES" in outcome.err
    outcome = cli("lockstep", "--against", ORACLE, "--runs=2", "--seed=3", "--format=json")
    document = json.loads(outcome.out)
    assert (document["kernels"], document["seed"]) == (["13932", "14042"], 3)


def test_nothing_asked_is_no_agreement(cli, tmp_path):
    path = tmp_path / "empty.jsonl"
    path.write_text("\n", encoding="utf-8")
    saved = tmp_path / "v.jsonl"
    for rest in (("--against", ORACLE), ("--save", str(saved))):
        outcome = cli("lockstep", *rest, str(path))
        assert (outcome.status, outcome.out) == (2, "")
        assert outcome.err == "bhyvesim: nothing to ask: expected FILES with operations\n"
    assert not saved.exists()


def test_the_small_sequence_is_written_and_shows_the_same_again(cli, tmp_path):
    small = tmp_path / "small.jsonl"
    mistaken = ("--against", f"{ORACLE} --mistake CountsOnePageLess")
    met = cli("lockstep", *mistaken, "--shrunk", str(small))
    lines = small.read_text(encoding="utf-8").splitlines()
    assert lines == [line for line in met.out.splitlines() if line.startswith("{")]
    assert cli("replay", str(small)).out.count("\n") == len(lines)
    again = cli("lockstep", *mistaken, str(small))
    assert (again.status, again.out.splitlines()[0]) == (1, met.out.splitlines()[0])


def test_nothing_is_written_where_nothing_differs(cli, tmp_path):
    small = tmp_path / "small.jsonl"
    assert cli("lockstep", "--against", ORACLE, "--runs=3", "--shrunk", str(small)).status == 0
    assert not small.exists()


def test_operations_that_it_lacks_are_left_out(cli):
    outcome = cli(
        *("lockstep", "--against", f"{ORACLE} --mistake GetResets", "--gpt", "2025"),
        *("--runs", "60", "--leave-out", "npt_op", "--leave-out", "stats"),
    )
    assert outcome.status == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "missing --against CMD"),
        (["--against", "/nowhere/at/all"], "/nowhere/at/all: No such file"),
        (["--against", "'"], "no closing quotation"),
        (["--against", "cat", "--runs", "1", "--time", "5s"], "expected one of FILES"),
        (["--against", "cat", "--leave-out", "fly"], "--leave-out 'fly' is no operation"),
        (["--against", "cat", "--exhaustive", "maps=9,points=3"], "9 maps between 3 points"),
        (["--against", "cat", "/nowhere"], "/nowhere: No such file"),
        (["--save", "x", "--time", "5s"], "--save with --time"),
        (["--save", "x", "--shrunk", "y"], "--shrunk without --against"),
    ],
)
def test_bad_input(cli, arguments, words):
    outcome = cli("lockstep", *arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert words in outcome.err
    assert outcome.err.count("\n") == 1
