"""state: the file with all VMs and dumps as a whole."""

from __future__ import annotations

import click

from bhyvesim.cli.group import Group
from bhyvesim.cli.params import dry_run_option, format_option, revision_option
from bhyvesim.cli.session import Format, Session
from bhyvesim.report import state as layouts
from bhyvesim.store import upkeep
from bhyvesim.units import roughly

_DAY_NS = 86_400 * 10**9


@click.group(cls=Group)
def state() -> None:
    """Check, back up, restore and compact the state file."""


@state.command("check")
@format_option
@revision_option
@click.pass_obj
def check(session: Session, fmt: Format | None) -> int:
    """Read all of the state, and say what is damaged; status 1 if anything is.

    SQLite looks at the file, then every VM, moment, part, event, description and crash dump
    is compared with its checksum.
    """
    found = upkeep.check(session.store)
    session.emit(layouts.checked(found), fmt)
    if found.findings:
        count = len(found.findings)
        session.warn(
            f"{count} damaged: 'destroy --force' and 'create --replace' do away with a VM, "
            "'crash rm' with a dump, 'state restore' with all that is new since a backup"
        )
        return 1
    session.note(f"no damage: looked at {layouts.looked_at(found)}")
    return 0


@state.command("backup")
@click.argument("file", metavar="FILE", type=click.Path())
@click.pass_obj
def backup(session: Session, file: str) -> None:
    """Copy the state to FILE, whole or not at all; other commands may work meanwhile.

    An older backup in FILE is replaced, anything else is not.
    """
    size = upkeep.backup(session.store, file)
    session.note(f"backed up to {file}: {roughly(size)}")


@state.command("restore")
@click.argument("file", metavar="FILE", type=click.Path())
@revision_option
@click.pass_obj
def restore(session: Session, file: str) -> None:
    """Put the state in FILE, a backup, in the place of the one there is.

    FILE is looked at first, as 'state check' does it. The state there was is kept beside it.
    """
    aside = upkeep.restore(session.store, file)
    session.note(f"restored the state from {file}")
    if aside is not None:
        session.note(f"the state that was there is kept in {aside}")


@state.command("compact")
@click.option(
    "--older-than",
    metavar="DAYS",
    type=click.IntRange(0, 36_500),
    default=30,
    help="What counts as old. [default: 30]",
)
@dry_run_option
@format_option
@click.pass_obj
def compact(session: Session, older_than: int, fmt: Format | None) -> None:
    """Remove old crash dumps and events, and make the file as small as it goes.

    VMs stay as they are, and so does the dump that a VM ended with.
    """
    before = session.now_ns() - older_than * _DAY_NS
    freed = upkeep.compact(session.store, before, keep=not session.dry_run)
    if fmt is not None:
        session.emit(layouts.compacted(freed), fmt)
    session.note(
        f"removed {freed.dumps} dumps and {freed.events} events older than {older_than} days; "
        f"{roughly(freed.before)} became {roughly(freed.after)}"
    )
