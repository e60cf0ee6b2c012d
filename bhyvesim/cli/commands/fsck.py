"""fsck: whether the tables are whole."""

from __future__ import annotations

import click

from bhyvesim.cli.pages import show
from bhyvesim.cli.params import format_option, revision_option, subject_options
from bhyvesim.cli.session import Format, Session
from bhyvesim.cli.subject import Subject, subject


def _when_it_drifted(session: Session, seen: Subject) -> tuple[str, ...]:
    """The steps of the VM's events at which its counter parted from its pages."""
    if session.crash is not None:
        return ()
    from bhyvesim.cli.progress import watched
    from bhyvesim.host.drift import drifts
    from bhyvesim.host.history import History

    return tuple(map(str, drifts(History(session.store, seen.name), seen.seq, watched)))


@click.command()
@subject_options
@format_option
@revision_option
@click.pass_obj
def fsck(session: Session, fmt: Format | None) -> int:
    """Check the tables; status 1 when they are damaged.

    Compares tables, memmaps, segments and the kernel's page counter. A counter that drifts
    on a kernel that never counts down is noted, and is no damage. Of a stored VM it is said
    in which events the counter went wrong.
    """
    from bhyvesim.kernel.look.fsck import examine
    from bhyvesim.report.fsck import fsck_page

    seen = subject(session)
    findings = examine(seen.machine)
    when = _when_it_drifted(session, seen) if any(f.of_counter for f in findings) else ()
    show(fsck_page(seen.title, seen.name, seen.machine.state.value, findings, when), fmt)
    return 1 if any(finding.damage for finding in findings) else 0
