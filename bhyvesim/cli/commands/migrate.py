"""migrate: rehearse the live migration of a stored VM."""

from __future__ import annotations

from typing import Any

import click

from bhyvesim.cli.life import say_warnings
from bhyvesim.cli.pages import show
from bhyvesim.cli.params import (
    REVISION,
    dry_run_option,
    format_option,
    revision_option,
    vm_named,
)
from bhyvesim.cli.session import Format, Session
from bhyvesim.errors import BadValue
from bhyvesim.vm.migration.plan import (
    DEVICE_WRITES,
    DISCIPLINES,
    MAX_HOPS,
    MAX_ROUNDS,
    MAX_WRITES,
    Plan,
    parse_fail_after,
)
from bhyvesim.vm.names import name_problem

_HELP = "\n\n".join(
    [
        "Rehearse a live migration, and say which pages never arrive.",
        "Rounds of dirty pages go to a new VM while the guest and its devices go on writing; then "
        "the guest pauses, and a last round follows. The bytes at both ends are compared: exit "
        "status 1 if any page is lost, or may be. The source is destroyed afterwards, and NAME is "
        "there in its place, as it came out. For kernels from 14367.",
        "Disciplines:",
        *(f"{name}: {way.meaning}." for name, way in DISCIPLINES.items()),
        "How devices write:",
        *(f"{name}: {meaning}." for name, meaning in DEVICE_WRITES.items()),
    ]
)


@click.command(help=_HELP)
@vm_named
@click.option("--to", metavar="NAME", required=True, help="What the VM is called afterwards.")
@click.option("--gpt", type=REVISION, help="The target's kernel. [default: the source's]")
@click.option(
    "--discipline",
    type=click.Choice(tuple(DISCIPLINES)),
    default=Plan.discipline,
    help=f"Which pages are offered, when, as said above. [default: {Plan.discipline}]",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, MAX_ROUNDS),
    default=Plan.rounds,
    help=f"Rounds before the pause; one comes after it. [default: {Plan.rounds}]",
)
@click.option(
    "--writes",
    type=click.IntRange(0, MAX_WRITES),
    default=Plan.writes,
    help=f"Writes in the guest, a round. [default: {Plan.writes}]",
)
@click.option(
    "--devices",
    metavar="PERCENT",
    type=click.IntRange(0, 100),
    default=Plan.devices,
    help=f"How many of 100 writes are by devices. [default: {Plan.devices}]",
)
@click.option(
    "--device-writes",
    type=click.Choice(tuple(DEVICE_WRITES)),
    default=Plan.device_writes,
    help=f"How devices write, as said above. [default: {Plan.device_writes}]",
)
@click.option(
    "--fail-after",
    metavar="ROUND",
    help="The first attempt fails after that round (a number, or 'paused'); a second follows.",
)
@click.option(
    "--hops",
    type=click.IntRange(1, MAX_HOPS),
    default=Plan.hops,
    help=f"How often the guest moves on; NAME is the last. [default: {Plan.hops}]",
)
@click.option("--seed", type=int, default=Plan.seed, help=f"For the writes. [default: {Plan.seed}]")
@click.option("--keep", is_flag=True, help="Let the source stay as it is; a copy of it moves.")
@dry_run_option
@format_option
@revision_option
@click.pass_obj
def migrate(
    session: Session,
    /,
    to: str,
    gpt: str | None,
    fail_after: str | None,
    keep: bool,
    fmt: Format | None,
    **plan: Any,
) -> int:
    from bhyvesim.report.migration import page

    wrong = name_problem(to)
    if wrong is not None:
        raise click.BadParameter(f"the name {wrong}", param_hint="--to")
    rehearsed = _plan(fail_after, **plan)
    migrated = session.host.migrate(session.which(), to, rehearsed, gpt=gpt, keep=keep)
    say_warnings(session, migrated.warnings)
    show(page(migrated, rehearsed), fmt)
    stays = "stays as it was" if keep else "is gone"
    name = migrated.source.name
    done = f"migrated {name}, which {stays}, to {to}"
    session.note(session.did(f"migrate {name} to {to}", done))
    if migrated.leaked:
        session.warn(f"warning: the end of {migrated.source.name} leaked {migrated.leaked} tables")
    came = migrated.rehearsed
    return 1 if came.lost or came.unknown or migrated.leaked else 0


def _plan(fail_after: str | None, **plan: Any) -> Plan:
    """The plan of these options. Raises BadParameter for a round that there is not."""
    try:
        failing = None if fail_after is None else parse_fail_after(fail_after, plan["rounds"])
    except BadValue as error:
        raise click.BadParameter(str(error), param_hint="--fail-after") from None
    return Plan(**plan, fail_after=failing)
