"""Runs the engine's cases under pyperf; ``python -m benchmarks`` calls it."""

from __future__ import annotations

import pyperf

from benchmarks.cases import engine_cases


def main() -> None:
    runner = pyperf.Runner(processes=3, values=2, warmups=1)
    for name, case in engine_cases().items():
        runner.bench_func(name, case)


if __name__ == "__main__":
    main()
