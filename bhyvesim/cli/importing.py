"""import: descriptions from bhyvectl's output, bhyve's and Propolis' configuration."""

from __future__ import annotations

import os
import sys

import click

from bhyvesim.cli.files import check_name, read_bytes, write_text
from bhyvesim.cli.params import vm_option
from bhyvesim.cli.session import Session
from bhyvesim.config.importers.sniff import KINDS, read_foreign


@click.command("import")
@click.argument("source", metavar="FILE", type=click.Path())
@click.option("--from", "kind", type=click.Choice(KINDS), help="What FILE is; else its text tells.")
@click.option("--output", metavar="FILE", help="Where to write; else standard output.")
@vm_option
@click.pass_obj
def import_vm(session: Session, source: str, kind: str | None, output: str | None) -> None:
    """Write a VM description from another program's file (- is standard input).

    Reads the pasted output of bhyvectl --get-memmap (and --get-memseg), bhyve_config(5)
    files, bhyve command lines, and the TOML of propolis-standalone. Comments say where
    each value came from; what has no meaning here is listed as ignored.
    """
    from bhyvesim.config.vm import load

    label = "<stdin>" if source == "-" else source
    draft = read_foreign(read_bytes(source), label, kind, _file_size)
    if session.vm is not None:
        check_name(session.vm)
        draft.name, draft.name_origin = session.vm, "--vm"
    text = draft.text()
    load(text, f"the description of {label}")
    for what in draft.ignored:
        session.note(f"ignored: {what[:160]}")
    if output is None:
        sys.stdout.write(text)
        return
    write_text(output, text, new=True)


def _file_size(path: str) -> int | None:
    try:
        return os.path.getsize(path)
    except (OSError, ValueError):
        return None
