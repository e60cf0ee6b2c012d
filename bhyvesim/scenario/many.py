"""Many cells at work, wherever there are workers for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from bhyvesim.scenario.cell import run_cell
from bhyvesim.scenario.model import CellResult, Scenario
from bhyvesim.workers import Workers

Selected = Sequence[tuple[int, int]]  # (index of the scenario, index of its cell)
Run = Callable[[Scenario, int], CellResult]  # of a cell, by its index

_MOST = 64  # cells of a chunk
_EACH = 8  # chunks for each worker, at least: the last ones end at about the same time


class Chunk(NamedTuple):
    """Some cells of one scenario, which has no others; ``indexes`` are theirs among all."""

    scenario_index: int
    indexes: tuple[int, ...]
    scenario: Scenario


def run_cells(
    scenarios: Sequence[Scenario], selected: Selected, workers: Workers, run: Run = run_cell
) -> Iterator[CellResult]:
    """The results of the cells, as they come; closing the iterator ends the workers' work.

    *run* takes one through its scenario, wherever the workers are, and ends.
    """
    size = max(1, min(_MOST, len(selected) // (workers.count * _EACH)))
    for results in workers.spread(partial(_run, run), _chunks(scenarios, selected, size)):
        yield from results


def _chunks(scenarios: Sequence[Scenario], selected: Selected, size: int) -> Iterator[Chunk]:
    for index, cells in groupby(selected, key=itemgetter(0)):
        indexes = [cell for _, cell in cells]
        for at in range(0, len(indexes), size):
            some = tuple(indexes[at : at + size])
            scenario = scenarios[index]
            kept = tuple(scenario.cells[cell] for cell in some)
            yield Chunk(index, some, replace(scenario, cells=kept))


def _run(run: Run, chunk: Chunk) -> list[CellResult]:
    return [
        replace(run(chunk.scenario, at), scenario=chunk.scenario_index, cell=index)
        for at, index in enumerate(chunk.indexes)
    ]
