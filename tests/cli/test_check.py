"""bhyvesim check: each finding, its place, and the kernels it endangers."""

from __future__ import annotations

import json

import pytest

from bhyvesim.lint.rules import RULES

EVERY = ["13932", "14042", "13896", "14367", "15844", "2025"]


@pytest.fixture
def check(cli, vm_file):
    def run(text):
        status, out, _ = cli("check", vm_file(text), "--format", "json", "--fail-on", "never")
        assert status == 0
        return json.loads(out)["findings"]

    return run


def explicit(mappings, segments="[{id: 0, size: 64M}]", head=""):
    return f"name: x\n{head}segments: {segments}\nmappings:\n" + "".join(
        f"  - {{{mapping}}}\n" for mapping in mappings
    )


def test_a_mapping_that_ends_on_a_line_of_512_gib_does_not_cross_it(check):
    for size, crosses in (("1048576K", False), ("1048580K", True)):
        found = check(explicit([f"gpa: 511G, segment: 0, len: {size}"], "[{id: 0, size: 2G}]"))
        assert ("BV103" in [finding["code"] for finding in found]) == crosses


def test_the_hazard_of_the_report(cli, config):
    path = config("testvm-13932")
    status, out, _ = cli("check", path)
    assert status == 1
    assert out == (
        f"{path}:10:10: error BV102 (ends-on-neighbour): [0xffe00000, 0x100000000) ends where "
        "[0x100000000, 0x240000000) begins, at 0x100000000; with closed ranges, unmapping it takes "
        "the first page of the other, at every reboot [endangers 13932]\n"
        f"{path}:9:9: note BV115 (held-pages): kernels from 13896 on hang if a page is held while "
        "something is unmapped\n"
    )


def test_on_the_fixed_kernel_only_the_shape(cli, config):
    path = config("testvm")
    status, out, _ = cli("check", path)
    assert status == 0
    assert ": note BV102 " in out
    assert "13932" not in out
    assert "0x100000000" in out
    assert cli("check", path, "--fail-on", "note").status == 1


@pytest.mark.parametrize("head", ["", "kernel: {gpt: '15844'}\n", "kernel: {gpt: '2025'}\n"])
def test_more_than_508_gib_names_15844(check, head):
    findings = check(f"name: x\nmemory: 512G\n{head}")
    (crossing,) = [f for f in findings if f["code"] == "BV103"]
    assert "15844" in crossing["message"]
    assert crossing["endangers"] == ([] if "2025" in head else ["15844"])
    assert crossing["gpa"] == 512 << 30
    assert not [f for f in check("name: x\nmemory: 508G\n") if f["code"] == "BV103"]


@pytest.mark.parametrize(
    ("text", "code", "line", "endangers"),
    [
        (
            explicit(["gpa: 0, segment: 0, len: 1M", "gpa: 1M, segment: 0, len: 1M"]),
            "BV101",
            5,
            ["13932", "14042", "13896"],
        ),
        (
            explicit(["gpa: 2M, segment: 0, len: 2M", "gpa: 0, segment: 0, len: 2M"]),
            "BV102",
            5,
            [],
        ),
        (
            explicit(["gpa: 0, segment: 0, len: 2M", "gpa: 2M, segment: 0, len: 2M"]),
            "BV102",
            4,
            ["13932"],
        ),
        (explicit(["gpa: 0x7ffffff000, segment: 0, len: 8K"]), "BV103", 4, ["15844"]),
        (
            explicit(["gpa: 0x3fffffe00000, segment: 0, len: 2M"]),
            "BV104",
            4,
            ["13896", "14367", "15844", "2025"],
        ),
        (
            explicit(["gpa: 0, segment: 0, len: 4M", "gpa: 2M, segment: 0, len: 4M"]),
            "BV105",
            5,
            EVERY,
        ),
        (
            explicit(["gpa: 0, segment: 0, len: 2M"], "[{id: 0, name: bootrom, size: 2M}]"),
            "BV106",
            4,
            [],
        ),
        (
            explicit(["gpa: 0, segment: 0, len: 64M"], "[{id: 0, size: 64M}, {id: 1, size: 2M}]"),
            "BV107",
            2,
            [],
        ),
        (explicit(["gpa: 0, segment: 0, len: 2M"]), "BV108", 2, []),
        (
            explicit([f"gpa: {i * 4}M, segment: 0, len: 2M" for i in range(9)]),
            "BV109",
            12,
            EVERY,
        ),
        (
            explicit(["gpa: 0, segment: 0, offset: 62M, len: 4M"]),
            "BV110",
            4,
            EVERY,
        ),
        (
            explicit(["gpa: 0, segment: 4, len: 2M"], "[{id: 4, size: 2M}]"),
            "BV111",
            2,
            ["13932", "14042", "13896", "14367"],
        ),
        (explicit(["gpa: 0, segment: 0, len: 1M"]), "BV112", 4, ["13896"]),
    ],
)
def test_findings(check, text, code, line, endangers):
    found = [f for f in check(text) if f["code"] == code]
    assert [(f["line"], f["endangers"]) for f in found] == [(line, endangers)]


def test_findings_come_true(cli, vm_file):
    """What the review says of a kernel is what the simulation does there."""
    text = explicit(
        ["gpa: 0, segment: 0, len: 1M, prot: rwx", "gpa: 1M, segment: 0, offset: 1M, len: 1M"]
    )
    path = vm_file(text)
    kernels = json.loads(cli("matrix", path, "--format", "json").out)["kernels"]
    unsafe = {k["gpt"] for k in kernels if not k["safe"] and k["debug"]}
    found = json.loads(cli("check", path, "--format", "json", "--fail-on", "never").out)["findings"]
    assert unsafe == set(next(f["endangers"] for f in found if f["code"] == "BV101"))


