"""Plants mistakes in copies of the tree, and runs the tests that ought to find them."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.mutants.mutant import PACKAGE, ROOT, Mutant

SECONDS = 300  # for the tests of one mutant: with a loop without end in it, they take them all
_LEFT_OUT = (".*", "__pycache__", "build", "dist", "site")
_PYTEST = ("-m", "pytest", "-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider")
_FAILED = 1  # pytest's exit status where a test failed; others mean that it did not get that far


class Outcome(NamedTuple):
    """What came of one mutant: found or not, and what pytest said where it could not tell."""

    mutant: Mutant
    found: bool
    seconds: float
    problem: str = ""

    @property
    def bad(self) -> bool:
        """Whether the list or the tests have to be mended."""
        return bool(self.problem) or self.found == bool(self.mutant.explained)

    def __str__(self) -> str:
        word = "found" if self.found else "explained" if self.mutant.explained else "SURVIVED"
        if self.problem:
            word = "ERROR"
        elif self.found and self.mutant.explained:
            word = "FOUND, though its explanation says that none can"
        lines = [f"{word:<9} {self.seconds:6.1f} s  {self.mutant.label}"]
        return "\n".join(lines + [f"    {line}" for line in self.problem.splitlines()])


def copy_tree(folder: Path) -> None:
    """What the tests need, in *folder*, which is not there yet."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT))


@contextmanager
def _planted(folder: Path, mutant: Mutant, moment: int) -> Iterator[None]:
    """Within, *mutant* is in the copy in *folder*.

    Compiled files are believed while a file's time and size are the same, so each change
    of a file has a *moment* of its own.
    """
    path = folder / PACKAGE / mutant.path
    before = path.read_text(encoding="utf-8")
    path.write_text(mutant.planted(before), encoding="utf-8")
    os.utime(path, (moment, moment))
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")
        os.utime(path, (moment + 1, moment + 1))


def run_tests(folder: Path, tests: Sequence[str], seconds: float) -> tuple[int | None, str]:
    """pytest's exit status (None: time was up) and its last lines, in the copy in *folder*."""
    process = subprocess.Popen(
        [sys.executable, *_PYTEST, *tests],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, ""
    return process.returncode, "\n".join(said.decode(errors="replace").splitlines()[-6:])


def try_mutant(folder: Path, mutant: Mutant, moment: int, seconds: float = SECONDS) -> Outcome:
    """Plant *mutant* in the copy in *folder*, run its tests, and take it out again."""
    started = time.monotonic()
    with _planted(folder, mutant, moment):
        status, said = run_tests(folder, mutant.tests.split(), seconds)
    took = time.monotonic() - started
    if status in (0, _FAILED, None):
        return Outcome(mutant, status != 0, took)
    return Outcome(mutant, False, took, said)


def try_all(mutants: Sequence[Mutant], folder: Path, jobs: int) -> Iterator[Outcome]:
    """What came of each, as they come; *jobs* at a time, each in a copy of its own."""
    free: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for job in range(jobs):
        copy_tree(folder / str(job))
        free.put(folder / str(job))

    def one(number: int, mutant: Mutant) -> Outcome:
        mine = free.get()
        try:
            return try_mutant(mine, mutant, 1_000_000_000 + 2 * number)
        finally:
            free.put(mine)

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(one, number, mutant) for number, mutant in enumerate(mutants)]
        for future in as_completed(futures):
            yield future.result()
