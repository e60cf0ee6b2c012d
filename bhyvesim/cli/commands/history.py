"""log, undo, why: the past of a VM."""

from __future__ import annotations

from itertools import dropwhile, islice
from typing import TYPE_CHECKING

import click

from bhyvesim.cli.pages import show
from bhyvesim.cli.params import ADDRESS, format_option, revision_option, vm_named
from bhyvesim.cli.session import Format, Session
from bhyvesim.host.event import KEPT_EVENTS

if TYPE_CHECKING:
    from bhyvesim.host.rerun import Cause
    from bhyvesim.trace.predicate import Values

_SHOWN = 10
_NAMES = {"pte": int, "before": int, "table": int, "event": int, "step": int, "function": str}


@click.command()
@click.option("--prune", is_flag=True, help="Forget all but the last --keep events.")
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(0, KEPT_EVENTS),
    default=KEPT_EVENTS,
    help=f"How many events --prune keeps. [default: {KEPT_EVENTS}]",
)
@vm_named
@format_option
@click.pass_obj
def log(session: Session, prune: bool, keep: int, fmt: Format | None) -> None:
    """List the events of a VM: when, what was asked, and what it came to.

    The log of a destroyed VM stays: name it. The last thousand events of a VM are kept.
    """
    from bhyvesim.host.history import History
    from bhyvesim.report.history import log as log_page

    history = History(session.store, session.which_ever())
    if prune:
        count = history.prune(keep)
        session.note(f"forgot {count} events of {history.name}")
        history = History(session.store, history.name)
    show(log_page(history), fmt)


@click.command()
@vm_named
@click.pass_obj
def undo(session: Session) -> None:
    """Take the last event of a VM back.

    Of a destroy it brings the VM back, of a create it removes it, of a panic it removes the
    dump too. What is taken back is gone.
    """
    from bhyvesim.host.actions import Destroy
    from bhyvesim.host.history import History
    from bhyvesim.report.history import said_of_action

    history = History(session.store, session.which_ever())
    event = history.undo()
    action = history.action(event)
    what = said_of_action(action.record())
    name = history.name
    if history.before(event) is None:
        left = f"there is no {name} any more"
    elif isinstance(action, Destroy):
        left = f"{name} is back"
    else:
        left = f"{name} is as {'after' if event.number > 1 else 'before'} event "
        left += f"{max(event.number - 1, 1)}"
    session.note(f"took event {event.number} back ({what}): {left}")


@click.command()
@vm_named
@click.argument("gpa", metavar="GPA", type=ADDRESS)
@click.option("--all", "everything", is_flag=True, help=f"All changes, not the last {_SHOWN}.")
@click.option(
    "--until",
    metavar="PREDICATE",
    help="Begin with the newest change that made it so, as in 'pte == 0'.",
)
@format_option
@revision_option
@click.pass_obj
def why(
    session: Session, gpa: int, everything: bool, until: str | None, fmt: Format | None
) -> None:
    """Tell who changed the page-table entry of an address, newest change first.

    Of each change the event and its step, and the simulated function in which it came with
    its arguments: the event is done again, and listened to. --until compares pte (the entry
    after the change), before (the entry before it), table (is there a leaf table after it: 1
    or 0), event, step and function.
    """
    from bhyvesim.cli.progress import watched
    from bhyvesim.errors import NothingFound
    from bhyvesim.host.history import History
    from bhyvesim.host.rerun import causes
    from bhyvesim.report.history import why as why_page
    from bhyvesim.trace.predicate import parse
    from bhyvesim.units import PAGE_SIZE

    wanted = None if until is None else parse(until, _NAMES)
    history = History(session.store, session.which_ever())
    page = gpa // PAGE_SIZE * PAGE_SIZE
    gpt = history.newest().machine.space.gpt
    changes = causes(history, page, watched)
    if wanted is not None:
        changes = dropwhile(lambda cause: not wanted(_values(cause)), changes)
    found = list(islice(changes, None if everything else _SHOWN + 1))
    if wanted is not None and not found:
        raise NothingFound(f"no change that is kept of the entry of {page:#x} made it so: {until}")
    complete = everything or len(found) <= _SHOWN
    now = gpt.has_leaf(page), gpt.entry(page // PAGE_SIZE)
    show(
        why_page(history, page, now, gpt.npt, found if everything else found[:_SHOWN], complete),
        fmt,
    )


def _values(cause: Cause) -> Values:
    return {
        "pte": cause.after,
        "before": cause.before,
        "table": int(cause.table[1]),
        "event": cause.event.number,
        "step": cause.step,
        "function": cause.culprit.function,
    }
