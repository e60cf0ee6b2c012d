"""crash: the dumps that panics left."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from bhyvesim.cli.actions import decode_crash
from bhyvesim.cli.group import Group
from bhyvesim.cli.params import format_option
from bhyvesim.cli.session import Format, Session, decoding
from bhyvesim.kernel import build_name
from bhyvesim.report import crash as layouts
from bhyvesim.report.model import Column, Report


@click.group(cls=Group)
def crash() -> None:
    """List and show crash dumps."""


@crash.command("list")
@format_option
@click.pass_obj
def list_crashes(session: Session, fmt: Format | None) -> None:
    """List the crash dumps, oldest first."""
    with session.store.reading() as transaction:
        stored = transaction.crashes()
    rows, data = [], []
    for row in stored:
        dump = decode_crash(row)
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(dump.seconds))
        build = build_name(dump.debug)
        rows.append((str(row.id), row.vm, when, f"{dump.gpt} {build}", dump.message))
        data.append(
            {
                "id": row.id,
                "vm": row.vm,
                "time": dump.seconds,
                "uuid": dump.uuid,
                "gpt": dump.gpt,
                "debug": dump.debug,
                "message": dump.message,
            }
        )
    columns = (
        Column("ID", True),
        Column("VM"),
        Column("TIME"),
        Column("KERNEL"),
        Column("PANIC"),
    )
    session.emit(Report(columns, tuple(rows), {"crashes": data}, empty="no crash dumps"), fmt)


@crash.command("show")
@click.argument("crash_id", metavar="[ID]", type=int, required=False)
@click.option(
    "--format",
    "fmt",
    type=click.Choice(("plain", "console", "fma", "mdb", "json")),
    default="plain",
    help="console (plain): the panic and its stack. fma: the fault record of fmdump -Vp. "
    "mdb: ::status and $C. json: everything, the machine's state included.",
)
@click.pass_obj
def show(session: Session, crash_id: int | None, fmt: str) -> None:
    """Show a crash dump, the latest without an ID."""
    with session.store.reading() as transaction:
        row = transaction.crash(crash_id)
    dump = decode_crash(row)
    if fmt == "fma":
        text = layouts.fma(dump, session.now_ns() / 1e9)
    elif fmt == "mdb":
        text = layouts.mdb(dump)
    elif fmt == "json":
        with decoding(f"crash dump {row.id}"):
            record: dict[str, Any] = json.loads(row.record)
        head = {"id": row.id, "vm": row.vm, "time_ns": row.time_ns, "locks": []}
        text = json.dumps({**head, **record}, indent=2) + "\n"
    else:
        text = layouts.console(dump)
    sys.stdout.write(text)
