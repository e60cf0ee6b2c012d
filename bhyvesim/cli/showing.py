"""What ``show`` does; its options are click's, in commands/show.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bhyvesim.cli.pages import show as show_page_of
from bhyvesim.cli.session import Format, Session
from bhyvesim.cli.subject import Subject, subject
from bhyvesim.report.show import show_page

if TYPE_CHECKING:
    from bhyvesim.report.history import LogEvent


def show(session: Session, fmt: Format | None) -> None:
    """Show the VM that is meant, or the dump, or the moment."""
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
