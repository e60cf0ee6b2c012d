"""The sdist, as somebody gets it: unpacked, installed with its test extra, its own tests run.

``python -m tests.sdist`` makes an environment for it and runs a part of its tests there
(``make test-sdist``); the tests only collect all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
EPOCH = "1700000000"
QUICK = ("tests/kernel", "tests/config", "tests/store", "tests/test_readme.py", "bhyvesim")


def run(argv: list[str], cwd: Path, environment: Mapping[str, str]) -> str:
    """What it prints. Raises AssertionError with that and its complaints where it fails."""
    done = subprocess.run(
        argv, cwd=cwd, env={**environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what names another copy of bhyvesim, or pytest's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    kept.pop("PYTHONPATH", None)
    return {**kept, **more}


def build(tree: Path, out: Path, target: str) -> Path:
    """The ``sdist`` or ``wheel`` of *tree*, made with the clock stopped."""
    argv = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(out)]
    run(argv, tree, clean_environment(SOURCE_DATE_EPOCH=EPOCH))
    (made,) = out.glob("*.tar.gz" if target == "sdist" else "*.whl")
    return made


def unpack(sdist: Path, folder: Path) -> Path:
    """The tree in *sdist*."""
    folder.mkdir(parents=True, exist_ok=True)
    run(["tar", "-xzf", str(sdist)], folder, os.environ)
    (tree,) = folder.iterdir()
    return tree


def collected(tree: Path, python: str = sys.executable) -> list[str]:
    """The tests that pytest finds in *tree*."""
    argv = [python, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider"]
    out = run(argv, tree, clean_environment(PYTHONPATH=str(tree)))
    return [line for line in out.splitlines() if "::" in line]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = unpack(build(ROOT, folder / "made", "sdist"), folder / "unpacked")
        venv.create(folder / "venv", symlinks=True, with_pip=True)
        python = str(folder / "venv" / "bin" / "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--editable", ".[test]"], tree, clean_environment())
        path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
        quick = [python, "-m", "pytest", "-p", "no:cacheprovider", *QUICK]
        print(run(quick, tree, clean_environment(PATH=path)).splitlines()[-1])
        here, there = len(collected(ROOT)), len(collected(tree, python))
        assert here == there, f"{there} tests in the sdist, {here} here"
    print(f"sdist: it has all {here} tests, and those of {', '.join(QUICK)} pass from it")


if __name__ == "__main__":
    main()
