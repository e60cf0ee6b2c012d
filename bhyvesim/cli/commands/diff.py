"""diff: what differs between two machines, or one at two moments, or on two kernels."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from bhyvesim.cli.pages import show
from bhyvesim.cli.params import (
    complete_crash,
    complete_revisions,
    complete_vm,
    format_option,
    revision_option,
    vm_option,
)
from bhyvesim.cli.session import Format, Session
from bhyvesim.cli.subject import Subject, of_machine, subject, subject_of
from bhyvesim.errors import Refused
from bhyvesim.kernel.look.changes import changes
from bhyvesim.report.diff import difference


def _complete_side(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """VMs, and crash:ID of the dumps."""
    return [
        *complete_vm(ctx, param, incomplete),
        *complete_crash(ctx, param, incomplete, "crash:"),
    ]


@click.command()
@click.argument("one", metavar="[A]", required=False, shell_complete=_complete_side)
@click.argument("other", metavar="[B]", required=False, shell_complete=_complete_side)
@click.option(
    "--on",
    metavar="REVISION,REVISION",
    shell_complete=complete_revisions,
    help="Run the VM's events on two kernels, and compare after each step.",
)
@vm_option
@format_option
@revision_option
@click.pass_obj
def diff(
    session: Session, one: str | None, other: str | None, on: str | None, fmt: Format | None
) -> int:
    """Show what differs in maps, tables, entries and counters.

    A and B are each a VM, @EVENT (of the VM that is meant), VM@EVENT, crash:ID, or a dump
    in a file. With A alone it is compared with the VM as it is; without both, the last event
    is shown: what it changed. The exit status is 1 where anything differs.
    """
    if on is not None:
        if one is not None:
            raise click.UsageError("--on together with A: expected one of the two")
        return _on_two_kernels(session, on, fmt)
    before, after = _two(session, one, other)
    found = changes(before.machine, after.machine)
    show(difference(before.label, after.label, before.machine.npt, found), fmt)
    return 1 if found.any else 0


def _two(session: Session, one: str | None, other: str | None) -> tuple[Subject, Subject]:
    if one is None:
        return _last_event(session)
    before = subject_of(session, one)
    if other is not None:
        return before, subject_of(session, other)
    if session.vm is None:
        session.vm = before.name
    return before, subject(session)


def _last_event(session: Session) -> tuple[Subject, Subject]:
    from bhyvesim.host.history import History

    history = History(session.store, session.which_ever())
    if not history.events:
        raise Refused("ENOENT", f"{history.name} has no events yet")
    last = history.events[-1]
    before, after = history.past_before(last), history.past(history.after(last))
    labels = f"{last.number - 1}", f"{last.number}"
    made = [
        of_machine(history.name, past.state, past.machine, past.when, label)
        for past, label in zip((before, after), labels, strict=True)
    ]
    return made[0], made[1]


def _on_two_kernels(session: Session, on: str, fmt: Format | None) -> int:
    from bhyvesim.cli.params import REVISION
    from bhyvesim.cli.progress import watched
    from bhyvesim.host.history import History
    from bhyvesim.host.rerun import on_two_kernels
    from bhyvesim.report.kernels import compared

    names = [REVISION.convert(name.strip(), None, None) for name in on.split(",")]
    if len(names) != 2 or names[0] == names[1]:
        raise click.UsageError("--on wants two kernels, such as 13932,14042")
    history = History(session.store, session.which_ever())
    steps = on_two_kernels(history, names[0], names[1], watched)
    npt = history.past(history.after(history.events[0])).machine.npt
    page = compared(history.name, names[0], names[1], npt, steps)
    show(page, fmt)
    return 1 if any(step.differs for step in steps) else 0
