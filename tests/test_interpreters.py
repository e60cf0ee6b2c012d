"""make test-all: which interpreters it takes."""

from __future__ import annotations

import sys

from tools import interpreters

MINOR = sys.version_info.minor


def test_a_found_python_that_does_not_run_is_passed_over(tmp_path, monkeypatch):
    shim = tmp_path / f"python3.{MINOR}"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    found = iter([str(shim), sys.executable])
    monkeypatch.setattr(interpreters, "candidates", lambda minor: found)
    assert interpreters.find(MINOR) == (sys.version.split()[0], sys.executable)


def test_the_newest_of_pyenv_comes_first(tmp_path, monkeypatch):
    versions = tmp_path / "versions"
    for name in ("3.12.9", "3.12.10", "3.1.2", "3.13.0"):
        (versions / name / "bin").mkdir(parents=True)
        (versions / name / "bin" / "python").touch()
    (tmp_path / "pyenv").write_text(f"#!/bin/sh\necho {tmp_path}\n")
    (tmp_path / "pyenv").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    names = [path.split("/")[-3] for path in interpreters.candidates(12)]
    assert names == ["3.12.10", "3.12.9"]


def test_one_that_fails_fails_all(monkeypatch, capsys):
    monkeypatch.setattr(
        interpreters, "find", lambda minor: None if minor > 12 else (f"3.{minor}.0", "python")
    )
    monkeypatch.setattr(interpreters, "passes", lambda minor, python: minor == 11)
    assert interpreters.main() == 1
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "test-all: Python 3.11.0: passed",
        "test-all: Python 3.12.0: FAILED",
        "test-all: not found: 3.13, 3.14, 3.15",
    ]
