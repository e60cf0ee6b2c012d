"""list: what there is."""

from __future__ import annotations

import click

from bhyvesim.cli.params import format_option
from bhyvesim.cli.session import Format, Session
from bhyvesim.report.vms import ListedVm, listed
from bhyvesim.store.glance import glance
from bhyvesim.store.maps import decoding
from bhyvesim.store.rows import Damaged, VmRow


@click.command("list")
@format_option
@click.pass_obj
def list_vms(session: Session, fmt: Format | None) -> int:
    """List the VMs: state, kernel, memory, and what of it is resident.

    One whose state is damaged is said on standard error; the exit status is then 4.
    """
    vms, damaged = [], []
    with session.store.reading() as transaction:
        rows = list(transaction.vms())
    for row in rows:
        try:
            vms.append(_listed(row))
        except Damaged as found:
            damaged.append(found)
    session.emit(listed(vms), fmt)
    for problem in damaged:
        session.warn(str(problem))
    return Damaged.exit_code if damaged else 0


def _listed(row: VmRow | Damaged) -> ListedVm:
    if isinstance(row, Damaged):
        raise row
    with decoding(row.name):
        seen = glance(row.spec)
    return ListedVm(row.name, row.state, *seen, row.moment.resident, row.moment.crash)
