"""explore: search a kernel for mistakes that nobody has told of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from bhyvesim.cli.files import read_vm_file, write_whole
from bhyvesim.cli.interrupted import kept, left_in
from bhyvesim.cli.params import (
    REVISION,
    Parsed,
    complete_revisions,
    format_option,
    revision_option,
    workers_of,
    workers_options,
)
from bhyvesim.cli.progress import status
from bhyvesim.cli.session import Format, Session
from bhyvesim.errors import NONSENSE, BadValue, UsageError
from bhyvesim.units import shorten

if TYPE_CHECKING:
    from bhyvesim.explore.campaign import Campaign, Finding
    from bhyvesim.explore.causes import Cause
    from bhyvesim.explore.search import Target
    from bhyvesim.report.explore import Explored, FoundBug

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_DEFAULT = 60.0  # seconds
_PROGRESS = ".explore.json"
_MOST_FILES = 10_000


def seconds_of(text: str) -> float:
    """Seconds from ``60s``, ``5m`` or ``2h``. Raises BadValue."""
    number, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "s")
    if not (number.isascii() and number.isdigit()) or len(number) > 7 or not int(number):
        raise BadValue(f"{shorten(text)} is no time", "one such as 60s, 5m or 2h")
    return int(number) * _UNITS[unit]


def _two(text: str) -> tuple[str, str]:
    one, comma, other = text.partition(",")
    if not comma or one == other:
        raise BadValue(f"{shorten(text)} are not two revisions", "two such as 14042,14367")
    convert = REVISION.convert
    return convert(one, None, None), convert(other, None, None)


@click.command()
@click.argument("path", metavar="[VM.yaml]", type=click.Path(), required=False)
@click.option("--gpt", type=REVISION, help="Which kernel. [default: the VM's, else the newest]")
@click.option(
    "--compare",
    metavar="R,R",
    shell_complete=complete_revisions,
    type=Parsed("R,R", _two),
    help="Look for what two kernels do differently.",
)
@click.option(
    "--time",
    "seconds",
    metavar="TIME",
    type=Parsed("time", seconds_of),
    help="60s, 5m, 2h. [default: 60s]",
)
@click.option(
    "--runs",
    metavar="N",
    type=click.IntRange(1, 10**9),
    help="So many runs instead: with the same seed the same findings, whatever --jobs.",
)
@workers_options
@click.option(
    "--seed", metavar="N", type=click.IntRange(0, 2**63 - 1), help="[default: another each time]"
)
@click.option(
    "-o",
    "--output",
    metavar="FOLDER",
    default="findings",
    type=click.Path(),
    help="[default: findings]",
)
@click.option(
    "--known",
    metavar="FOLDER",
    type=click.Path(),
    help="Causes that have a scenario there do not count.",
)
@click.option("--fresh", is_flag=True, help="Forget an exploration that was interrupted.")
@format_option
@revision_option
@click.pass_obj
def explore(
    session: Session,
    path: str | None,
    gpt: str | None,
    compare: tuple[str, str] | None,
    seconds: float | None,
    runs: int | None,
    jobs: int | None,
    dask: str | None,
    seed: int | None,
    output: str,
    known: str | None,
    fresh: bool,
    fmt: Format | None,
) -> int:
    """Search a kernel for panics, hangs, lost pages and other mistakes.

    Told nothing but the revision, it tries VMs and operations of all kinds, on DEBUG and
    production, AMD and Intel; with VM.yaml it begins with that VM as it is. Every finding is
    made small and becomes a scenario in FOLDER, which 'bhyvesim run' passes. An exploration
    that was interrupted is gone on with. Exit status 1 with findings, 0 without.
    """
    from bhyvesim.explore.campaign import Bounds, Campaign

    if seconds is not None and runs is not None:
        raise click.UsageError("--time together with --runs: expected one of the two")
    target = _target(path, gpt, compare)
    _make_folder(output)
    progress = os.path.join(output, _PROGRESS)
    left = None if fresh else left_in(progress)
    campaign = Campaign(target, _seed(seed, left), _known(known, target.gpt))
    if left is not None:
        try:
            campaign.resume(left)
        except UsageError as error:
            raise UsageError(f"{progress}: {error}, or --fresh") from None
        session.note(f"going on after {campaign.runs:,} runs")
    bounds = Bounds(runs, _DEFAULT if seconds is None and runs is None else seconds)
    keep = kept(session, progress, lambda: campaign.saved() if campaign.done else None)
    with keep, workers_of(jobs, dask) as workers:
        with status("searching") as say:
            campaign.explore(workers, bounds, lambda searched: say(_so_far(campaign)))
        findings = campaign.shrunk(workers)
    explored = _explored(campaign, findings, path, output)
    from bhyvesim.cli.pages import show
    from bhyvesim.report.explore import page

    show(page(explored), fmt)
    return 1 if findings else 0


def _target(path: str | None, gpt: str | None, compare: tuple[str, str] | None) -> Target:
    from bhyvesim.explore.search import Target
    from bhyvesim.kernel.revisions import NEWEST

    against = None
    if compare is not None:
        if gpt is not None:
            raise click.UsageError("--gpt together with --compare: expected one of the two")
        gpt, against = compare
    if path is None:
        return Target(gpt or NEWEST, against)
    from dataclasses import replace

    from bhyvesim.explore.start import operations_of
    from bhyvesim.ops.ioctls import Create

    spec = read_vm_file(path)
    if gpt is not None:
        spec = replace(spec, kernel=replace(spec.kernel, gpt=gpt, digest=""))
    return Target(spec.kernel.gpt, against, Create(**spec.machine_arguments), operations_of(spec))


def _make_folder(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}: expected a folder to write in") from None


def _seed(seed: int | None, left: str | None) -> int:
    """The seed given, or that of what is gone on with, or any."""
    if seed is not None:
        return seed
    if left is not None:
        import json

        try:
            return int(json.loads(left)["seed"])
        except NONSENSE:
            return 0  # what was left says itself what is wrong with it
    return int.from_bytes(os.urandom(4), "big")


def _known(folder: str | None, gpt: str) -> set[Cause]:
    """The causes that the scenarios in *folder* are about, on *gpt*."""
    from bhyvesim.cli.files import read_bytes
    from bhyvesim.explore.written import cause_in

    if folder is None:
        return set()
    if not os.path.isdir(folder):
        raise UsageError(f"{folder}: no folder: expected one with scenarios of findings")
    causes = set()
    names = sorted(name for name in os.listdir(folder) if name.endswith((".yaml", ".yml")))
    for name in names[:_MOST_FILES]:
        there = cause_in(read_bytes(os.path.join(folder, name)).decode("utf-8", "replace"))
        if there is not None and there[0] == gpt:
            causes.add(there[1])
    return causes


def _so_far(campaign: Campaign) -> str:
    rate = campaign.runs / max(campaign.elapsed, 0.001)
    text = f"{campaign.runs:,} runs, {rate:,.0f} a second, {campaign.states:,} states"
    return f"{text}, {len(campaign.found)} findings"


def _explored(campaign: Campaign, findings: list[Finding], vm: str | None, folder: str) -> Explored:
    from bhyvesim.report.explore import Explored

    names: dict[str, int] = {}
    target = campaign.target
    return Explored(
        target.gpt,
        target.against,
        vm,
        campaign.seed,
        campaign.runs,
        campaign.operations,
        campaign.states,
        len(campaign.shapes),
        round(campaign.elapsed, 3),
        len(campaign.known),
        tuple(_written(finding, folder, names) for finding in findings),
    )


def _written(finding: Finding, folder: str, names: dict[str, int]) -> FoundBug:
    """Write the scenario of *finding*, and beside it the operations as they were found."""
    import json

    from bhyvesim.explore.told import seen
    from bhyvesim.explore.written import scenario
    from bhyvesim.report.explain import explain
    from bhyvesim.report.explore import FoundBug

    cause, create = finding.cause, finding.case.create
    shown = seen(finding.case, cause)
    story = list(shown.facts)
    if shown.dump is not None:
        story = explain(shown.dump).splitlines()[2:]  # its headline is the title
        if shown.guest:
            story += ["", "The guest itself can do this to its host."]
    name = shown.slug
    names[name] = names.get(name, 0) + 1
    name += f"-{names[name]}" if names[name] > 1 else ""
    path = os.path.join(folder, f"{name}.yaml")
    head = [f"Found by 'bhyvesim explore' and made small; {name}.jsonl is as it was found.", ""]
    written = scenario(finding.case, cause, shown.name, [*head, *story])
    trace = "".join(f"{json.dumps(record)}\n" for record in finding.unshrunk.records())
    write_whole(path, written.text.encode())
    write_whole(os.path.join(folder, f"{name}.jsonl"), trace.encode())
    return FoundBug(
        shown.name,
        *cause,
        create.gpt,
        create.debug,
        create.npt,
        shown.letter,
        shown.guest,
        written.steps,
        finding.run + 1,
        round(finding.seconds, 3),
        path,
        "\n".join(story),
    )
