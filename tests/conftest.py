"""Fixtures: a state folder of its own for every test, the command, golden files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from bhyvesim.cli import run

with suppress(ImportError):  # the floors of the command line are tried without it
    from hypothesis import settings

    settings.register_profile("unhurried", deadline=None)  # a busy machine is no mistake
    settings.load_profile("unhurried")

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden")


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _surroundings(tmp_path, monkeypatch):
    colours = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE")
    for name in ("BHYVESIM_VM", *colours, "POSIXLY_CORRECT", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BHYVESIM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1630143825")
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    import time

    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def cli(capsys):
    """Run the command line in this process."""

    def call(*argv) -> Outcome:
        capsys.readouterr()
        status = run([str(word) for word in argv])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return call


@pytest.fixture
def golden(request):
    """Compare a text with a file in tests/golden; --update-golden rewrites it."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8", newline="")
        assert text == path.read_bytes().decode("utf-8")

    return compare


@pytest.fixture
def config():
    """The path of a shipped VM description."""
    return lambda name: str(ROOT / "configs" / f"{name}.yaml")


@pytest.fixture
def vm_file(tmp_path):
    """Write a VM description; returns its path."""

    def write(text: str, name: str = "vm.yaml") -> str:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The documentation, built as ``make docs`` builds it, in a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build" / "site"
