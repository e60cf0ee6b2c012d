"""list: what there is."""

from __future__ import annotations

import click

from bhyvesim.cli.params import format_option
from bhyvesim.cli.session import Format, Session
from bhyvesim.kernel.calls import build_name
from bhyvesim.report.model import Column, Report
from bhyvesim.store.codec import decode_spec
from bhyvesim.store.maps import decoding
from bhyvesim.store.rows import Damaged
from bhyvesim.units import format_size


@click.command("list")
@format_option
@click.pass_obj
def list_vms(session: Session, fmt: Format | None) -> int:
    """List the VMs: state, kernel, memory, resident pages.

    One whose state is damaged is said on standard error; the exit status is then 4.
    """
    rows, data = [], []
    damaged = []
    with session.store.reading() as transaction:
        vms = list(transaction.vms())
    for vm in vms:
        try:
            if isinstance(vm, Damaged):
                raise vm
            with decoding(vm.name):
                spec = decode_spec(vm.spec)
        except Damaged as found:
            damaged.append(found)
            continue
        resident = vm.moment.resident
        build = build_name(spec.kernel.debug)
        rows.append(
            (
                vm.name,
                vm.state,
                f"{spec.kernel.gpt} {build}",
                spec.cpu,
                format_size(spec.memory),
                str(resident),
            )
        )
        data.append(
            {
                "name": vm.name,
                "state": vm.state,
                "gpt": spec.kernel.gpt,
                "debug": spec.kernel.debug,
                "cpu": spec.cpu,
                "memory": spec.memory,
                "resident": resident,
                "crash": vm.moment.crash,
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
    for problem in damaged:
        session.warn(str(problem))
    return Damaged.exit_code if damaged else 0
