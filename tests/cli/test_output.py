"""What becomes of the output changes no status; what comes from outside is shown harmless."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from bhyvesim.text import clean, clean_json
from tests.conformance.traces import PATH
from tests.sessions import ROOT

BHYVESIM = f"{sys.executable} -m bhyvesim"
NASTY = "x\n::error file=a,line=1::pwned\x1b[31m\u202egnp\x9b"


@pytest.fixture
def sh(tmp_path):
    """Run a line of shell; (status, standard output, standard error)."""
    env = {**os.environ, "BHYVESIM_STATE_DIR": str(tmp_path / "state")}

    def call(line, **more):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line.replace("bhyvesim", BHYVESIM, 1)],
            cwd=ROOT,
            env={**env, **more},
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return call


@pytest.fixture
def doomed(cli, config):
    cli("create", "--config", config("testvm-13932"))


@pytest.mark.usefixtures("doomed")
@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-", ">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_a_panic_that_cannot_be_printed_is_still_a_panic(sh, where):
    assert sh(f"bhyvesim reboot {where}")[0] == 3
    assert sh("bhyvesim list")[1].split()[7] == "panicked"


def test_a_full_disk_is_said_and_is_no_success(sh):
    status, _, err = sh("bhyvesim --version >/dev/full")
    assert (status, err) == (1, "bhyvesim: standard output: No space left on device\n")
    status, _, err = sh("bhyvesim --version >&-")
    assert (status, err) == (1, "bhyvesim: standard output: it is closed\n")


@pytest.mark.usefixtures("doomed")
def test_a_refusal_stays_a_refusal(sh):
    assert sh("bhyvesim --vm=nobody reboot 2>/dev/full")[0] == 1
    assert sh("bhyvesim nonsense 2>&-")[0] == 2


def test_a_reader_that_went_away_ends_the_work_in_silence(sh):
    status, _, err = sh(f"bhyvesim replay {PATH} | true")
    assert (status, err) == (0, "")


@pytest.mark.usefixtures("doomed")
def test_a_name_that_the_encoding_lacks_is_escaped(sh, cli):
    assert cli("--create", "--vm=漢字").status == 0
    status, out, _ = sh("bhyvesim list", PYTHONIOENCODING="ascii")
    assert status == 0
    assert "\\u6f22\\u5b57" in out


def test_scenario_titles_give_no_orders(cli, vm_file, monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    text = f"title: {json.dumps(NASTY)}\nvm: {{name: v, memory: 2M}}\n"
    path = vm_file(text + "steps: [{create: , expect: EINVAL}]\n")
    junit = tmp_path / "junit.xml"
    status, out, _ = cli("run", path, "--junit", junit)
    assert status == 1
    for shown in (out, junit.read_text(encoding="utf-8")):
        assert not any(line.startswith("::error file=a") for line in shown.splitlines())
        assert not {"\x1b", "\u202e", "\x9b"} & set(shown)
    document = cli("run", path, "--format", "json").out
    assert "\u202e" not in document
    assert json.loads(document)["scenarios"][0]["title"] == NASTY


def test_arguments_and_paths_give_no_orders(cli, tmp_path):
    _, _, err = cli(f"--vm={NASTY}", "reboot")
    assert err.count("\n") == 1
    assert "\x1b" not in err
    folder = tmp_path / "a\n\x1b[31m"
    folder.mkdir()
    (folder / "vm.yaml").write_text("name: v\nmemory: 1M\n")
    for command in ("check", "matrix"):
        out = cli(command, folder).out
        assert "\x1b" not in out
        assert "a\\n\\e[31m" in out


def test_cleaning():
    assert clean("plain 漢字 é") == "plain 漢字 é"
    assert clean("\ud800\x00\x7f") == "\\ud800\\x00\\x7f"
    assert len(clean("x" * 5000)) == 1000
    assert json.loads(clean_json('{"a": "\u202e\x7f"}')) == {"a": "\u202e\x7f"}
