"""bhyvesim identify: options, statuses, the three forms, and input that is none."""

from __future__ import annotations

import gzip
import json

import pytest

from bhyvesim.kernel import revisions
from tests.cli.test_revision_file import FIXED, SEVENTH
from tests.explore.test_identify import ASSERTION, HEAD, REPORT, USUAL

TRACE = (
    '{"op":"track_dirty_pages","gpa":0,"len":4096}\n{"error":"EPERM"}\n'
    '{"op":"npt_op","gpa":0,"len":4096,"operation":32}\n{"error":"ENOTTY"}\n'
)


@pytest.fixture
def identify(cli):
    """The command without the search, which takes its time; its last line."""

    def run(*argv, status=0):
        outcome = cli("identify", *argv, "--no-experiment", "--format=plain")
        assert outcome.status == status, outcome.err
        return outcome.out.splitlines()[-1]

    return run


@pytest.fixture
def refused(cli):
    """The one line with which it is refused."""

    def run(*argv):
        status, out, err = cli("identify", *argv)
        assert (status, out, err.count("\n")) == (2, "", 1)
        return err.removeprefix("bhyvesim: ").rstrip("\n")

    return run


@pytest.fixture
def _own_table():
    before = dict(revisions.REVISIONS)
    yield
    revisions.REVISIONS.clear()
    revisions.REVISIONS.update(before)


def test_every_kind_of_evidence(identify, vm_file):
    report, trace = vm_file(REPORT, "panic.txt"), vm_file(TRACE, "trace.jsonl")
    packed = vm_file(gzip.compress(TRACE.encode()), "trace.jsonl.gz")
    memmap = vm_file(HEAD + "0 1024GB sysmem 0 RWX\n", "map.txt")
    assert identify("--panic", ASSERTION, "--cpu=amd").startswith("possible: 13932 DEBUG RVI, 14")
    assert identify("--panic-file", report) == "possible: 13932 DEBUG RVI, 14042 DEBUG RVI"
    assert identify("--trace", trace) == identify("--trace", packed) == "possible: 15844"
    assert identify("--errno", "npt_op=ok", "--production") == "possible: 2025 production"
    assert identify("--wired", "8G", "--debug") == "possible: 13932 DEBUG, 14042 DEBUG"
    assert identify("--resident", "4K") == "possible: 13896, 14367, 15844, 2025"
    assert "15844" not in identify("--memmap", memmap)


def test_standard_input_is_read_once(identify, refused, monkeypatch):
    from io import BytesIO, TextIOWrapper

    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(TRACE.encode())))
    assert identify("--trace", "-") == "possible: 15844"
    assert "- stands for several files" in refused("--trace", "-", "--panic-file", "-")


def test_no_kernel_is_left(cli):
    status, out, _ = cli("identify", "--errno=hold=ENOTTY", "--resident=4K", "--format=plain")
    assert status == 1
    lines = out.splitlines()
    assert lines[:2] == ["(1) --errno hold=ENOTTY", "(2) --resident 4K"]
    old, new = (line for line in lines if line.startswith(("13932", "2025")))
    assert old.endswith("(2) its resident memory is always 0: it counts wired memory")
    assert new == "2025    ruled out  (1) ok here"
    assert lines[-1] == "no kernel that bhyvesim knows does all this"


def test_the_experiment_replays(cli, vm_file):
    status, out, _ = cli("identify", "--wired=0", "--format=plain")
    assert status == 0
    assert "(safe: no kernel that is left panics or hangs at it)" in out
    lines = [line for line in out.splitlines() if line.startswith("{")]
    assert cli("replay", vm_file("\n".join(lines), "e.jsonl")).out.count("\n") == 7
    answer = '{"resident_bytes":0,"wired_bytes":4096}'
    trace = vm_file("\n".join([*lines, answer]), "t.jsonl")
    out = cli("identify", "--trace", trace, "--format=plain").out
    assert "possible: 14042\n" in out
    assert "DANGEROUS: panic A at step 5 on 14042 DEBUG\n" in out


def test_alike_within_the_bound(cli):
    argv = ("--wired=0", "--steps=3", "--format=plain")
    out = cli("identify", *argv).out
    assert out.endswith("13932 and 14042 are alike in up to 3 steps of these operations\n")


