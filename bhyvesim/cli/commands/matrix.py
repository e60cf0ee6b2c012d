"""matrix: on which kernels VMs are safe."""

from __future__ import annotations

import click

from bhyvesim import limits
from bhyvesim.cli.fleet import Fleet, gather, report_unread, room_for, together_short
from bhyvesim.cli.params import (
    REVISION,
    fleet_arguments,
    format_option,
    revision_option,
)
from bhyvesim.cli.session import Format, Session
from bhyvesim.errors import UsageError
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.lint.rules import Severity
from bhyvesim.report import verdicts as layouts
from bhyvesim.scenario.many import run_cells
from bhyvesim.scenario.verdict import KernelChoice, life_on, verdicts
from bhyvesim.workers import cores, local

_MANY_CELLS = 500  # from here on, more processes than one are worth starting


@click.command()
@fleet_arguments
@click.option("--gpt", type=REVISION, multiple=True, help="Only this revision; may repeat.")
@click.option("--from", "old", type=REVISION, help="With --to: what a rollout changes for each VM.")
@click.option("--to", "new", type=REVISION, help="The revision of a rollout from --from.")
@click.option("--debug", "build", flag_value="debug", help="Only DEBUG kernels.")
@click.option("--production", "build", flag_value="production", help="Only production kernels.")
@click.option("--fail-on-unsafe", is_flag=True, help="Exit with 1 unless every VM is safe.")
@format_option
@revision_option
@click.pass_obj
def matrix(
    session: Session,
    paths: tuple[str, ...],
    names: tuple[str, ...],
    everything: bool,
    gpt: tuple[str, ...],
    old: str | None,
    new: str | None,
    build: str | None,
    fail_on_unsafe: bool,
    fmt: Format | None,
) -> int:
    """Say on which kernels VMs are safe.

    Creates each, lets it touch its memory, reboots it three times and destroys it, on
    every revision, DEBUG and production, whatever kernel it names itself; and lets a
    device reach into the holes of its leaf tables. A folder stands for the descriptions
    in it. Of several VMs each is one row. Where the host is described (see 'host set'), a
    note says which it has no room for. Exit status 2 when a file could not be read,
    with --fail-on-unsafe 1 when a VM is not safe (on --to, in a rollout).
    """
    kernels = _kernels(gpt, old, new, build)
    fleet = gather(session, paths, names, everything)
    judged = _judge(session, fleet, kernels)
    taken = not all(vm.names_its_cpu for vm in fleet.vms)
    room = _room(session, fleet)
    if old is not None and new is not None:
        report = layouts.rollout(judged, old, new, cpu_taken=taken, room=room)
    elif fleet.single:
        report = layouts.one_vm(judged[0].source, judged[0].verdicts, cpu_taken=taken, room=room)
    else:
        report = layouts.fleet(judged, cpu_taken=taken, room=room)
    session.emit(report, fmt)
    _say_what_to_ask(session, judged)
    report_unread(session, fleet)
    if fleet.unread:
        return 2
    counted = [v for j in judged for v in j.verdicts if new is None or v.kernel.gpt == new]
    return 1 if fail_on_unsafe and not all(v.safe for v in counted) else 0


def _room(session: Session, fleet: Fleet) -> list[str]:
    """Of each VM that the host has no room for, why; the verdicts are on shapes alone."""
    room = room_for(session)
    if room is None:
        return []
    told = []
    for vm in fleet.vms:
        if vm.node is not None:
            found = room.findings(vm.spec, None)
            told += [f"{vm.source}: {f.message}." for f in found if f.severity > Severity.NOTE]
    together = together_short(fleet, room)
    return told if together is None else [*told, together]


def _say_what_to_ask(session: Session, judged: list[layouts.Judged]) -> None:
    from bhyvesim.report.words import asked

    found = [verdict for one in judged for verdict in one.verdicts]
    words = asked((v.outcome for v in found), drift=any(v.drift for v in found))
    if words:
        ask = ", ".join(f"'explain {word}'" for word in words)
        session.note(f"what the words mean: {ask}")


def _kernels(
    gpt: tuple[str, ...], old: str | None, new: str | None, build: str | None
) -> list[KernelChoice]:
    """The kernels to look at: DEBUG first, then production, each oldest first."""
    if (old is None) != (new is None):
        raise UsageError("--from and --to belong together: expected both")
    if old is not None and new is not None:
        if gpt:
            raise UsageError("--gpt together with --from and --to: expected one or the other")
        gpt = (old, new)
    builds = {"debug": (True,), "production": (False,), None: (True, False)}[build]
    return [
        KernelChoice(name, debug)
        for debug in builds
        for name in REVISIONS
        if name in (gpt or REVISIONS)
    ]


def _judge(session: Session, fleet: Fleet, kernels: list[KernelChoice]) -> list[layouts.Judged]:
    """All VMs of *fleet* on all *kernels*; what could not be read at the end."""
    scenarios = [life_on(kernels, vm.spec, vm.source) for vm in fleet.vms]
    selected = [(i, j) for i in range(len(scenarios)) for j in range(len(kernels))]
    with local(cores() if len(selected) > _MANY_CELLS else 1, session.note) as workers:
        results = list(run_cells(scenarios, selected, workers))
    for result in results:
        if result.overdue:
            kernel = kernels[result.cell].name
            raise UsageError(
                f"{fleet.vms[result.scenario].source}: {result.outcome} on {kernel}: "
                f"expected an end, in {limits.SECONDS}"
            )
    judged = []
    for index, vm in enumerate(fleet.vms):
        mine = verdicts(kernels, [r for r in results if r.scenario == index])
        judged.append(layouts.Judged(vm.source, vm.spec.name, vm.spec.memory, tuple(mine)))
    judged += [layouts.Judged(unread.source, "", 0, ()) for unread in fleet.unread]
    return judged
