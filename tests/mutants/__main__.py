"""Plant all mistakes, or those whose label has WORD in it; exit status 1 if one is not found."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.planted import MUTANTS
from tests.mutants.runner import copy_tree, run_tests, try_all


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--jobs", type=int, choices=(1, 2, 3, 4), default=2)
    parser.add_argument(
        "--unproven", action="store_true", help="do not see first that the tests pass without"
    )
    parser.add_argument("words", nargs="*", metavar="WORD")
    asked = parser.parse_args()
    chosen = [m for m in MUTANTS if not asked.words or any(w in m.label for w in asked.words)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        if not asked.unproven and not _pass_without(Path(name) / "sound", chosen):
            return 1
        bad = survived = 0
        for outcome in try_all(chosen, Path(name), asked.jobs):
            print(outcome, flush=True)
            bad += outcome.bad
            survived += not outcome.found
    took = time.monotonic() - started
    print(
        f"{len(chosen)} planted, {len(chosen) - survived} found, {bad} to be mended, {took:.0f} s"
    )
    return 1 if bad or not chosen else 0


def _pass_without(folder: Path, chosen: list) -> bool:
    """Whether all the tests pass where nothing is planted: else a failure says nothing."""
    copy_tree(folder)
    status, said = run_tests(folder, sorted({t for m in chosen for t in m.tests.split()}), 3600)
    if status != 0:
        print(f"the tests do not pass without a mutant:\n{said}")
    return status == 0


if __name__ == "__main__":
    sys.exit(main())
