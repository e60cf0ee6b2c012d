"""fsck: whether the tables are whole."""

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
def fsck(session: Session, fmt: Format | None) -> int:
    """Check the tables; status 1 when they are damaged.

    Compares tables, memmaps, segments and the kernel's page counter. A counter that drifts
    on a kernel that never counts down is noted, and is no damage.
    """
    from bhyvesim.kernel.look.fsck import examine
    from bhyvesim.report.fsck import fsck_page

    seen = subject(session)
    findings = examine(seen.machine)
    show(fsck_page(seen.title, seen.name, seen.machine.state.value, findings), fmt)
    return 1 if any(finding.damage for finding in findings) else 0
