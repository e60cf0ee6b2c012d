"""Many cells at work, wherever there are workers for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from bhyvesim.scenario.cell import run_cell
from bhyvesim.scenario.model import CellResult, Scenario
from bhyvesim.workers import Workers

Selected = Sequence[tuple[int, int]]  # (index of the scenario, index of its cell)

_MOST = 64  # cells of a chunk
_EACH = 8  # chunks for each worker, at least: the last ones end at about the same time


class Chunk(NamedTuple):
    """Some cells of one scenario, which has no others; ``indexes`` are theirs among all."""

    scenario_index: int
    indexes: tuple[int, ...]
    scenario: Scenario


def run_cells(
    scenarios: Sequence[Scenario], selected: Selected, workers: Workers
) -> Iterator[CellResult]:
    """The results of the cells, as they come; closing the iterator ends the workers' work."""
    size = max(1, min(_MOST, len(selected) // (workers.count * _EACH)))
    for results in workers.spread(_run, _chunks(scenarios, selected, size)):
        yield from results


def _chunks(scenarios: Sequence[Scenario], selected: Selected, size: int) -> Iterator[Chunk]:
    for index, cells in groupby(selected, key=itemgetter(0)):
        indexes = [cell for _, cell in cells]
        for at in range(0, len(indexes), size):
            some = tuple(indexes[at : at + size])
            scenario = scenarios[index]
            kept = tuple(scenario.cells[cell] for cell in some)
            yield Chunk(index, some, replace(scenario, cells=kept))


def _run(chunk: Chunk) -> list[CellResult]:
    return [
        replace(run_cell(chunk.scenario, at), scenario=chunk.scenario_index, cell=index)
        for at, index in enumerate(chunk.indexes)
    ]
