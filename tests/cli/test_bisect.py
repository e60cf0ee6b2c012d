"""bisect: its table, its exit status, and what it is given."""

from __future__ import annotations

import json

import pytest

from bhyvesim import revision_file
from bhyvesim.kernel import revisions
from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"
SHARED = str(EXAMPLES / "bhyve-tests" / "a-shared-leaf.yaml")
LINE = str(EXAMPLES / "bhyve-tests" / "b-across-512-gib.yaml")
HELD = str(EXAMPLES / "a-held-page.yaml")


@pytest.fixture(autouse=True)
def _own_table(monkeypatch):
    monkeypatch.setattr(revision_file, "_sources", {})
    before = dict(revisions.REVISIONS)
    yield
    revisions.REVISIONS.clear()
    revisions.REVISIONS.update(before)


def test_a_finding(cli):
    status, out, err = cli("bisect", HELD)
    assert (status, err) == (1, "")
    assert out == (
        f"a reboot while a page is held ({HELD})\n"
        "\n"
        "brought by 13896 (hang at reboot), and no revision mends it\n"
        "\n"
        "VARIANT  13932  14042  13896           14367           15844           2025\n"
        "all      n/a    n/a    hang at reboot  hang at reboot  hang at reboot  hang at reboot\n"
        "n/a: lacks an operation of this scenario (ENOTTY), and is neither good nor bad\n"
    )
    assert cli("bisect", HELD, "--jobs", "1").out == out


def test_nothing_found(cli):
    status, out, _ = cli("bisect", str(EXAMPLES / "bhyve-tests" / "c-contents.yaml"))
    assert (status, "\nno revision fails\n" in out, "n/a" in out) == (0, True, False)


def test_json(cli):
    status, out, _ = cli("bisect", LINE, "--format", "json")
    found = json.loads(out)
    (history,) = found["histories"]
    assert (status, found["fails"], len(history["variants"])) == (1, True, 4)
    assert history["sentence"] == "brought by 15844 (panic C at map); mended in 2025"
    assert history["outcomes"]["15844"] == "panic C at map"
    assert history["changes"] == [
        {"event": "brought", "gpt": "15844", "outcome": "panic C at map"},
        {"event": "mended", "gpt": "2025", "outcome": "ok"},
    ]


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("path", [SHARED, LINE, HELD], ids=["shared", "line", "held"])
def test_it_fits(cli, monkeypatch, columns, path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", str(columns))
    out = cli("bisect", path.removeprefix(f"{ROOT}/"), "--format=table").out
    lines = out.splitlines()
    assert max(map(len, lines)) <= columns
    assert "\x1b" not in out
    assert not any(line.endswith(" ") for line in lines)
    # A revision is beside its outcome: in the heading, or in front of it.
    whole = any(line.startswith("VARIANT") and line.endswith("2025") for line in lines)
    assert whole or any(line.startswith("2025 ") for line in lines)


def test_a_title_is_shown_as_it_is_and_harmless(cli, vm_file):
    path = vm_file('title: "[bold]x\\x1b[1m"\nvm: {name: v, memory: 2M}\nsteps: [create]\n')
    out = cli("bisect", path, "--format", "table").out
    assert out.startswith("[bold]x\\e[1m")


def test_a_fix_that_is_proposed_comes_last(cli, vm_file):
    path = vm_file("title: t\nvm: {name: v, memory: 8G}\nsteps: [create, reboot, destroy]\n")
    fixed = str(EXAMPLES / "revisions" / "half_open.py")
    status, out, _ = cli("bisect", path, f"--revision-file={fixed}")
    assert status == 1
    assert "in 13932, the oldest that is known (panic A at reboot); mended in 14042" in out
    assert out.splitlines()[-2].split()[-2:] == ["2025", "13932-fixed"]
    status, out, _ = cli("bisect", SHARED, f"--revision-file={fixed}", "--jobs", "2")
    assert (
        "DEBUG: in 13932, the oldest that is known (panic A at unmap); mended in 14367; "
        "brought by 13932-fixed (panic A at unmap), and no revision mends it\n"
    ) in out


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read(cli, tmp_path, name):
    status, out, err = cli("bisect", tmp_path / name)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.endswith(": expected a readable file\n")


def test_what_is_no_scenario(cli, config, vm_file):
    status, out, err = cli("bisect", config("testvm"))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "unknown key 'name': expected one of title, host, vm, matrix, steps" in err
    assert cli("bisect").status == 2
    assert cli("bisect", SHARED, LINE).status == 2
    assert cli("bisect", SHARED, "--jobs", "0").status == 2
