"""crash: the dumps that panics left."""

from __future__ import annotations

import json
import sys
import time

import click

from bhyvesim.cli.group import Group
from bhyvesim.cli.params import (
    format_option,
    revision_option,
)
from bhyvesim.cli.session import Format, Session
from bhyvesim.kernel.calls import build_name
from bhyvesim.report import crash as layouts
from bhyvesim.report.model import Column, Report
from bhyvesim.store.dumps import read_crash
from bhyvesim.store.rows import Damaged


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
        head = json.loads(row.head)
        if head is None:
            session.warn(str(Damaged(f"crash dump {row.id}", "it cannot be read")))
            continue
        seconds = row.time_ns // 10**9
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
        build = build_name(head["debug"])
        rows.append((str(row.id), row.vm, when, f"{head['gpt']} {build}", head["message"]))
        data.append({"id": row.id, "vm": row.vm, "time": seconds, **head})
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
@revision_option
@click.pass_obj
def show(session: Session, crash_id: int | None, fmt: str) -> None:
    """Show a crash dump, the latest without an ID."""
    with session.store.reading() as transaction:
        row = transaction.crash(crash_id)
        crash = layouts.Crash(row.id, read_crash(transaction, row))
    if fmt == "fma":
        text = layouts.fma(crash, session.now_ns() / 1e9)
    elif fmt == "mdb":
        text = layouts.mdb(crash)
    elif fmt == "json":
        text = json.dumps(layouts.record(crash), indent=2) + "\n"
    else:
        text = layouts.console(crash)
    sys.stdout.write(text)
