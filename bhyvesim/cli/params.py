"""Options and value types that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from bhyvesim.cli.session import FORMATS, Session
from bhyvesim.cli.streams import COLOURS, Colour, choose_colour
from bhyvesim.errors import BadValue
from bhyvesim.prot import parse_prot
from bhyvesim.span import parse_span
from bhyvesim.text import clean
from bhyvesim.units import parse_address, parse_bitmap, parse_size, shorten

if TYPE_CHECKING:
    from bhyvesim.store.store import Store
    from bhyvesim.workers import Workers

F = TypeVar("F", bound=Callable[..., Any])


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.5 on
    """A value read by one of our parsers, with its message on failure."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except BadValue as error:
            self.fail(str(error), param, ctx)


ADDRESS = Parsed("address", parse_address)
SIZE = Parsed("size", parse_size)
NUMBER = Parsed("integer", parse_size)
ACCESS = Parsed("r,w,x", parse_prot)
SPAN = Parsed("range", parse_span)
BITMAP = Parsed("hex", parse_bitmap)


def _npt_operation(word: str) -> int:
    from bhyvesim.kernel.npt import parse_operation

    return parse_operation(word)


NPT_OPERATION = Parsed("operation", _npt_operation)


class RevisionType(click.ParamType):  # type: ignore[type-arg]
    """A kernel revision; the table of them is imported when one is given or completed."""

    name = "revision"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from bhyvesim.kernel.revisions import REVISIONS

        if value not in REVISIONS:
            self.fail(f"{value[:40]!r} is not one of {', '.join(REVISIONS)}", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from bhyvesim.kernel.revisions import REVISIONS

        if os.environ.get("BHYVESIM_REVISION_FILE"):
            from bhyvesim import revision_file

            with suppress(Exception):  # what is wrong with somebody's file is said elsewhere
                for path in revision_file.given():
                    revision_file.read(path)
        return [
            CompletionItem(name, help=revision.summary)
            for name, revision in REVISIONS.items()
            if name.startswith(incomplete)
        ]


REVISION = RevisionType()


def _set_dry_run(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.ensure_object(Session).dry_run = value


dry_run_option = click.option(
    "--dry-run",
    is_flag=True,
    expose_value=False,
    callback=_set_dry_run,
    help="Say what would happen, and store nothing.",
)

format_option = click.option(
    "--format",
    "fmt",
    type=click.Choice(FORMATS),
    help="How to print; a table on a terminal, else plain.",
)


def _set_vm(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    session = ctx.ensure_object(Session)
    if value is not None:
        session.vm = value


_PATIENCE = 0.3  # seconds: somebody who presses TAB does not wait for a writer


def _patient_store() -> Store:
    """The state, for a shell that completes: it hears no note, and does not wait for long."""
    store = Session(quiet=True).store
    store.wait_seconds = _PATIENCE
    return store


def complete_vm(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The stored VMs; none when the state cannot be read: a shell wants no error here."""
    from bhyvesim.errors import BhyvesimError
    from bhyvesim.vm.names import name_problem

    try:
        with _patient_store().reading() as transaction:
            names = transaction.names()
    except BhyvesimError:
        return []
    fit = [name for name in names if name_problem(name) is None]
    return [CompletionItem(name) for name in fit if name.startswith(incomplete)]


def complete_crash(
    ctx: click.Context, param: click.Parameter, incomplete: str, prefix: str = ""
) -> list[CompletionItem]:
    """The stored crash dumps by their ids, after *prefix*; none where they cannot be read."""
    from bhyvesim.errors import BhyvesimError

    try:
        with _patient_store().reading() as transaction:
            rows = transaction.crashes()
    except BhyvesimError:
        return []
    ids = [(f"{prefix}{row.id}", row.vm) for row in rows]
    return [
        CompletionItem(name, help=f"of {clean(vm)}")
        for name, vm in ids
        if name.startswith(incomplete)
    ]


def complete_revisions(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Revisions with commas between them, none twice."""
    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{item.value}", help=item.help)
        for item in REVISION.shell_complete(ctx, param, last)
        if item.value not in before.split(",")
    ]


def _read_revisions(ctx: click.Context, param: click.Parameter, paths: tuple[str, ...]) -> None:
    if paths and not ctx.resilient_parsing:
        from bhyvesim import revision_file

        for path in paths:
            revision_file.read(path)


revision_option = click.option(
    "--revision-file",
    metavar="FILE.py",
    type=click.Path(),
    multiple=True,
    expose_value=False,
    is_eager=True,
    callback=_read_revisions,
    help="A kernel revision of your own, in Python; may repeat. Else $BHYVESIM_REVISION_FILE.",
)


def _set_colour(ctx: click.Context, param: click.Parameter, value: Colour | None) -> None:
    if value is not None:
        choose_colour(value)


colour_option = click.option(
    "--color",
    type=click.Choice(COLOURS),
    expose_value=False,
    is_eager=True,
    callback=_set_colour,
    help="Whether output has colours. [default: auto, where a terminal is, and no $NO_COLOR]",
)

vm_option = click.option(
    "--vm",
    metavar="NAME",
    expose_value=False,
    is_eager=True,
    shell_complete=complete_vm,
    callback=_set_vm,
    help="The VM; else $BHYVESIM_VM, else the only one there is.",
)


def _set_name(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> None:
    if len(names) > 1:
        raise click.UsageError(f"one VM too many: {shorten(names[1])}", ctx)
    for name in names:
        same_name(ctx.ensure_object(Session), name)
        ctx.ensure_object(Session).vm = name


def same_name(session: Session, name: str) -> None:
    """Raises UsageError where ``--vm`` says another."""
    if session.vm not in (None, name):
        raise click.UsageError(
            f"{shorten(name)} together with --vm={shorten(session.vm or '')}: expected one VM"
        )


def vm_named(command: F) -> F:
    """The VM as [NAME] or as --vm. Stands before the command's other arguments."""
    # As many as there are: where another argument follows, it is that which must be given.
    return click.argument(
        "vm_name",
        metavar="[NAME]",
        nargs=-1,
        expose_value=False,
        callback=_set_name,
        shell_complete=complete_vm,
    )(vm_option(command))


def _set_at(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    ctx.ensure_object(Session).at = value


def _set_crash(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    ctx.ensure_object(Session).crash = value


def subject_options(command: F) -> F:
    """[NAME] or --vm, --at and --crash: the machine that a command looks at."""
    command = click.option(
        "--crash",
        metavar="ID|FILE",
        expose_value=False,
        shell_complete=complete_crash,
        callback=_set_crash,
        help="A crash dump in place of a VM; a FILE has a slash, or ends in .dump.",
    )(command)
    command = click.option(
        "--at",
        metavar="EVENT[.STEP]",
        expose_value=False,
        callback=_set_at,
        help="The VM as it was: after event 2, after its step (2.1); 0 before the first, "
        "-1 before the last.",
    )(command)
    return vm_named(command)


def workers_options(command: F) -> F:
    """--jobs and --dask: who does the work."""
    command = click.option(
        "--dask",
        metavar="ADDRESS",
        help="Work on the cluster whose dask scheduler is there, such as tcp://10.0.0.1:8786.",
    )(command)
    return click.option(
        "--jobs", type=click.IntRange(1, 256), help="Processes here. [default: one a core]"
    )(command)


def workers_of(
    jobs: int | None, dask: str | None, tasks: int | None = None
) -> AbstractContextManager[Workers]:
    """Those that --jobs and --dask ask for; here no more than there are *tasks*."""
    from bhyvesim import workers

    if dask is not None:
        if jobs is not None:
            raise click.UsageError("--jobs is for this machine, --dask for a cluster: expected one")
        return workers.dask(dask)
    most = jobs or workers.cores()
    session = click.get_current_context().ensure_object(Session)
    return workers.local(most if tasks is None else min(most, tasks), session.note)


def fleet_arguments(command: F) -> F:
    """FILES-OR-FOLDERS, --vm and --all: the VMs that a command is asked about."""
    command = click.option(
        "--all", "everything", is_flag=True, help="All stored VMs, besides the files."
    )(command)
    command = click.option(
        "--vm",
        "names",
        metavar="NAME",
        multiple=True,
        shell_complete=complete_vm,
        help="A stored VM, besides the files; may repeat. With one FILE: the name to give it.",
    )(command)
    return click.argument("paths", metavar="[FILES-OR-FOLDERS...]", type=click.Path(), nargs=-1)(
        command
    )
