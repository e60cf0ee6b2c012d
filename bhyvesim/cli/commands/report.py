"""report: a VM or a crash as one page of HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from bhyvesim.cli.files import write_whole
from bhyvesim.cli.params import revision_option, subject_options
from bhyvesim.cli.session import Session
from bhyvesim.errors import Refused, UsageError

if TYPE_CHECKING:
    from bhyvesim.crash.dump import CrashDump
    from bhyvesim.host.history import History
    from bhyvesim.kernel.machine import Machine


class _Seen(NamedTuple):
    """What the report is on, in the order in which it is asked for it."""

    name: str
    state: str
    machine: Machine
    when: str = ""
    dump: CrashDump | None = None
    crash: int = 1
    history: History | None = None
    until: int | None = None


@click.command()
@click.option(
    "-o",
    "--output",
    metavar="FILE.html",
    required=True,
    type=click.Path(),
    help="Where to write it; a file that is there is replaced.",
)
@subject_options
@revision_option
@click.pass_obj
def report(session: Session, output: str) -> None:
    """Write a page of HTML on a VM or a crash.

    The page has the map of the address space, the page table, the VM's events with what each
    changed, the story of a panic or hang, and the same events on the kernel that mends it. It
    loads nothing from elsewhere.
    """
    from bhyvesim.cli.progress import watched
    from bhyvesim.report.html.data import document
    from bhyvesim.report.html.page import page

    seen = _of_crash(session) if session.crash is not None else _of_vm(session)
    write_whole(output, page(document(*seen, through=watched)).encode())
    session.note(f"wrote {output}: {seen.name}, {seen.state}")


def _of_vm(session: Session) -> _Seen:
    from bhyvesim.host.history import History

    if session.at is None:
        row = session.stored()
        dump = _dump(session, row.moment.crash) if row.stopped else None
        machine = session.host.machine(row.name)
        history = History(session.store, row.name)
        return _Seen(
            row.name, row.state, machine, "", dump, row.moment.crash or 1, history, row.seq
        )
    history = History(session.store, session.which_ever())
    place = history.find(session.at)
    past = history.past(place)
    crash = next((e.crash for e in history.events if e.stages[-1][1] == place.seq), None)
    dump = _dump(session, crash) if past.state in ("panicked", "hung") else None
    if past.state == "destroyed":
        raise UsageError(f"{history.name} was destroyed then: expected a moment before")
    return _Seen(
        history.name, past.state, past.machine, past.when, dump, crash or 1, history, place.seq
    )


def _of_crash(session: Session) -> _Seen:
    from bhyvesim.cli.subject import crash_dump

    assert session.crash is not None
    if session.at is not None:
        raise UsageError("--at together with --crash: expected one of the two")
    dump, crash = crash_dump(session, session.crash)
    history = None if crash is None else _history(session, dump.vm)
    event = next((e for e in history.events if e.crash == crash), None) if history else None
    return _Seen(
        dump.vm,
        dump.snapshot.state,
        dump.machine(),
        "",
        dump,
        crash or 1,
        history if event is not None else None,
        event.stages[-1][1] if event is not None else None,
    )


def _history(session: Session, name: str) -> History | None:
    from bhyvesim.host.history import History

    try:
        return History(session.store, name)
    except Refused:
        return None


def _dump(session: Session, crash: int | None) -> CrashDump | None:
    """The crash dump *crash*; None where it is not there any more."""
    from bhyvesim.store.dumps import read_crash

    try:
        with session.store.reading() as transaction:
            return read_crash(transaction, transaction.crash(crash)) if crash else None
    except Refused:
        return None
