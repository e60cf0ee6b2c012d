"""bhyvesim prove: the fast way through a bound sees what the slow way sees."""

from __future__ import annotations

import gzip
import hashlib
import json
import multiprocessing
from collections import Counter
from itertools import permutations, product
from pathlib import Path

import pytest

from bhyvesim.explore.bound import (
    Bound,
    create,
    endings,
    mapped,
    memmap,
    middles,
    parse_bound,
    ranges,
    segments,
    shapes,
)
from bhyvesim.explore.causes import KINDS, Cause
from bhyvesim.explore.certificate import (
    Proof,
    Question,
    differences,
    read_certificate,
    record,
)
from bhyvesim.explore.trial import Case, causes
from bhyvesim.explore.vectors import RECORDINGS, SHA256
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.workers import local
from tests.conftest import ROOT

BUILT_IN = list(REVISIONS)[:6]
KERNELS = list(product(BUILT_IN, (True, False), ("rvi", "ept")))
STANDING = ROOT / "docs" / "certificates"
SMALL = Path(__file__).with_name("small-certificates.json")


def proved(bound, gpt, debug=True, npt="rvi", jobs=1):
    proof = Proof(Question(parse_bound(bound), gpt, debug, npt))
    with local(jobs) as workers:
        proof.go_on(workers, lambda done: None)
    return proof.certificate()


def all_shapes(bound: Bound, maps: int):
    """Every ordered choice, the plain way."""
    for chosen in permutations(ranges(bound), maps):
        apart = (
            one[1] <= other[0] or other[1] <= one[0]
            for i, one in enumerate(chosen)
            for other in chosen[:i]
        )
        if all(apart):
            yield tuple((start, end, False) for start, end in chosen)


def the_slow_way(question: Question) -> Counter[Cause]:
    """How many shapes come to each cause: every life from its beginning, looked at in full."""
    bound, counts = question.bound, Counter()
    first = create(bound, question.gpt, debug=question.debug, npt=question.npt)
    for number in range(1, bound.maps + 1):
        for shape in all_shapes(bound, number):
            maps = [memmap(bound, i, *one) for i, one in enumerate(shape)]
            made = [op for m in maps for op in mapped(m)]
            found = set()
            for middle in middles(bound, maps):
                for ending in endings(maps):
                    case = Case(first, (*segments(bound), *made, *middle, *ending))
                    found |= {c for _, c, _ in causes(case) if bound.drift or not c.harmless}
            counts.update(found)
    return counts


def test_the_numbers_of_shapes():
    standing = parse_bound("maps=3,points=17")
    assert [shapes(standing, maps) for maps in (1, 2, 3)] == [136, 6_120, 162_792]
    large = parse_bound("maps=3,points=33")
    assert [shapes(large, maps) for maps in (1, 2, 3)] == [528, 92_752, 9_738_960]
    for points in (2, 4, 6):
        bound = parse_bound(f"maps=3,points={points}")
        for maps in (1, 2, 3):
            assert shapes(bound, maps) == len(list(all_shapes(bound, maps)))
    assert shapes(parse_bound("maps=2,points=17,wired=1"), 2) == 4 * 6_120


@pytest.mark.parametrize(("gpt", "debug", "npt"), KERNELS)
def test_the_fast_way_counts_what_the_slow_way_counts(gpt, debug, npt):
    question = Question(parse_bound("maps=2,points=8"), gpt, debug, npt)
    certificate = proved("maps=2,points=8", gpt, debug, npt)
    assert {c.cause: c.shapes for c in certificate.counterexamples} == the_slow_way(question)
    assert certificate.shapes == question.shapes
    assert certificate.lives == sum(maps * shapes(question.bound, maps) for maps in (1, 2))


@pytest.mark.parametrize(
    ("bound", "gpt", "debug"),
    [
        ("maps=2,points=5,devices=1", "13896", True),
        ("maps=2,points=5,devices=1,holds=1", "14367", True),
        ("maps=2,points=6,wired=1", "14042", False),
        ("maps=2,points=5,dirty=1,devices=1", "2025", True),
        ("maps=2,points=5,drift=1", "15844", False),
        ("maps=3,points=5", "13932", True),
    ],
)
def test_the_letters_widen_what_is_seen(bound, gpt, debug):
    question = Question(parse_bound(bound.replace(",wired=1", "")), gpt, debug, "rvi")
    certificate = proved(bound, gpt, debug)
    slow = the_slow_way(question)
    fast = {c.cause: c.shapes for c in certificate.counterexamples}
    if "wired" in bound:
        assert fast.keys() >= slow.keys()
        assert all(fast[cause] >= slow[cause] for cause in slow)
    else:
        assert fast == slow


def kinds(bound, gpt, debug=True):
    return {c.cause.kind for c in proved(bound, gpt, debug).counterexamples}


def test_what_each_letter_finds():
    assert kinds("maps=1,points=4", "13896") == set()
    assert kinds("maps=1,points=6,devices=1", "13896") == {"panic"}
    assert kinds("maps=1,points=4,holds=1", "2025") == {"hang"}
    assert kinds("maps=1,points=4,drift=1", "2025") == {"drift"}
    assert kinds("maps=1,points=4,dirty=1", "2025") == set()
    assert kinds("maps=1,points=4,wired=1", "2025") == set()


def test_a_digest_does_not_depend_on_who_works():
    one = proved("maps=2,points=9", "15844", jobs=1)
    two = proved("maps=2,points=9", "15844", jobs=2)
    assert one == two
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(("gpt", "debug", "npt"), KERNELS)
def test_small_certificates_still_hold(gpt, debug, npt):
    stored = json.loads(SMALL.read_text())[f"{gpt} {'debug' if debug else 'production'} {npt}"]
    again = proved("maps=2,points=10", gpt, debug, npt)
    assert differences(read_certificate(json.dumps(stored)), again) == []


