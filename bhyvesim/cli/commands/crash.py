"""crash: the dumps that panics left."""

from __future__ import annotations

import json
import sys
from functools import partial

import click

from bhyvesim.cli.files import write_whole
from bhyvesim.cli.group import Group
from bhyvesim.cli.pages import write
from bhyvesim.cli.params import Parsed, complete_crash, format_option, revision_option
from bhyvesim.cli.session import Format, Session
from bhyvesim.cli.streams import colour_is_asked_for
from bhyvesim.cli.subject import crash_dump, is_id, read_dump_file
from bhyvesim.errors import BadValue, Refused
from bhyvesim.report import crash as layouts
from bhyvesim.report.model import document
from bhyvesim.store.dumps import head_of
from bhyvesim.store.rows import Damaged, VmRow
from bhyvesim.units import shorten


def _id(word: str) -> int:
    if not is_id(word):
        raise BadValue(f"{shorten(word)} is no crash", "an id")
    return int(word)


@click.group(cls=Group)
def crash() -> None:
    """List, show, export, import and remove crash dumps."""


@crash.command("list")
@format_option
@click.pass_obj
def list_crashes(session: Session, fmt: Format | None) -> None:
    """List the crash dumps, oldest first."""
    with session.store.reading() as transaction:
        stored = transaction.crashes()
    dumps = []
    for row in stored:
        head = json.loads(row.head)
        if head is None:
            session.warn(str(Damaged(f"crash dump {row.id}", "it cannot be read")))
            continue
        dumps.append(layouts.CrashListed(row.id, row.vm, row.time_ns // 10**9, **head))
    session.emit(layouts.listed(dumps), fmt)


@crash.command("show")
@click.argument("which", metavar="[ID|FILE]", required=False, shell_complete=complete_crash)
@click.option(
    "--format",
    "fmt",
    type=click.Choice(("plain", "console", "fma", "mdb", "json")),
    help="console (plain): the panic and its stack. fma: the fault record of fmdump -Vp. "
    "mdb: ::status and $C. json: everything, the machine's state included.",
)
@revision_option
@click.pass_obj
def show(session: Session, which: str | None, fmt: str | None) -> None:
    """Show a crash dump, the latest without an ID.

    A FILE has a slash in its name, or ends in .dump.
    """
    dump, number = crash_dump(session, which)
    crash = layouts.Crash(number or 1, dump)
    if fmt == "fma":
        text = layouts.fma(crash, session.now_ns() / 1e9)
    elif fmt == "mdb":
        text = layouts.mdb(crash)
    elif fmt == "json":
        text = document(layouts.record(crash))
    elif fmt is None and (sys.stdout.isatty() or colour_is_asked_for()):
        write(partial(_screen, crash, number), fmt)
        return
    else:
        text = layouts.console(crash)
    sys.stdout.write(text)


def _screen(crash: layouts.Crash, number: int | None, width: int | None) -> list[str]:
    from bhyvesim.report.panic import next_steps, screen

    lines = screen(crash, width)
    if width is None or number is None:
        return lines
    return [*lines, "", *next_steps(number, width, shown=True)]


@crash.command("export")
@click.argument("which", metavar="ID", shell_complete=complete_crash)
@click.option("-o", "--output", metavar="FILE", required=True, help="The file to write.")
@revision_option
@click.pass_obj
def export(session: Session, which: str, output: str) -> None:
    """Write a crash dump to a file, which every inspecting command takes with --crash."""
    from bhyvesim.crash.codec import encode

    dump, number = crash_dump(session, which)
    write_whole(output, encode(dump))
    session.note(f"wrote crash {number} to {output}")


@crash.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@revision_option
@click.pass_obj
def import_dumps(session: Session, files: tuple[str, ...]) -> None:
    """Store crash dumps from files. All are looked at before one is stored."""
    from bhyvesim.crash.codec import encode

    dumps = [read_dump_file(path) for path in files]
    with session.store.writing() as transaction:
        numbers = [
            transaction.add_crash(dump.vm, dump.time_ns, head_of(dump), encode(dump))
            for dump in dumps
        ]
    for path, number in zip(files, numbers, strict=True):
        session.note(f"stored {path} as crash {number}")


@crash.command("rm")
@click.argument(
    "ids",
    metavar="ID...",
    type=Parsed("id", _id),
    nargs=-1,
    required=True,
    shell_complete=complete_crash,
)
@click.pass_obj
def remove(session: Session, ids: tuple[int, ...]) -> None:
    """Remove crash dumps. One that a VM ended with stays until the VM is destroyed."""
    with session.store.writing() as transaction:
        for number in ids:
            transaction.crash(number)
            for row in transaction.vms():
                if isinstance(row, VmRow) and row.moment.crash == number:
                    raise Refused(
                        "EBUSY", f"{row.name} ended with crash {number}: destroy it first"
                    )
            transaction.remove_crash(number)
    session.note(f"removed {len(ids)} crash dump{'s' * (len(ids) != 1)}")
