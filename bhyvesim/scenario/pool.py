"""Cells in parallel: as many processes as asked for, and none left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Generator, Iterator, Sequence

from bhyvesim import revision_file
from bhyvesim.errors import BhyvesimError
from bhyvesim.scenario.cell import run_cell
from bhyvesim.scenario.model import CellResult, Scenario

Selected = Sequence[tuple[int, int]]  # (index of the scenario, index of its cell)


class WorkerDied(BhyvesimError):
    """Something outside ended a worker process."""


_scenarios: list[Scenario] = []  # a worker's own; set once when it starts


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_cells(
    scenarios: list[Scenario], selected: Selected, jobs: int
) -> Generator[CellResult, None, None]:
    """The results of the cells, as they come; closing the iterator ends the workers."""
    jobs = min(jobs, len(selected))
    if jobs <= 1:
        for scenario, cell in selected:
            yield run_cell(scenarios, scenario, cell)
        return
    yield from _in_processes(scenarios, selected, jobs)


def _in_processes(scenarios: list[Scenario], selected: Selected, jobs: int) -> Iterator[CellResult]:
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    # A forked worker has the scenarios already, and its imports done.
    fork = "fork" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if fork else None)
    executor = ProcessPoolExecutor(jobs, context, _start, (scenarios, revision_file.sources()))
    size = max(1, min(64, len(selected) // (jobs * 8)))
    chunks = [selected[i : i + size] for i in range(0, len(selected), size)]
    finished = False
    try:
        # Workers are born deaf to interrupts, so that none comes before _start ignores them.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            futures = [executor.submit(_run, chunk) for chunk in chunks]
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for future in as_completed(futures):
            yield from future.result()
        finished = True
    except BrokenProcessPool:
        raise WorkerDied("a worker process was killed; its cells have no result") from None
    finally:
        if not finished:
            for worker in multiprocessing.active_children():
                worker.terminate()
        executor.shutdown(cancel_futures=True)  # waits for them


def _start(scenarios: list[Scenario], sources: dict[str, bytes]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends the workers
    for path, source in sources.items():
        revision_file.run(path, source)
    _scenarios[:] = scenarios


def _run(chunk: Selected) -> list[CellResult]:
    return [run_cell(_scenarios, scenario, cell) for scenario, cell in chunk]
