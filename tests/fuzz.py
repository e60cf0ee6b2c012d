"""``make fuzz``: engine against oracle for ten minutes, on every revision, in parallel.

Not part of the tests: they take the same state machines with a small budget.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from bhyvesim.kernel.revisions import REVISIONS
from tests.property.lockstep import lockstep

ROUND = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=False,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


def worker(number: int, seconds: float) -> str:
    """Fuzz revision after revision until the time is over; raises on a difference."""
    names = list(REVISIONS)
    until = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < until:
        run_state_machine_as_test(lockstep(names[(number + rounds) % len(names)]), settings=ROUND)
        rounds += 1
    return f"worker {number}: {rounds} rounds of {ROUND.max_examples} sequences, no difference"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--workers", type=int, default=16)
    options = parser.parse_args()
    print(f"{options.workers} workers on {os.cpu_count()} cores, {options.minutes:g} minutes")
    with ProcessPoolExecutor(options.workers) as pool:
        runs = [pool.submit(worker, n, options.minutes * 60) for n in range(options.workers)]
        for run in as_completed(runs):
            print(run.result(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
