"""``make test`` on every Python from 3.11 on that is found; the last lines say on which."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MINORS = range(11, 16)  # 3.11, the oldest that bhyvesim runs on, to one that is yet to come


def candidates(minor: int) -> Iterator[str]:
    """Where a Python 3.*minor* may be: on the PATH, then pyenv's, the newest first."""
    found = shutil.which(f"python3.{minor}")
    if found is not None:
        yield found
    if shutil.which("pyenv") is not None:
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False)
        made = Path(root.stdout.strip(), "versions").glob(f"3.{minor}[.-]*/bin/python")
        yield from sorted(map(str, made), key=_numbers, reverse=True)


def _numbers(path: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path)]


def version(python: str) -> str | None:
    """Its version, such as 3.12.1; none where it does not run, as a pyenv shim may not."""
    code = "import platform, venv; print(platform.python_version())"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def find(minor: int) -> tuple[str, str] | None:
    """The first Python 3.*minor* that runs, as ``(version, path)``."""
    for python in candidates(minor):
        found = version(python)
        if found is not None and found.startswith(f"3.{minor}."):
            return found, python
    return None


def passes(minor: int, python: str) -> bool:
    """Run ``make test`` in an environment of its own."""
    make = os.environ.get("MAKE", "make")
    argv = [make, "--no-print-directory", "test", f"VENV=.venv-3.{minor}", f"PYTHON={python}"]
    return subprocess.run(argv, check=False).returncode == 0


def main() -> int:
    lines = []
    missing = []
    status = 0
    for minor in MINORS:
        found = find(minor)
        if found is None:
            missing.append(f"3.{minor}")
            continue
        name, python = found
        print(f"test-all: Python {name}, {python}", flush=True)
        passed = passes(minor, python)
        lines.append(f"test-all: Python {name}: {'passed' if passed else 'FAILED'}")
        status = status if passed else 1
    print(*lines, sep="\n")
    if missing:
        print(f"test-all: not found: {', '.join(missing)}")
    return status if lines else 1


if __name__ == "__main__":
    sys.exit(main())