def test_a_harmless_vm_has_only_the_note_that_all_have(cli, vm_file):
    path = vm_file("name: x\nmemory: 2G\nvmm: bhyve\n")
    status, out, err = cli("check", path)
    assert (status, out.count("\n"), err) == (0, 1, "")
    assert out.startswith(f"{path}:2:9: note BV115 (held-pages): kernels from 13896 on hang")


@pytest.mark.parametrize(
    ("text", "code", "gpa", "endangers"),
    [
        ("name: x\nmemory: 1M\n", "BV112", 1 << 20, ["13896"]),
        (explicit(["gpa: 3M, segment: 0, len: 1M"]), "BV112", 2 << 20, ["13896"]),
        ("name: x\ncpu: intel\nmemory: 2G\n", "BV112", 0xFEE01000, ["13896"]),
        (explicit(["gpa: 0, segment: 0, len: 2M, prot: w"]), "BV113", 0, ["13932", "14042"]),
        (
            explicit(["gpa: 0xfee00000, segment: 0, len: 2M"], head="cpu: intel\n"),
            "BV114",
            0xFEE00000,
            EVERY,
        ),
        (
            explicit(["gpa: 0xfef00000, segment: 0, len: 1M"], head="cpu: intel\n"),
            "BV101",
            0xFEF00000,
            ["13932", "14042", "13896"],
        ),
    ],
)
def test_what_corrections_of_the_model_made_findings(check, text, code, gpa, endangers):
    found = [f for f in check(text) if f["code"] == code]
    assert [(f["gpa"], f["endangers"]) for f in found] == [(gpa, endangers)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("name: x\ncpu: intel\napicv: false\nmemory: 2G\n", "BV112"),
        (explicit(["gpa: 0, segment: 0, len: 2M, prot: w"], head="cpu: intel\n"), "BV113"),
        (explicit(["gpa: 0xfee00000, segment: 0, len: 2M"]), "BV114"),
    ],
)
def test_what_is_no_finding_elsewhere(check, text, code):
    assert code not in [f["code"] for f in check(text)]


def test_github_and_sarif(cli, config):
    path = config("testvm-13932")
    out = cli("check", path, "--format", "github").out
    assert out.startswith(f"::error file={path},line=10,col=10,title=BV102 ends-on-neighbour::")
    sarif = json.loads(cli("check", path, "--format", "sarif").out)
    assert sarif["version"] == "2.1.0"
    (run,) = sarif["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(RULES)
    result, _ = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == "BV102"
    location = result["locations"][0]["physicalLocation"]
    assert location["region"] == {"startLine": 10, "startColumn": 10}
    assert result["level"] == "error"


def test_a_bad_file_is_status_2(cli, vm_file):
    assert cli("check", vm_file("name: x\n")).status == 2


WRONG = """\
name: x
cpu: arm
memory: 8X
bootrm: 2M
kernel: {gpt: "1", debug: maybe}
"""


def test_every_error_of_every_file_with_its_line(cli, vm_file):
    one = vm_file(WRONG, "a.yaml")
    two = vm_file(
        "name: y\nsegments: [{id: 0, size: 5}]\nmappings:\n- {gpa: 1, segment: 0}\n", "b.yaml"
    )
    no_yaml = vm_file("name: [\n", "c.yaml")
    missing = vm_file("name: z\n", "d.yaml")
    together = vm_file("name: z\nmemory: 1G\nsegments: []\nmappings: []\n", "e.yaml")
    good = vm_file("name: x\nmemory: 2G\n", "f.yaml")
    files = (one, two, no_yaml, missing, together, good)
    status, out, err = cli("check", *files, "--fail-on", "never")
    assert status == 2
    lines = [line.removeprefix("bhyvesim: ") for line in err.splitlines()]
    places = [line.partition(": ")[0] for line in lines if line.startswith("/")]
    assert places[:-1] == [
        *(f"{one}:{place}" for place in ("2:6", "3:9", "4:1", "5:15", "5:27")),
        *(f"{two}:{place}" for place in ("2:26", "4:3", "4:9")),
        f"{no_yaml}:2:1",
        f"{missing}:1:1",
    ]
    assert lines[:3] == [
        f"{one}:2:6: cpu: 'arm' is not known: expected one of amd, intel",
        "    cpu: arm",
        "         ^",
    ]
    assert places[-1].startswith(f"{together}:")
    assert lines[-1] == "5 of 6 files could not be read: 11 errors"
    assert out.count("unreadable") == 5
    assert "unread" in cli("check", *files, "--format", "json", "--fail-on", "never").out


def test_the_line_is_shown_as_it_can_be(cli, vm_file):
    long = vm_file('name: "' + "x" * 3000 + '\\e[31m"\nmemory: 1G\n', "a.yaml")
    tabs = vm_file(b"name: x\nmemory: \xff\n", "b.yaml")
    _, _, err = cli("check", long, tabs)
    assert "\x1b" not in err
    assert max(map(len, err.splitlines())) < 300
    carets = [line for line in err.splitlines() if line.strip() == "^"]
    assert len(carets) == 2


def test_every_error_of_one_file_too(cli, vm_file):
    path = vm_file(WRONG, "a.yaml")
    status, out, err = cli("check", path)
    assert (status, out) == (2, "")
    assert err.count(f"bhyvesim: {path}:") == 5
    assert err.endswith(f"bhyvesim: {path} could not be read: 5 errors\n")
    said = json.loads(cli("check", path, "--format", "json").out)["error"]
    assert (said["status"], said["file"]) == (2, path)
    single = vm_file("name: x\nmemory: 1X\n", "b.yaml")
    assert cli("check", single).err.count("\n") == 1