@pytest.mark.usefixtures("_own_table")
def test_revisions_of_ones_own_take_part(cli, identify, vm_file):
    option = f"--revision-file={FIXED}"
    out = cli("identify", "--wired=0", option, "--format=plain").out
    assert "possible: 13932, 14042, 13932-fixed\n" in out
    assert out.endswith("14042 and 13932-fixed are alike in up to 8 steps of these operations\n")
    seventh = f"--revision-file={vm_file(SEVENTH, 'seventh.py')}"
    # Which panic its populate stops with, nobody knows who has not seen it.
    line = identify("--panic=vmm_gpt_populate_region", seventh)
    assert line == "possible: 15844, seventh"
    assert identify("--panic", ASSERTION, seventh).endswith("RVI, seventh")
    assert "seventh" not in identify("--panic=vmm_gpt_vacate_entry", seventh)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_fit(cli, monkeypatch, vm_file, width):
    monkeypatch.setenv("COLUMNS", str(width))
    argv = ("--panic", ASSERTION, "--memmap", vm_file(HEAD + USUAL, "m"), "--format=table")
    out = cli("identify", *argv).out
    own = [line for line in out.splitlines() if not line.startswith(("{", "(2)", "    /"))]
    assert max(map(len, own)) <= width


def test_json_has_the_answers_in_words(cli):
    document = json.loads(cli("identify", "--wired=0", "--format=json").out)
    assert document["possible"] == ["13932", "14042"]
    (experiment,) = document["experiments"]
    assert experiment["safe"]
    assert [answer["results"][-1] for answer in experiment["answers"]] == [
        "resident 0, wired 0",
        "resident 0, wired 4096",
    ]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--panic="], "--panic: nothing is said"),
        (["--errno=sneeze"], "--errno: 'sneeze' is no OPERATION=ERRNO"),
        (["--errno=\x1b[31m=ok"], "--errno: '\\x1b[31m=ok' is no"),
        (["--resident=1"], "--resident, --wired: 1 bytes: expected whole pages"),
        (["--wired=lots"], "invalid value for '--wired': 'lots' is not a size"),
        (["--trace=/no/such"], "/no/such: No such file or directory"),
        (["--steps=0"], "invalid value for '--steps'"),
        (["--debug", "--cpu=arm"], "invalid value for '--cpu'"),
    ],
)
def test_mistakes_are_one_line(refused, argv, said):
    assert refused(*argv).startswith(said)


@pytest.mark.parametrize(
    ("option", "data", "said"),
    [
        ("--trace", b'{"op":"x"}', ':1: unknown op "x"'),
        ("--trace", b"\xff", ": not UTF-8"),
        ("--trace", b"", ": no results"),
        ("--trace", b"[" * 100_000, ":1: "),
        ("--trace", b" " * ((1 << 20) + 1), ": over 1048576 bytes"),
        ("--memmap", b" " * ((1 << 20) + 1), ": over 1048576 bytes"),
        ("--panic-file", b"\n" * ((1 << 20) + 1), ": over 1048576 bytes"),
        ("--panic-file", b" \n", ": nothing is said"),
        ("--memmap", b"nothing", ":1: a memory map without rows"),
        ("--memmap", HEAD.encode() + b"0 1GB", ":2: '0 1GB'"),
    ],
)
def test_files_that_are_none(refused, vm_file, option, data, said):
    path = vm_file(data, "file")
    assert refused(option, path).removeprefix(path).replace("'\"x\"'", '"x"').startswith(said)


def test_what_is_packed_is_bounded(refused, vm_file):
    path = vm_file(gzip.compress(b" " * (64 << 20)), "bomb.gz")
    assert "over 1048576 bytes" in refused("--trace", path)
    assert "damaged, or not packed" in refused("--trace", vm_file(b"x", "x.gz"))


def test_a_hostile_panic_is_read_quickly_and_shown_clean(cli, vm_file):
    text = (
        "assertion failed: " + " " * 200_000 + "\nassertion failed: \x1b[31m (0x\n" + "a " * 100_000
    )
    out = cli("identify", "--panic-file", vm_file(text, "p"), "--no-experiment").out
    assert "\x1b" not in out
    assert "it decides nothing" in out
