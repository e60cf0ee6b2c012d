"""run: scenarios, on every kernel of their matrix."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial

import click

from bhyvesim import limits
from bhyvesim.cli.files import read_bytes, write_text
from bhyvesim.cli.pages import write
from bhyvesim.cli.params import (
    format_option,
    revision_option,
    workers_of,
    workers_options,
)
from bhyvesim.cli.session import Format, Session
from bhyvesim.errors import UsageError
from bhyvesim.report import scenario as layouts
from bhyvesim.report.model import document
from bhyvesim.scenario.cell import run_cell
from bhyvesim.scenario.discover import looks_like_a_scenario
from bhyvesim.scenario.many import run_cells
from bhyvesim.scenario.model import CellResult, Scenario
from bhyvesim.text import clean
from bhyvesim.workers import WorkerDied


@click.command()
@click.argument("paths", metavar="[FILES-OR-FOLDERS...]", type=click.Path(), nargs=-1)
@workers_options
@click.option("-k", "words", metavar="TEXT", help="Only cells whose file, title or name has TEXT.")
@click.option("--list", "listing", is_flag=True, help="Name the cells, and run none.")
@click.option("--last-failed", is_flag=True, help="Only cells that failed when last run.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first cell that fails.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(0.01, 86_400),
    default=float(limits.SECONDS.most),
    help=f"How long a cell may take. [default: {limits.SECONDS.most}]",
)
@click.option("--junit", metavar="FILE", help="Write JUnit XML to FILE.")
@format_option
@revision_option
@click.pass_obj
def run(
    session: Session,
    paths: tuple[str, ...],
    jobs: int | None,
    dask: str | None,
    words: str | None,
    listing: bool,
    last_failed: bool,
    fail_fast: bool,
    timeout: float,
    junit: str | None,
    fmt: Format | None,
) -> int:
    """Run scenarios on every kernel of their matrix.

    A folder stands for the scenarios in it, at any depth. Exit status: 0 when all
    expectations were met, 1 when some were not, 2 for files that are wrong, and where what
    comes of a cell is not known: it did not end in time, or the kernel takes what is not
    modelled. Which cells failed is remembered in the state folder, for --last-failed; it
    needs no FILES then.
    """
    from bhyvesim.cli.failed import LastFailed
    from bhyvesim.config.scenario.sources import Sources

    remembered = LastFailed(session.store.folder)
    if not paths and not last_failed:
        raise click.UsageError("missing FILES-OR-FOLDERS: expected scenarios")
    found = find_scenarios(paths or remembered.files())
    scenarios = [Sources(read_bytes).load(path) for path in found]
    selected = _select(scenarios, words)
    if last_failed:
        selected = [(i, j) for i, j in selected if remembered.has(*_cell(scenarios, i, j))]
        if not selected:
            raise UsageError("none of these cells is remembered as failed: run them all")
    if listing:
        _list(scenarios, selected)
        return 0
    results: list[CellResult] = []
    stopped: BaseException | None = None
    try:
        coming = _results(session, scenarios, selected, jobs, dask, timeout)
        for result in _watched(coming, len(selected)):
            results.append(result)
            if fail_fast and not result.passed:
                break
    except (KeyboardInterrupt, WorkerDied) as error:
        stopped = error
    results.sort(key=lambda result: (result.scenario, result.cell))
    _report(session, scenarios, results, fmt)
    for result in results:
        cell = _cell(scenarios, result.scenario, result.cell)
        remembered.note(*cell, failed=not result.passed)
    remembered.keep(session)
    if junit is not None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(session.now_ns() // 10**9))
        write_text(junit, layouts.junit(scenarios, results, moment), new=False)
    overdue = sum(result.overdue for result in results)
    unknown = sum(result.unknown for result in results)
    failed = sum(result.failed for result in results)
    late = f", {overdue} did not end" if overdue else ""
    late += f", {unknown} not known" if unknown else ""
    cut = f", {len(selected) - len(results)} not run" if len(results) < len(selected) else ""
    session.note(f"{len(results)} cells, {failed} failed{late}{cut}")
    if stopped is not None:
        raise stopped
    return 2 if overdue or unknown else 1 if failed else 0


def find_scenarios(paths: Sequence[str]) -> list[str]:
    """Scenario files, in order; raises UsageError for a folder without any."""
    found = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        inside = [
            os.path.join(folder, name)
            for folder, _, names in sorted(os.walk(path))
            for name in sorted(names)
            if name.endswith((".yaml", ".yml"))
            and os.path.isfile(os.path.join(folder, name))
            and looks_like_a_scenario(read_bytes(os.path.join(folder, name)))
        ]
        if not inside:
            raise UsageError(
                f"{path}: no scenarios in it: expected .yaml files with a title and steps"
            )
        found += inside
    return list(dict.fromkeys(found))


def _select(scenarios: list[Scenario], words: str | None) -> list[tuple[int, int]]:
    selected = [
        (i, j)
        for i, scenario in enumerate(scenarios)
        for j, cell in enumerate(scenario.cells)
        if words is None or words.lower() in scenario.full_name(cell).lower()
    ]
    if not selected:
        raise UsageError(f"-k {words!r} selects no cell: expected part of a file, title or name")
    return selected


def _cell(scenarios: list[Scenario], index: int, cell: int) -> tuple[str, str]:
    """The file of a cell, and its name there."""
    return scenarios[index].source, scenarios[index].cells[cell].name


def _list(scenarios: list[Scenario], selected: list[tuple[int, int]]) -> None:
    for i, j in selected:
        sys.stdout.write(f"{clean(scenarios[i].full_name(scenarios[i].cells[j]))}\n")


def _results(
    session: Session,
    scenarios: list[Scenario],
    selected: list[tuple[int, int]],
    jobs: int | None,
    dask: str | None,
    timeout: float,
) -> Generator[CellResult, None, None]:
    """The results of the cells; of one alone where it is traced, in this process."""
    if session.listener is None and session.recorder is None:
        with workers_of(jobs, dask, len(selected)) as workers:
            run = partial(run_cell, seconds=timeout)
            yield from run_cells(scenarios, selected, workers, run)
        return
    if len(selected) > 1:
        raise UsageError(f"{len(selected)} cells to trace: expected one; -k TEXT selects")
    index, cell = selected[0]
    result = run_cell(scenarios[index], cell, session.listener, session.recorder, seconds=timeout)
    yield replace(result, scenario=index)


def _watched(results: Generator[CellResult, None, None], total: int) -> Iterator[CellResult]:
    """*results*, with a live view on a terminal; the generator is closed in any case."""
    with closing(results), _progress(total) as advance:
        for result in results:
            advance(result)
            yield result


@contextmanager
def _progress(total: int) -> Iterator[Callable[[CellResult], None]]:
    if not sys.stderr.isatty():
        yield lambda result: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from bhyvesim.cli.progress import console

    failed = 0
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
        task = bar.add_task("cells", total=total)

        def advance(result: CellResult) -> None:
            nonlocal failed
            failed += result.failed
            bar.update(task, advance=1, description=f"cells, {failed} failed")

        yield advance


def _report(
    session: Session, scenarios: list[Scenario], results: list[CellResult], fmt: Format | None
) -> None:
    if fmt == "json":
        records = [
            layouts.scenario_record(scenario, [r for r in results if r.scenario == i])
            for i, scenario in enumerate(scenarios)
        ]
        sys.stdout.write(document(layouts.run_record(records, results)))
        return
    for i, scenario in enumerate(scenarios):
        mine = [result for result in results if result.scenario == i]
        if not mine:
            continue
        write(partial(layouts.head, scenario), fmt)
        session.emit(layouts.matrix(scenario, mine), fmt)
        sys.stdout.write("\n")
        for group in layouts.alike(mine):
            write(partial(layouts.failure_lines, scenario, group), fmt)
            sys.stdout.write("\n")
        for result in mine:
            if result.failure is not None and os.environ.get("GITHUB_ACTIONS"):
                cell = scenario.cells[result.cell]
                sys.stdout.write(layouts.github(scenario, result.failure, cell))
    sys.stdout.flush()