@pytest.mark.parametrize(("gpt", "debug", "npt"), KERNELS)
def test_the_standing_certificates_are_there(gpt, debug, npt):
    name = f"{gpt}-{'debug' if debug else 'production'}-{npt}.json"
    certificate = read_certificate((STANDING / name).read_text())
    assert certificate.question == Question(parse_bound("maps=3,points=17"), gpt, debug, npt)
    assert certificate.shapes == 136 + 6_120 + 162_792
    assert certificate.vectors == SHA256
    assert certificate.holds == (gpt in ("14367", "2025"))
    for example in certificate.counterexamples:  # each can be seen again
        found = [cause for _, cause, _ in causes(example.case) if not cause.harmless]
        assert found == [example.cause]


def test_the_vectors_are_those_that_the_engine_is_held_to():
    data = (ROOT / "tests" / "conformance" / "traces.jsonl.gz").read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256
    assert len(gzip.decompress(data).splitlines()) == RECORDINGS


def test_a_certificate_written_and_checked(cli, tmp_path):
    path = tmp_path / "c.json"
    arguments = ("prove", "--gpt", "14042", "--bound", "maps=2,points=9", "--jobs", "1")
    outcome = cli(*arguments, "--certificate", str(path), "--scenario", str(tmp_path / "s.yaml"))
    assert outcome.status == 1
    for words in (
        "14042 DEBUG, RVI, maps=2,points=9: does NOT hold",
        "456 shapes, 876 lives from create to destroy",
        "States: 3,210 generated, 487 distinct",
        "Not searched: other addresses",
        "This proves the model, not the kernel.",
        "14042 DEBUG panics (A) in vmm_gpt_vacate_entry: 88 shapes. The smallest:",
    ):
        assert words in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 100
    assert cli("run", str(tmp_path / "s.yaml")).status == 0
    checked = cli("prove", "--check", str(path), "--jobs", "1")
    assert (checked.status, checked.err) == (0, f"bhyvesim: {path}: the same again\n")
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "distinct": 5, "engine": "0" * 64}))
    checked = cli("prove", "--check", str(path), "--jobs", "1")
    assert checked.status == 1
    assert "distinct: 5, now 487" in checked.err
    assert "another than that of the certificate" in checked.err


def test_one_that_holds(cli):
    outcome = cli("prove", "--bound", "maps=2,points=9", "--production", "--ept", "--jobs", "1")
    assert outcome.status == 0
    assert "2025 production, EPT, maps=2,points=9: holds: nothing goes wrong" in outcome.out
    assert "The page counter is wrong after 456 shapes (no counterexample here)" in outcome.out
    assert "Nor holds: the first page" in outcome.out


def test_an_interrupted_proof_is_gone_on_with(cli, tmp_path, monkeypatch):
    path = tmp_path / "c.json"
    arguments = ("prove", "--bound", "maps=2,points=9", "--jobs", "1", "--certificate", str(path))
    go_on = Proof.go_on

    def interrupted(self, workers, tell):
        def told(done):
            if len(self.done) == 30:
                raise KeyboardInterrupt
            tell(done)

        go_on(self, workers, told)

    monkeypatch.setattr(Proof, "go_on", interrupted)
    stopped = cli(*arguments)
    assert stopped.status == 130
    assert "the same command goes on" in stopped.err
    assert not path.exists()
    monkeypatch.setattr(Proof, "go_on", go_on)
    other = cli("prove", "--bound", "maps=2,points=8", "--certificate", str(path))
    assert other.status == 2
    assert "a proof with another bound" in other.err
    ended = cli(*arguments)
    assert ended.status == 0
    assert "going on after" in ended.err
    assert not path.with_name("c.json.part").exists()
    assert read_certificate(path.read_text()) == proved("maps=2,points=9", "2025")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "missing --bound"),
        (["--bound", "maps=2"], "lacks points"),
        (["--bound", "maps=2,points=99"], "character 8 of the bound"),
        (["--bound", "maps=2,points=4,drifts=1"], "'drifts=1': expected each once, of maps"),
        (["--bound", "maps=0,points=4"], "expected maps=1 to maps=8"),
        (["--bound", "maps=6,points=33"], "days here: expected a smaller bound"),
        (["--check", "/nowhere"], "/nowhere: No such file"),
        (["--check", __file__], "no certificate"),
        (["--check", __file__, "--ept"], "expected no bound, no kernel"),
        (["--bound", "maps=1,points=4", "--dask", "tcp://127.0.0.1:1"], "--dask"),
    ],
)
def test_bad_input(cli, arguments, words):
    outcome = cli("prove", *arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert words in outcome.err
    assert outcome.err.count("\n") == 1


def test_every_kind_has_a_word():
    assert list(KINDS)[-1] == "drift"
    for name in KINDS:
        assert str(Cause(name, "there")).endswith("(there)")


def test_the_record_of_a_certificate_is_read_back():
    certificate = proved("maps=2,points=9", "13932")
    assert read_certificate(json.dumps(record(certificate))) == certificate


def test_an_interrupt_leaves_no_process_and_no_complaint(capfd):
    def interrupted(done):
        raise KeyboardInterrupt

    proof = Proof(Question(parse_bound("maps=2,points=12"), "2025", True, "rvi"))
    with pytest.raises(KeyboardInterrupt), local(2) as workers:
        proof.go_on(workers, interrupted)
    assert multiprocessing.active_children() == []
    assert capfd.readouterr().err == ""
