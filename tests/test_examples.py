"""The shell scripts in examples/, as CI would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "examples"


def run_script(name: str, *argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(SCRIPTS / name), *argv],
        env={**os.environ, "PATH": path},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_demo_tells_the_whole_story(tmp_path):
    done = run_script("demo.sh", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "FFE00000    2048KB      bootrom" in done.stdout
    assert "ptes[i] == 0 (0xe23cd7067 == 0x0)" in done.stdout
    assert "exit status 3" in done.stdout
    assert "lost their PTEs" in done.stdout
    assert "\x1b" not in done.stdout


INCIDENTS = sorted((SCRIPTS / "incidents").glob("*.yaml"))


@pytest.mark.parametrize("path", INCIDENTS, ids=lambda path: path.stem)
def test_incidents_come_out_as_they_did(cli, path):
    """And each has its story in three lines, the last with what was lost, and what is safe."""
    done = cli("run", path, "--jobs", "1")
    assert done.status == 0, done.out
    story = path.read_text(encoding="utf-8").split("\n")[2:5]
    assert all(line.startswith("# ") for line in story)
    assert "Panics: " in story[2] or "Loss: " in story[2]
    assert "Safe: " in story[2]


def test_bug_14042_stays_fixed(tmp_path):
    done = run_script("bug-14042-stays-fixed.sh", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.endswith("bug 14042 stays fixed\n")


@pytest.mark.parametrize(("config", "status"), [("testvm", 0), ("testvm-13932", 3)])
def test_guard_vm_shape(tmp_path, config, status):
    done = run_script("guard-vm-shape.sh", str(ROOT / "configs" / f"{config}.yaml"), cwd=tmp_path)
    assert done.returncode == status
