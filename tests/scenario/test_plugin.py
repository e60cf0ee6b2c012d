"""The pytest plugin: scenario files are collected, one test a cell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bhyvesim.config.scenario.sources import Sources
from bhyvesim.scenario.discover import looks_like_a_scenario
from tests.conftest import ROOT
from tests.scenario.test_run import RIGHT, WRONG


def pytest_on(*argv, cwd):
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-o",
            "addopts=",
            "-p",
            "no:cacheprovider",
            *map(str, argv),
        ],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_shipped_examples_pass(tmp_path):
    texts = {str(path): path.read_bytes() for path in (ROOT / "examples").rglob("*.yaml")}
    shipped = [path for path, text in texts.items() if looks_like_a_scenario(text)]
    cells = sum(len(Sources(lambda p: Path(p).read_bytes()).load(path).cells) for path in shipped)
    assert cells >= 300
    done = pytest_on("--rootdir", tmp_path, ROOT / "examples", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"{cells} passed" in done.stdout


def test_failures_show_the_step_and_no_traceback(tmp_path):
    (tmp_path / "wrong.yaml").write_text(WRONG)
    (tmp_path / "right.yaml").write_text(RIGHT)
    (tmp_path / "vm.yaml").write_text("name: t\nmemory: 8G\n")
    (tmp_path / "other.yml").write_text("a: [\n")
    done = pytest_on(tmp_path, cwd=tmp_path)
    assert "2 failed, 22 passed" in done.stdout
    assert "expected  lost: 0" in done.stdout
    assert "Traceback" not in done.stdout
    assert "pytest_plugin.py" not in done.stdout


def test_a_bad_file_is_a_collection_error(tmp_path):
    (tmp_path / "bad.yaml").write_text("title: t\nsteps: [crate]\n")
    done = pytest_on(tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert "bad.yaml:1:1: the key 'vm' is missing" in done.stdout
