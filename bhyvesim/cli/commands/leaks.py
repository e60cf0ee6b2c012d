"""leaks: what is allocated, and who needs it."""

from __future__ import annotations

import click

from bhyvesim.cli.pages import show
from bhyvesim.cli.params import format_option, revision_option, subject_options
from bhyvesim.cli.session import Format, Session
from bhyvesim.cli.subject import subject


@click.command()
@subject_options
@format_option
@revision_option
@click.pass_obj
def leaks(session: Session, fmt: Format | None) -> int:
    """Show what is allocated and for whom; status 1 on a leak.

    Segments, memmaps, page tables by level, holds; and what nobody needs: segments without
    a memmap, tables that no memmap needs, pages mapped outside any memmap.
    """
    from bhyvesim.report.leaks import leaks_page

    seen = subject(session)
    page, leaked = leaks_page(seen.title, seen.name, seen.machine)
    show(page, fmt)
    return 1 if leaked else 0
