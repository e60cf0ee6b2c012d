"""bhyvesim explore: told nothing but the revision, it finds what is known of each kernel."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from bhyvesim import revision_file
from bhyvesim.explore.campaign import Bounds, Campaign
from bhyvesim.explore.causes import Cause
from bhyvesim.explore.search import CHUNK, Chunk, Target, search
from bhyvesim.explore.shrink import shrink
from bhyvesim.explore.trial import causes
from bhyvesim.explore.written import cause_in
from bhyvesim.kernel import revisions
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.workers import local
from tests.explore.mistakes import MISTAKES, source

A = Cause("panic", "vmm_gpt_vacate_entry", "assertion failed: ptes[i] == 0")
NEIGHBOUR = A._replace(how=f"{A.how}, outside the range asked for")
B = Cause("panic", "vmspace_lookup_map", "assertion failed: vmsm != NULL")
C = Cause("panic", "vmm_gpt_populate_region", "assertion failed: end <= vmm_gpt_node_end(node)")
D = Cause("panic", "vmm_gpt_node_add", "assertion failed: next_sibling->vgn_gpa > child->vgn_gpa")
E = Cause("panic", "rvi_ops_map", "assertion failed: (prot & PROT_READ) != 0")
HANG = Cause("hang", "vmc_space_unmap")
SHARED = Cause("lost", "shared leaf")
DRIFT = Cause("drift", "drift")
BITS = Cause("bitmap", "npt_op")
PAST_THE_END = {Cause("refused", "FC_NOMAP", f"to a {who}") for who in ("vCPU", "device")}
COUNTER = Cause("drift", "counter")

# Everything that 1,000 runs find, by revision; nothing else may be there.
KNOWN = {
    "13932": {A, NEIGHBOUR, E, SHARED, Cause("lost", "page after"), COUNTER, *PAST_THE_END},
    "14042": {A, E, SHARED, COUNTER, *PAST_THE_END},
    "13896": {A, B, HANG, SHARED, DRIFT, Cause("broken", "table")},
    "14367": {HANG, DRIFT},
    "15844": {C, D, HANG, DRIFT},
    "2025": {HANG, DRIFT, BITS},
}


@pytest.fixture(scope="module")
def found():
    """What 1,000 runs of seed 7 find on each revision, by cause."""
    everything = {}
    for gpt in KNOWN:
        chunks = [search(Chunk(Target(gpt), 7, number, CHUNK)) for number in range(4)]
        firsts = [(f.cause, f) for chunk in reversed(chunks) for f in reversed(chunk.found)]
        everything[gpt] = dict(firsts)
    return everything


@pytest.mark.parametrize("gpt", KNOWN)
def test_each_kernel_s_mistakes_are_found_and_no_others(found, gpt):
    assert set(found[gpt]) == KNOWN[gpt]


@pytest.mark.parametrize("gpt", KNOWN)
def test_what_is_found_shrinks_to_a_few_steps_of_the_same_cause(found, gpt):
    for cause, first in found[gpt].items():
        small = shrink(first.case, cause).case
        [(number, again, trial)] = [row for row in causes(small) if row[1] == cause]
        assert (number, again) == (len(small.operations) - 1, cause)
        made = sum(op.op in ("alloc_memseg", "mmap_memseg") for op in small.operations)
        assert len(small.operations) - made <= 3
        assert made <= 4
        if cause.kind == "panic":
            assert trial.stop.letter in "ABCDE"


def test_what_is_known_is_all_there_is():
    assert KNOWN.keys() == set(list(REVISIONS)[:6])


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_seed_and_a_number_give_the_same_whatever_the_jobs(jobs):
    campaign = Campaign(Target("15844"), 3)
    with local(jobs) as workers:
        campaign.explore(workers, Bounds(600, None), lambda searched: None)
        findings = campaign.shrunk(workers)
    assert campaign.runs == 600
    assert [(f.cause, f.run, f.case) for f in findings] == _OF_SEED_3
    assert multiprocessing.active_children() == []


def _alone() -> list[object]:
    chunks = [search(Chunk(Target("15844"), 3, n, r)) for n, r in ((0, 250), (1, 250), (2, 100))]
    first = {}
    for chunk in chunks:
        for f in chunk.found:
            first.setdefault(f.cause, f)
    rows = [(f.cause, f.run, shrink(f.case, f.cause).case) for f in first.values()]
    return sorted(rows, key=lambda row: (row[1], row[0]))


_OF_SEED_3 = _alone()


def test_every_chunk_goes_another_way_and_always_the_same():
    one, other, again = (search(Chunk(Target("15844"), 3, number, 50)) for number in (0, 1, 0))
    assert one.shapes != other.shapes
    assert one == again


def test_findings_are_scenarios_that_pass(cli, tmp_path):
    folder = tmp_path / "findings"
    arguments = ("explore", "--gpt", "13896", "--runs", "500", "--seed", "7", "-o", str(folder))
    outcome = cli(*arguments, "--format", "json")
    assert outcome.status == 1
    record = json.loads(outcome.out)
    assert (record["gpt"], record["seed"], record["runs"]) == ("13896", 7, 500)
    assert {(f["kind"], f["letter"]) for f in record["findings"]} >= {
        ("panic", "A"),
        ("panic", "B"),
        ("hang", None),
        ("lost", None),
    }
    [by_device] = [f for f in record["findings"] if f["letter"] == "B"]
    assert by_device["guest"]
    assert "A device asked for a hold" in by_device["story"]
    assert Path(by_device["file"]).name == "13896-panic-b.yaml"
    assert cli("run", str(folder)).status == 0
    files = {path.name for path in folder.iterdir()}
    assert files == {
        name for f in record["findings"] for name in (Path(f["file"]).name, _trace(f["file"]))
    }
    for f in record["findings"]:
        assert cause_in(Path(f["file"]).read_text()) == (
            "13896",
            Cause(f["kind"], f["where"], f["how"]),
        )
        assert cli("replay", str(folder / _trace(f["file"]))).status in (0, 3)


def _trace(path: str) -> str:
    return Path(path).with_suffix(".jsonl").name


def test_known_causes_do_not_count(cli, tmp_path):
    arguments = ("explore", "--gpt", "14367", "--runs", "250", "--seed", "7")
    first = cli(*arguments, "-o", str(tmp_path / "one"))
    assert first.status == 1
    again = cli(*arguments, "-o", str(tmp_path / "two"), "--known", str(tmp_path / "one"))
    assert again.status == 0
    assert "2 known causes do not count" in again.out
    assert list((tmp_path / "two").iterdir()) == []
    other = ("explore", "--gpt", "15844", "--runs", "250", "--seed", "7", "-o", str(tmp_path / "x"))
    assert cli(*other, "--known", str(tmp_path / "one")).status == 1  # known of another kernel


def test_two_kernels_compared(cli, tmp_path):
    outcome = cli(
        *("explore", "--compare", "13932,14042", "--runs", "500", "--seed", "7"),
        *("-o", str(tmp_path), "--format", "json"),
    )
    kinds = {(f["kind"], f["where"], f["how"]) for f in json.loads(outcome.out)["findings"]}
    assert ("difference", "reinit", "panic A here, ok there") in kinds
    assert {kind for kind, _, _ in kinds} == {"difference"}
    assert cli("run", str(tmp_path)).status == 0


def test_a_vm_of_ones_own(cli, config, tmp_path):
    outcome = cli(
        *("explore", config("testvm"), "--gpt", "13932", "--runs", "250", "--seed", "7"),
        *("-o", str(tmp_path), "--format", "json"),
    )
    assert outcome.status == 1
    findings = json.loads(outcome.out)["findings"]
    assert ("A", 2) in {(f["letter"], f["steps"]) for f in findings}
    text = (tmp_path / "13932-panic-a-outside.yaml").read_text()
    assert "{gpa: 0xffe00000, segment: 1, len: 2M, prot: r-x}" in text
    assert cli("run", str(tmp_path)).status == 0


def test_an_interrupted_exploration_is_gone_on_with(cli, tmp_path, monkeypatch):
    arguments = ("explore", "--gpt", "2025", "--runs", "750", "--seed", "5", "--jobs", "1")
    whole = cli(*arguments, "-o", str(tmp_path / "whole"), "--format", "json")
    explore = Campaign.explore

    def interrupted(self, workers, bounds, tell):
        explore(self, workers, Bounds(500, None), tell)
        raise KeyboardInterrupt

    monkeypatch.setattr(Campaign, "explore", interrupted)
    folder = tmp_path / "parts"
    stopped = cli(*arguments, "-o", str(folder))
    assert stopped.status == 130
    assert "the same command goes on" in stopped.err
    monkeypatch.setattr(Campaign, "explore", explore)
    other = cli(*arguments[:-3], "6", "-o", str(folder))
    assert other.status == 2
    assert "of another exploration: expected the same seed" in other.err
    ended = cli(*arguments, "-o", str(folder), "--format", "json")
    assert "going on after 500 runs" in ended.err
    assert not (folder / ".explore.json").exists()

    def comparable(outcome):
        record = json.loads(outcome.out)
        record.pop("seconds")
        for f in record["findings"]:
            f["file"] = Path(f["file"]).name
            f.pop("seconds")
        return record

    assert comparable(ended) == comparable(whole)


def test_what_another_version_left_is_refused(cli, tmp_path):
    campaign = Campaign(Target("2025"), 5)
    left = json.loads(campaign.saved())
    for change, words in (
        ({"version": "0.0.1"}, "left by another version of bhyvesim ('0.0.1')"),
        ({"engine": "f" * 64}, "left by another engine"),
        ({"done": "x"}, "makes no sense"),
    ):
        (tmp_path / ".explore.json").write_text(json.dumps({**left, **change}))
        outcome = cli("explore", "--gpt", "2025", "--runs", "1", "--seed", "5", "-o", str(tmp_path))
        assert (outcome.status, outcome.out) == (2, "")
        assert words in outcome.err
        assert "--fresh" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--time", "soon"], "'soon' is no time: expected one such as 60s"),
        (["--time", "5s", "--runs", "3"], "--time together with --runs"),
        (["--compare", "13932"], "are not two revisions"),
        (["--compare", "13932,1"], "'1' is not one of 13932"),
        (["--known", "/nowhere", "--runs", "1"], "/nowhere: no folder"),
        (["-o", "/dev/null/x", "--runs", "1"], "expected a folder to write in"),
        (["--dask", "tcp://127.0.0.1:1", "--jobs", "2", "--runs", "1"], "expected one"),
    ],
)
def test_bad_input(cli, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    outcome = cli("explore", *arguments)
    assert outcome.status == 2
    assert words in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.fixture
def mistaken(tmp_path, monkeypatch):
    """Put a kernel with a mistake in the table, for the time of a test."""
    monkeypatch.setattr(revision_file, "_sources", {})
    monkeypatch.setitem(revisions.REVISIONS, "mistaken", None)

    def add(name):
        revisions.REVISIONS.pop("mistaken", None)
        path = tmp_path / "mistaken.py"
        path.write_text(source(name))
        revision_file.read(str(path))

    return add


OF_2025 = KNOWN["2025"]


@pytest.mark.parametrize("name", MISTAKES)
def test_planted_mistakes_are_found(mistaken, name):
    mistaken(name)
    kinds: set[str] = set()
    for number in range(4):
        chunk = search(Chunk(Target("mistaken"), 1, number, 50))
        kinds |= {f.cause.kind for f in chunk.found if f.cause not in OF_2025}
        if MISTAKES[name][1] in kinds:
            return
    raise AssertionError(f"only {kinds or 'nothing'} was found")


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("leaves the last page", "breaks its page tables (stray)"),
        ("panics across 1 GiB", "panics in vmm_gpt_populate_region"),
        ("hangs above 512 GiB", "hangs in vmm_gpt_unmap_region"),
    ],
)
def test_a_canary_by_its_file(cli, tmp_path, mistaken, name, title):
    path, folder = tmp_path / "canary.py", tmp_path / "found"
    path.write_text(source(name))
    given = ("--revision-file", str(path))
    outcome = cli(
        *("explore", "--gpt", "mistaken", *given),
        *("--runs", "100", "--seed", "1", "-o", str(folder), "--jobs", "2"),
    )
    assert outcome.status == 1
    assert title in outcome.out
    assert cli("run", str(folder), *given).status == 0
