"""bhyvesim record, and replay --live: options, statuses, both forms, and input that is none."""

from __future__ import annotations

import gzip
import io
import json
import sys

import pytest

from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.ops.dscript import script
from tests.live.example import recording
from tests.live.host import lost
from tests.sessions import ROOT

EXAMPLE = ROOT / "examples" / "recordings" / "two-vms.jsonl"
TEXT = recording()


@pytest.fixture
def refused(cli, vm_file):
    """The one line with which *text* is refused, from its line number on."""

    def run(text, file="host.jsonl"):
        path = vm_file(text, file)
        status, out, err = cli("replay", "--live", path)
        assert (status, out, err.count("\n")) == (2, "", 1)
        return err.removeprefix(f"bhyvesim: {path}:").rstrip("\n")

    return run


def test_the_example_is_what_the_script_would_print():
    assert EXAMPLE.read_text(encoding="utf-8") == TEXT


def test_record_prints_the_script(cli):
    assert cli("record") == (0, script(REVISIONS), "")
    assert cli("record", "--gpt=15844", "--vm=web", "--no-faults") == (
        0,
        script(["15844"], "web", faults=False),
        "",
    )
    status, out, err = cli("record", "--vm=a/b")
    assert (status, out, err.count("\n")) == (2, "", 1)


def test_a_host_that_fits(cli):
    status, out, err = cli("replay", "--live", str(EXAMPLE))
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "your host behaves as 14367"
    assert cli("replay", "--live", str(EXAMPLE), "--gpt=14367").status == 0


def test_a_host_that_does_not(cli):
    status, out, _ = cli("replay", "--live", str(EXAMPLE), "--gpt", "15844")
    assert status == 1
    assert out.splitlines()[-1] == (
        "your host does not behave as 15844: first difference at line 40 (db)"
    )
    assert "15844   db   line 40, vm_alloc_memseg: EINVAL there, ok here" in out
    status, out, _ = cli("replay", "--live", str(EXAMPLE), "--gpt=15844", "--gpt=2025")
    assert status == 1
    assert out.splitlines()[-1] == (
        "your host does not behave as 15844 or 2025: the last of them differs at line 40 (db)"
    )


def test_something_is_lost(cli, vm_file):
    status, out, _ = cli("replay", "--live", vm_file(lost(TEXT, 12)))
    assert status == 1
    assert "unknown from line 12: 1 line of it lost" in out
    assert out.splitlines()[-1] == "unknown: as far as is known, your host behaves as 14367"


def test_nothing_to_compare(cli, vm_file):
    text = '{"live":1,"faults":0}\n{"live":"end"}\n'
    assert cli("replay", "--live", vm_file(text)) == (
        1,
        f"{vm_file(text)}: it was made without guest faults\n"
        "unknown: there was no answer to compare\n",
        "",
    )


def test_standard_input_and_packed(cli, vm_file, monkeypatch):
    plain = cli("replay", "--live", str(EXAMPLE)).out
    packed = vm_file(gzip.compress(TEXT.encode()), "host.jsonl.gz")
    assert cli("replay", "--live", packed) == (0, plain, "")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    assert cli("replay", "--live", "-") == (0, plain, "")


def test_as_json(cli, vm_file):
    record = json.loads(cli("replay", "--live", str(EXAMPLE), "--format=json").out)
    assert (record["verdict"], record["possible"], record["lines"]) == ("fits", ["14367"], 57)
    web, db = record["vms"]
    assert (web["name"], web["compared"], web["verdict"]) == ("web", 16, "fits")
    assert db["agreeing"] == ["13896", "14367"]
    difference = {k["name"]: k["difference"] for k in db["kernels"]}["15844"]
    assert difference == {
        "line": 40,
        "function": "vm_alloc_memseg",
        "host": "EINVAL",
        "kernel": "ok",
    }
    cut = vm_file(TEXT[:3000])
    record = json.loads(cli("replay", "--live", cut, "--format=json").out)
    assert record["verdict"] == "unknown"
    assert all(vm["unknown_from"] and vm["why"] for vm in record["vms"])


def test_a_vm_of_an_odd_name_is_shown_cleanly(cli, vm_file):
    path = vm_file(TEXT.replace('"web"', '"w\x1b[31mb"'))
    out = cli("replay", "--live", path).out
    assert "\x1b" not in out
    assert "w\\e[31mb" in out


def test_input_that_is_something_else(refused):
    what = "expected a line as the script of 'bhyvesim record' prints it"
    assert refused("root\nusr\n") == f"2: 'usr' is something else: {what}"
    assert refused("") == f"1: no line of a recording is in it: {what}"
    assert refused('{"op":"create","gpt":"2025"}\n') == f'1: "vm" is missing: {what}'
    assert refused(TEXT.replace('"vm_reinit"', '"vm_\x07"')).startswith("43: '\"vm_\\\\u0007\"' is")
    assert refused("[" * 5000 + "\n" + "x\n").startswith("2: 'x' is something else")
    assert refused("{" * 100_000) == f"1: no line of a recording is in it: {what}"


def test_a_line_without_end(refused):
    assert refused(TEXT + "x" * (2 << 20)) == ("58: a longer line: expected at most 1048576 bytes")


def test_damaged_files(cli, vm_file):
    packed = gzip.compress(TEXT.encode())
    for data in (packed[:-20], b"no gzip", packed[:40] + b"\0\1\2" + packed[43:]):
        status, out, err = cli("replay", "--live", vm_file(data, "h.gz"))
        assert (status, out, err.count("\n")) == (2, "", 1)
    assert cli("replay", "--live", "/no/such/file").status == 2


@pytest.mark.parametrize(
    "argv",
    [("--live", "a", "b"), ("--live", "--check", "a"), ("--gpt=2025", "a"), ("--format=json", "a")],
)
def test_options_that_do_not_go_together(cli, argv):
    status, out, err = cli("replay", *argv)
    assert (status, out[:13]) == (2, '{\n  "error": ' if "--format=json" in argv else "")
    assert "expected" in err
