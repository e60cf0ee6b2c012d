"""show: one VM on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bhyvesim.cli.pages import show as show_page_of
from bhyvesim.cli.params import format_option, revision_option, subject_options
from bhyvesim.cli.session import Format, Session
from bhyvesim.cli.subject import Subject, subject

if TYPE_CHECKING:
    from bhyvesim.report.history import LogEvent


@click.command()
@subject_options
@format_option
@revision_option
@click.pass_obj
def show(session: Session, fmt: Format | None) -> None:
    """Show a VM: its kernel, its memory with the holes, tables, counters, last event.

    Resident is what the kernel counts, present how many entries for pages are set.
    """
    from bhyvesim.report.show import show_page

    seen = subject(session)
    show_page_of(show_page(seen.title, seen.name, seen.machine, _last(session, seen)), fmt)


def _last(session: Session, seen: Subject) -> LogEvent | None:
    """The last event up to the moment that is looked at; of a dump none is known."""
    if session.crash is not None:
        return None
    from bhyvesim.host.history import History
    from bhyvesim.report.history import logged

    history = History(session.store, seen.name)
    events = [e for e in history.events if seen.seq is None or history.after(e).seq <= seen.seq]
    return logged(history, events[-1]) if events else None
