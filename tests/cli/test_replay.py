"""bhyvesim replay: results, comparison, and files that are wrong."""

from __future__ import annotations

import io
import json
import sys

import pytest

from tests.conformance.traces import PATH, TRACES

CREATE = '{"op":"create","gpt":"2025","debug":true,"npt":"rvi"}'


def test_check_finds_the_traces_as_recorded(cli):
    assert cli("replay", "--check", PATH) == (0, "27044 results, all as expected\n", "")


def test_one_result_a_line(cli, vm_file):
    trace = TRACES[0]
    lines = "\n".join(json.dumps(op) for op in trace["ops"])
    status, out, _ = cli("replay", vm_file(lines, "ops.jsonl"))
    assert status == 0
    assert [json.loads(line) for line in out.splitlines()] == trace["results"]


def test_numbers_and_protections_as_text(cli, vm_file):
    ops = [
        CREATE,
        '{"op":"alloc_memseg","segid":0,"len":"2M","name":""}',
        '{"op":"mmap_memseg","gpa":"0xffe00000","segid":0,"segoff":0,"len":"2M","prot":"r-x"}',
        "",
        '{"op":"access","gpa":"0xffe00000","npages":512,"prot":"x"}',
        '{"op":"destroy"}',
        '{"op":"dump"}',
    ]
    _, out, _ = cli("replay", vm_file("\n".join(ops)))
    assert out.splitlines()[3:] == [
        '{"ok":512,"mapped":512}',
        '{"ok":0,"leaked_nodes":0}',
        '{"error":"ENOENT"}',
    ]


def test_a_batch_of_single_accesses(cli, vm_file):
    ops = [
        CREATE,
        '{"op":"alloc_memseg","segid":0,"len":"2M","name":""}',
        '{"op":"mmap_memseg","gpa":0,"segid":0,"segoff":0,"len":"2M","prot":"r-x"}',
        '{"op":"access_batch","gpas":[0,"0x1000",4096,"4M"],"prot":"x"}',
        '{"op":"access_batch","gpas":[8192],"prot":"w"}',
    ]
    _, out, _ = cli("replay", vm_file("\n".join(ops)))
    assert out.splitlines()[3:] == [
        '{"ok":3,"mapped":2,"faults":[[4194304,"FC_NOMAP"]]}',
        '{"ok":0,"mapped":0,"faults":[[8192,"FC_PROT"]]}',
    ]


def test_standard_input(cli, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(CREATE.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert cli("replay", "-") == (0, '{"ok":0}\n', "")


def test_differences_are_shown_with_operation_expected_and_got(cli, vm_file):
    trace = json.loads(json.dumps(TRACES[0]))
    trace["results"][7]["mapped"] = 77
    path = vm_file(json.dumps(trace), "t.jsonl")
    status, out, _ = cli("replay", "--check", path)
    assert status == 1
    assert out.splitlines() == [
        f"{path}:1: operation 8:",
        '  op        {"op":"access","gpa":4298268672,"npages":1,"prot":1}',
        '  expected  {"ok":1,"mapped":77}',
        '  got       {"ok":1,"mapped":1}',
        f"1 of {len(trace['ops'])} results differ",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "'[1]' is not an operation: expected a JSON object"),
        ("[" * 100000, "too deeply nested"),
        ('{"gpa":1}', 'the key "op" is missing'),
        ('{"op":"boot"}', "unknown op '\"boot\"'"),
        ('{"op":7}', "unknown op '7'"),
        ('{"op":"reinit","op":"reinit"}', "not JSON (the key 'op' stands twice)"),
        ('{"op":"create","gpt":"2025","debug":1,"npt":"rvi"}', "create: \"debug\": '1' is not a"),
        ('{"op":"create","gpt":"2025","npt":"rvi"}', 'create lacks the key "debug"'),
        ('{"op":"create","gpt":2025,"debug":true,"npt":"rvi"}', 'create: "gpt": unknown value'),
        ('{"op":"access","gpa":1.5,"npages":1,"prot":1}', "'1.5' is not a number"),
        ('{"op":"access","gpa":true,"npages":1,"prot":1}', "'true' is not a number"),
        ('{"op":"access","gpa":0,"npages":-1,"prot":1}', "-1 is negative"),
        ('{"op":"access","gpa":0,"npages":1,"prot":0}', "0 is not an access"),
        ('{"op":"access","gpa":0,"npages":1,"prot":1,"x":1}', "access has no key 'x'"),
        ('{"op":"reinit","x":1}', "reinit has no key 'x': expected no other key"),
        ('{"op":"munmap_memseg","gpa":"8Q","len":1}', "'8Q' is not a size"),
        ('{"ops":1}', '"ops" is something else'),
        ('{"ops":[],"results":[1]}', '"results" does not match "ops"'),
        (
            '{"op":"munmap_memseg","gpa":' + "9" * 5000 + ',"len":1}',
            "not JSON (an integer of thousands",
        ),
    ],
)
def test_malformed_lines(cli, vm_file, line, message):
    path = vm_file(f"{CREATE}\n{line}\n", "bad.jsonl")
    status, out, err = cli("replay", path)
    assert (status, out) == (2, '{"ok":0}\n')
    assert err.startswith(f"bhyvesim: {path}:2: ")
    assert message in err
    assert err.count("\n") == 1


def test_not_text_and_cut_off(cli, vm_file, tmp_path):
    status, _, err = cli("replay", vm_file(b"\xff\n", "latin.jsonl"))
    assert (status, "latin.jsonl:1: not UTF-8" in err) == (2, True)
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(PATH.read_bytes()[:5000])
    status, _, err = cli("replay", "--check", cut)
    assert (status, "is cut off" in err) == (2, True)


def test_nothing_to_check(cli, vm_file):
    assert cli("replay", "--check", vm_file(CREATE)).status == 2
