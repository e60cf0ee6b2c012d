"""show: one VM on a page."""

from __future__ import annotations

import click

from bhyvesim.cli.params import format_option, revision_option, subject_options
from bhyvesim.cli.session import Format, Session


@click.command()
@subject_options
@format_option
@revision_option
@click.pass_obj
def show(session: Session, fmt: Format | None) -> None:
    """Show a VM: its kernel, its memory with the holes, tables, counters, last event.

    Resident is what the kernel counts, present how many entries for pages are set.
    """
    from bhyvesim.cli import showing

    showing.show(session, fmt)
