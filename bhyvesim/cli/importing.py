"""import: descriptions from the files of other programs."""

from __future__ import annotations

import os
import sys

import click

from bhyvesim.cli.files import check_name, read_bytes, write_text
from bhyvesim.cli.params import vm_option
from bhyvesim.cli.session import Session
from bhyvesim.config.importers.kinds import KINDS


def _set_verbose(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    session = ctx.ensure_object(Session)
    session.verbose = session.verbose or wanted


@click.command("import")
@click.argument("source", metavar="FILE", type=click.Path())
@click.option(
    "--from", "kind", type=click.Choice(tuple(KINDS)), help="What FILE is; else its text tells."
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="A new file. [default: standard output]",
)
@click.option(
    "--pick", metavar="N", type=click.IntRange(1), help="The Nth VM of a file with several."
)
@click.option(
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=_set_verbose,
    help="List the settings that have no meaning here.",
)
@vm_option
@click.pass_obj
def import_vm(
    session: Session, source: str, kind: str | None, output: str | None, pick: int | None
) -> None:
    """Write a VM description from another program's file (- is standard input).

    Reads the pasted output of bhyvectl --get-memmap (and --get-memseg), bhyve_config(5)
    files, shell scripts that call bhyve, and the TOML of propolis-standalone. Comments say
    where each value came from. A file without the size of the memory is refused.
    """
    if session.vm is not None:
        check_name(session.vm)
    _import_one(session, source, kind, output, pick)


def _import_one(
    session: Session, source: str, kind: str | None, output: str | None, pick: int | None
) -> None:
    from bhyvesim.config.importers.draft import meaningless
    from bhyvesim.config.importers.sniff import choose, find
    from bhyvesim.config.vm import load

    label = label_of(source)
    found = find(read_bytes(source), label, kind, file_size, session.vm)
    draft = choose(found, label, pick).read()
    text = draft.text(verbose=session.verbose)
    load(text, f"the description of {label}")
    for what in draft.assumed:
        session.note(what)
    for what in draft.ignored:
        session.detail(f"ignored: {what[:160]}")
    if draft.ignored and not session.verbose:
        session.note(meaningless(len(draft.ignored)))
    if output is None:
        sys.stdout.write(text)
        return
    write_text(output, text, new=True)


def label_of(source: str) -> str:
    """*source* as messages and comments name it."""
    from bhyvesim.config.importers.source import STDIN

    return STDIN if source == "-" else source


def file_size(path: str) -> int | None:
    """Bytes of the file at *path*; None where there is none."""
    try:
        return os.path.getsize(path) if os.path.isfile(path) else None
    except (OSError, ValueError):
        return None
