"""list: what there is."""

from __future__ import annotations

import click

from bhyvesim.cli.params import format_option
from bhyvesim.cli.session import Format, Session
from bhyvesim.kernel.calls import build_name
from bhyvesim.report.model import Column, Report
from bhyvesim.store.codec import decode_spec
from bhyvesim.store.maps import decoding
from bhyvesim.units import format_size


@click.command("list")
@format_option
@click.pass_obj
def list_vms(session: Session, fmt: Format | None) -> None:
    """List the VMs: state, kernel, memory, resident pages."""
    with session.store.reading() as transaction:
        heads = transaction.heads()
    rows, data = [], []
    for head in heads:
        with decoding(head.name):
            spec = decode_spec(head.spec)
        build = build_name(spec.kernel.debug)
        rows.append(
            (
                head.name,
                head.state,
                f"{spec.kernel.gpt} {build}",
                spec.cpu,
                format_size(spec.memory),
                str(head.resident),
            )
        )
        data.append(
            {
                "name": head.name,
                "state": head.state,
                "gpt": spec.kernel.gpt,
                "debug": spec.kernel.debug,
                "cpu": spec.cpu,
                "memory": spec.memory,
                "resident": head.resident,
                "crash": head.crash,
            }
        )
    columns = (
        Column("NAME"),
        Column("STATE"),
        Column("KERNEL"),
        Column("CPU"),
        Column("MEMORY", True),
        Column("RESIDENT", True),
    )
    session.emit(Report(columns, tuple(rows), {"vms": data}, empty="no VMs"), fmt)
