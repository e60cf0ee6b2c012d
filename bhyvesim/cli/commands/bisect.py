"""bisect: which revision brought a failure, and which mended it."""

from __future__ import annotations

import click

from bhyvesim.cli.files import read_bytes
from bhyvesim.cli.pages import show
from bhyvesim.cli.params import format_option, revision_option, workers_of, workers_options
from bhyvesim.cli.session import Format, Session


@click.command()
@click.argument("path", metavar="SCENARIO", type=click.Path())
@workers_options
@format_option
@revision_option
@click.pass_obj
def bisect(
    session: Session, path: str, jobs: int | None, dask: str | None, fmt: Format | None
) -> int:
    """Say which revision brought a failure, and which mended it.

    Takes the VM and the steps of SCENARIO to every revision, whichever its matrix names;
    the build and all else vary as its matrix says. A failure is a panic, a hang, pages
    lost, a refusal, or a step that is not as expected: an expectation that is only for
    some revisions (`when: {gpt: ...}`) excuses none. Exit status 1 when a revision fails,
    2 when none is known to, and what one makes of it is not modelled.
    """
    from bhyvesim.config.scenario.sources import Sources
    from bhyvesim.report.bisect import bisected
    from bhyvesim.scenario.bisect import histories, live, on_every_revision
    from bhyvesim.scenario.many import run_cells

    scenario = on_every_revision(Sources(read_bytes).load(path))
    selected = [(0, index) for index in range(len(scenario.cells))]
    with workers_of(jobs, dask, len(selected)) as workers:
        results = list(run_cells([scenario], selected, workers, live))
    found = histories(scenario, results)
    show(bisected(scenario, found), fmt)
    if any(history.fails for history in found):
        return 1
    return 2 if any(history.unknown for history in found) else 0
