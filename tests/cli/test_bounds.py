"""Inputs that want too much, at the commands that read them: a line, and status 2."""

from __future__ import annotations

import gzip
import json

import pytest

from bhyvesim import limits
from tests.bounded import bounded
from tests.conftest import ROOT

CREATE = b'{"op":"create","gpt":"2025","debug":true,"npt":"ept"}\n'
LINE = limits.LINE.most
PEER = ("--against", "python -m bhyvesim replay -")


@pytest.mark.parametrize("command", [("replay",), ("lockstep", *PEER)])
def test_a_line_that_never_ends(command, tmp_path):
    ended = bounded(*command, "/dev/zero", folder=tmp_path)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == f"bhyvesim: /dev/zero:1: a longer line: expected at most {LINE} bytes\n"


def test_a_small_packed_file_of_one_line(tmp_path):
    with gzip.open(tmp_path / "a.jsonl.gz", "wb") as file:
        file.write(CREATE)
        for _ in range(600):
            file.write(b"[" * (1 << 20))
    assert (tmp_path / "a.jsonl.gz").stat().st_size < 700_000
    ended = bounded("replay", "a.jsonl.gz", folder=tmp_path)
    assert ended.status == 2
    assert ended.err == f"bhyvesim: a.jsonl.gz:2: a longer line: expected at most {LINE} bytes\n"


def test_a_line_as_long_as_it_may_be(tmp_path):
    line = b'{"op":"write","segid":0,"data":"' + b"0" * (LINE - 36) + b'"} \n'
    assert len(line) == LINE
    ended = bounded("replay", "-", folder=tmp_path, given=CREATE + line)
    assert (ended.status, ended.out) == (0, '{"ok":0}\n{"error":"EINVAL"}\n')


def test_flipped_bytes_in_a_packed_file(tmp_path):
    whole = gzip.compress(CREATE + b'{"op":"stats"}\n' * 200, mtime=0)
    said = set()
    for at in range(10, len(whole), 5):
        (tmp_path / "a.gz").write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        ended = bounded("replay", "a.gz", folder=tmp_path)
        assert ended.status == 2, (at, ended)
        assert ended.err.startswith("bhyvesim: a.gz:"), (at, ended)
        assert ended.err.count("\n") == 1, (at, ended)
        said.add(ended.err.partition(": ")[2].partition(":")[2].partition(": ")[2])
    assert "damaged: expected what gzip made\n" in said


@pytest.mark.parametrize(
    ("line", "said"),
    {
        b'{"op":"access","gpa":' + b"9" * 5000 + b"}": (
            "not JSON (an integer of thousands of digits): expected one JSON object a line"
        ),
        b'{"op":"access","gpa":' + b"9" * 4000 + b',"npages":1,"prot":1}': (
            'access: "gpa": an integer of more than 64 bits: expected one between -2^64 and 2^64'
        ),
        b"[" * 100_000: "too deeply nested: expected a JSON object",
        b'{"op":"read","gpa":0,"len":2097153}': (
            'read: "len": 2097153 bytes: expected 1 to 2097152'
        ),
    }.items(),
)
def test_lines_that_want_too_much(line, said, tmp_path):
    ended = bounded("replay", "-", folder=tmp_path, given=CREATE + line + b"\n")
    assert (ended.status, ended.err) == (2, f"bhyvesim: -:2: {said}\n")


def test_a_key_that_stands_twice_among_many(tmp_path):
    keys = b",".join(b'"%d":0' % n for n in range(100_000))
    given = b"{" + keys + b',"99999":0}\n'
    ended = bounded("replay", "-", folder=tmp_path, given=given)
    assert ended.status == 2
    assert ended.err.startswith("bhyvesim: -:1: not JSON (the key '99999' stands twice): expected")


def test_a_sequence_for_lockstep_that_is_too_long(tmp_path):
    lines = json.dumps({"ops": [{"op": "stats"}] * 10_001}).encode() + b"\n"
    ended = bounded("lockstep", *PEER, "-", folder=tmp_path, given=CREATE + lines * 10)
    assert ended.status == 2
    assert ended.err == "bhyvesim: -:11: longer: expected at most 100000 operations\n"


@pytest.mark.parametrize("digits", ["9" * 5000, "9" * 21, "²"])
def test_a_moment_in_the_far_future(digits, tmp_path):
    ended = bounded(
        *("create", "--config", "-"),
        folder=tmp_path,
        given=b"name: x\nmemory: 1G\n",
        SOURCE_DATE_EPOCH=digits,
    )
    assert ended.status == 2
    assert ended.err.startswith("bhyvesim: SOURCE_DATE_EPOCH is ")
    assert ended.err.endswith(": expected seconds since 1970\n")
    assert len(ended.err) < 120


def test_fills_of_a_replay_that_do_too_much_together(tmp_path):
    fill = b'{"op":"fill","gpa":0,"len":"256M","byte":1}\n'
    ended = bounded("replay", "-", folder=tmp_path, given=CREATE + fill * 4 + CREATE + fill * 5)
    assert (ended.status, ended.out.count("\n")) == (2, 10)
    said = "bhyvesim: -:11: fills of 1342177280 bytes: expected at most 1073741824 bytes\n"
    assert ended.err == said


def test_a_text_without_an_end_in_which_a_panic_is_looked_for(tmp_path):
    ended = bounded("import", "/dev/zero", folder=tmp_path)
    assert ended.status == 2
    assert ended.err == "bhyvesim: /dev/zero:1: a longer text: expected at most 268435456 bytes\n"


@pytest.mark.parametrize("number", ["1e999", "9" * 5000, "[" * 100_000])
def test_numbers_in_a_certificate_that_are_none(number, tmp_path):
    text = (ROOT / "docs/certificates/2025-debug-ept.json").read_text(encoding="utf-8")
    record = json.loads(text)
    text = text.replace(f'"lives": {record["lives"]}', f'"lives": {number}')
    (tmp_path / "c.json").write_text(text, encoding="utf-8")
    ended = bounded("prove", "--check", "c.json", folder=tmp_path)
    said = "no certificate: expected what 'prove --certificate' writes"
    assert (ended.status, ended.err) == (2, f"bhyvesim: {said}\n")


def test_a_certificate_without_an_end(tmp_path):
    ended = bounded("prove", "--check", "/dev/zero", folder=tmp_path)
    assert ended.status == 2
    assert ended.err.startswith("bhyvesim: no certificate: expected")


def test_a_script_of_loops_in_loops(tmp_path):
    loops = b"while true; do\n" * 60_000
    ended = bounded("import", "-", folder=tmp_path, given=b"#!/bin/sh\nbhyve -m 4G web\n" + loops)
    assert ended.status == 2
    assert ended.err == "bhyvesim: <stdin>:1: too deeply nested: expected at most 100 levels\n"
