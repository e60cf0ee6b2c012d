"""walk: the tables on the way to one address."""

from __future__ import annotations

import click

from bhyvesim.cli.pages import show
from bhyvesim.cli.params import ADDRESS, format_option, revision_option, subject_options
from bhyvesim.cli.session import Format, Session
from bhyvesim.cli.subject import subject


@click.command()
@subject_options
@click.argument("gpa", metavar="GPA", type=ADDRESS)
@format_option
@revision_option
@click.pass_obj
def walk(session: Session, gpa: int, fmt: Format | None) -> None:
    """Walk the tables for an address, and say what is allowed there.

    Shows the four levels, the host page, the memmap and its segment; and whether a vCPU
    that reads, writes or executes there would be let, tried on a copy of the machine.
    """
    from bhyvesim.report.walk import walk_page

    seen = subject(session)
    show(walk_page(seen.title, seen.name, seen.machine, gpa), fmt)
