"""import: descriptions from the files of other programs."""

from __future__ import annotations

import os
import sys

import click

from bhyvesim import limits
from bhyvesim.cli.files import check_name, file_size, label_of, write_text
from bhyvesim.cli.params import format_option, vm_option
from bhyvesim.cli.session import Format, Session
from bhyvesim.config.importers.kinds import KINDS
from bhyvesim.errors import UsageError


@click.command("import")
@click.argument(
    "sources", metavar="FILES-OR-FOLDERS...", type=click.Path(), nargs=-1, required=True
)
@click.option(
    "--from",
    "kind",
    metavar="KIND",
    type=click.Choice(tuple(KINDS)),
    help=f"What they are; else their text tells. One of {', '.join(KINDS)}.",
)
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="A new file for one VM, a folder for several. [default: standard output]",
)
@click.option(
    "--pick", metavar="N", type=click.IntRange(1), help="The Nth VM of a file with several."
)
@click.option(
    "--scenario", metavar="FILE", help="Of a crash: a new file, a scenario over all revisions."
)
@click.option("--check", is_flag=True, help="Review what was read, as 'bhyvesim check' does.")
@vm_option
@format_option
@click.pass_obj
def import_vm(
    session: Session,
    sources: tuple[str, ...],
    kind: str | None,
    output: str | None,
    pick: int | None,
    scenario: str | None,
    check: bool,
    fmt: Format | None,
) -> int:
    """Write VM descriptions from other programs' files (- is standard input).

    Reads the pasted output of bhyvectl --get-memmap (and --get-memseg), bhyve_config(5)
    files, shell scripts that call bhyve, vm-bhyve's configurations, zonecfg export and
    info, the JSON of zadm and vmadm, libvirt's XML of bhyve domains, and the TOML of
    propolis-standalone. Comments say where each value came from. A file without the
    size of the memory is refused; only of an illumos zone without ram is the brand's
    default taken, and said.

    Reads a crash, too: mdb's ::status and $C, a console's panic, the same in syslog,
    fmdump -Vp, with --get-memmap beside it or without. The findings are comments at the
    head: which known cause it is, what had to be assumed, on which kernels the VM is safe,
    what to do. Exit status 1 when the panic is not known, or nothing tells of the VM's
    memory, or the VM does not come to it when it is run.

    With --verbose the settings that have no meaning here are listed too.

    Of several files, a folder, or with --check, a table tells what became of each. Exit
    status 2 when a file could not be read; else, with --check, 1 for warnings and errors.
    """
    if session.vm is not None:
        check_name(session.vm)
    several = len(sources) > 1 or os.path.isdir(sources[0])
    into_folder = output is not None and (os.path.isdir(output) or output.endswith("/"))
    if not (several or into_folder or check):
        return _import_one(session, sources[0], kind, output, pick, scenario, fmt)
    if scenario is not None:
        raise UsageError("--scenario with several files, a folder, or --check: expected one crash")
    if several:
        _refuse_for_several(session, output, pick, check)
    from bhyvesim.cli.commands.import_many import Batch

    batch = Batch(session, kind, check=check, pick=pick)
    batch.write_to(output, folder=several or into_folder)
    for source in sources:
        batch.take(source)
    return batch.report(fmt)


def _refuse_for_several(
    session: Session, output: str | None, pick: int | None, check: bool
) -> None:
    for option, given in (("--vm", session.vm), ("--pick", pick)):
        if given is not None:
            raise UsageError(f"{option} with several files: expected one")
    if output is None and not check:
        raise UsageError("where to? expected --output FOLDER for several files, or --check")


def _import_one(
    session: Session,
    source: str,
    kind: str | None,
    output: str | None,
    pick: int | None,
    scenario: str | None,
    fmt: Format | None,
) -> int:
    """One file: a crash however long it is, anything else within bounds."""
    from bhyvesim.cli.commands.import_crash import import_crash, opened, read_head
    from bhyvesim.config.importers.sniff import is_crash

    with opened(source) as stream:
        head = read_head(stream, source, limits.FOREIGN.most + 1)
        if is_crash(head, kind) or (kind is None and len(head) > limits.FOREIGN.most):
            return import_crash(
                session,
                source,
                head,
                stream,
                output=output,
                scenario=scenario,
                pick=pick,
                fmt=fmt,
            )
    if fmt is not None:
        raise UsageError("--format with one file: expected several, a folder, or --check")
    if scenario is not None:
        raise UsageError("--scenario: expected the text of a crash")
    _describe(session, head, label_of(source), kind, output, pick)
    return 0


def _describe(
    session: Session,
    data: bytes,
    label: str,
    kind: str | None,
    output: str | None,
    pick: int | None,
) -> None:
    from bhyvesim.config.importers.draft import meaningless
    from bhyvesim.config.importers.sniff import choose, find
    from bhyvesim.config.vm import load

    found = find(data, label, kind, file_size, session.vm)
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
