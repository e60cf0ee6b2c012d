"""trace: what goes on inside the kernel while another command runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import click
from click.shell_completion import CompletionItem

from bhyvesim.cli.pages import fitting, write
from bhyvesim.cli.params import REVISION, Parsed, revision_option, vm_option
from bhyvesim.cli.session import Session
from bhyvesim.cli.streams import aside
from bhyvesim.errors import BadValue, Refused, UsageError
from bhyvesim.kernel.functions import Function
from bhyvesim.kernel.revisions import NEWEST, REVISIONS
from bhyvesim.report import trace as layouts
from bhyvesim.report.perfetto import Perfetto
from bhyvesim.trace.aggregate import Aggregation, Count, Lquantize, Quantize
from bhyvesim.trace.probe import PROVIDER, Description, Probe, describe, names_of, probes
from bhyvesim.trace.select import Selection
from bhyvesim.units import shorten

# Those that a kernel has a part in; of the first, which kernel is known only as they run.
_ANY_KERNEL = ("create", "run", "replay")
_TRACED = (
    *_ANY_KERNEL,
    *("reboot", "touch", "destroy", "hold", "release", "alloc-memseg", "map", "unmap"),
    *("peek", "poke", "fill", "dirty", "npt", "track-dirty", "migrate"),
)
_FORMATS = ("plain", "jsonl", "perfetto", "replay")


def _complete_probe(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """``function:name``; with more colons than one, module and provider as well."""
    fields = max(2, min(4, incomplete.count(":") + 1))
    if incomplete.startswith(f"{PROVIDER}:"):
        fields = 4
    named = {":".join(p.fields[-fields:]): str(p.function) for p in _probes(tuple(REVISIONS))}
    return [
        CompletionItem(name, help=prototype)
        for name, prototype in named.items()
        if name.startswith(incomplete)
    ]


def _complete_traced(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return [CompletionItem(name) for name in _TRACED if name.startswith(incomplete)]


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "-n",
    "texts",
    metavar="PROBE",
    multiple=True,
    shell_complete=_complete_probe,
    help="'provider:module:function:name /predicate/'; may repeat.",
)
@click.option("-l", "listing", is_flag=True, help="List the probes, with their C signatures.")
@click.option("--gpt", type=REVISION, help="With -l: of which kernel. [default: the VM's]")
@click.option("--count", is_flag=True, help="Only count the firings.")
@click.option("--count-by", metavar="caller|ARG", help="Count them by caller, or an argument.")
@click.option("--quantize", metavar="ARG", help="Draw an argument's values by powers of two.")
@click.option(
    "--lquantize",
    metavar="ARG,LO,HI,STEP",
    type=Parsed("ARG,LO,HI,STEP", Lquantize.parse),
    help="Draw them in steps of one size.",
)
@click.option("--stack", is_flag=True, help="Show who called, innermost first.")
@click.option(
    "--format",
    "fmt",
    type=click.Choice(_FORMATS),
    default="plain",
    help="Firings as lines or JSON lines; calls for Perfetto; operations for replay.",
)
@vm_option
@revision_option
@click.argument(
    "command",
    metavar="COMMAND...",
    nargs=-1,
    type=click.UNPROCESSED,
    shell_complete=_complete_traced,
)
@click.pass_context
def trace(
    ctx: click.Context,
    texts: tuple[str, ...],
    listing: bool,
    gpt: str | None,
    count: bool,
    count_by: str | None,
    quantize: str | None,
    lquantize: Lquantize | None,
    stack: bool,
    fmt: str,
    command: tuple[str, ...],
) -> int:
    """Print the calls inside the kernel while COMMAND runs.

    COMMAND does what it does without trace, with the same exit status; what it prints on
    standard output goes to standard error. PROBE is as in dtrace, in every field * and ?,
    an empty or missing one is any: 'vm_map_remove:entry /end == 0x100000000/'.
    """
    session: Session = ctx.obj
    aggregation = _aggregation(count, count_by, quantize, lquantize)
    _check(ctx, aggregation, texts, listing=listing, gpt=gpt, stack=stack, fmt=fmt)
    if listing:
        return _list(session, texts, gpt, as_json=fmt == "jsonl")
    called = _called(ctx, command)
    kernels = _kernels(session, called)
    described = [_described(text, kernels) for text in texts]
    if aggregation is not None:
        _check_argument(aggregation, described, kernels)
    if fmt == "replay":
        return _recorded(session, called)
    selection = Selection(described)
    return _traced(session, called, _tracer(selection, aggregation, fmt, stack=stack))


def _aggregation(
    count: bool, count_by: str | None, quantize: str | None, lquantize: Lquantize | None
) -> Aggregation | None:
    given: list[Aggregation] = [Count()] if count else []
    given += [Count(count_by)] if count_by is not None else []
    given += [Quantize(quantize)] if quantize is not None else []
    given += [lquantize] if lquantize is not None else []
    if len(given) > 1:
        raise click.UsageError("expected one of --count, --count-by, --quantize and --lquantize")
    return given[0] if given else None


def _check(
    ctx: click.Context,
    aggregation: Aggregation | None,
    texts: Sequence[str],
    *,
    listing: bool,
    gpt: str | None,
    stack: bool,
    fmt: str,
) -> None:
    """Raises UsageError for what does not go together."""
    command = ctx.params["command"]
    if listing and (command or aggregation or stack or fmt not in ("plain", "jsonl")):
        raise click.UsageError("-l lists, and runs nothing: expected only -n, --gpt and --format")
    if listing:
        return
    if gpt is not None:
        raise click.UsageError("--gpt is for -l: a VM has its own kernel")
    if not command:
        raise click.UsageError(f"missing COMMAND: expected one of {', '.join(_TRACED)}")
    if not texts and fmt != "replay":
        raise click.UsageError("missing -n PROBE, such as -n 'vm_map_remove:entry'; -l lists them")
    if aggregation is not None and fmt not in ("plain", "jsonl"):
        raise click.UsageError(f"an aggregation as {fmt}: expected --format plain or jsonl")
    if stack and (aggregation is not None or fmt not in ("plain", "jsonl")):
        raise click.UsageError("--stack is of single firings: expected --format plain or jsonl")


def _called(ctx: click.Context, words: tuple[str, ...]) -> click.Context:
    """COMMAND with its arguments, read but not begun."""
    assert ctx.parent is not None
    group = ctx.parent.command
    assert isinstance(group, click.Group)
    name, command, rest = group.resolve_command(ctx.parent, list(words))
    assert command is not None
    if name not in _TRACED:
        raise click.UsageError(f"cannot trace {name}: expected one of {', '.join(_TRACED)}")
    return command.make_context(name, rest, parent=ctx.parent)


def _kernels(session: Session, called: click.Context) -> tuple[str, ...]:
    """The revisions that COMMAND may run on: the VM's, where it is there already."""
    several = called.params.get("everything", False)
    if called.info_name in _ANY_KERNEL or several:
        gpt = called.params.get("gpt")
        return tuple(REVISIONS) if gpt is None else (gpt,)
    there = _of_vm(session)
    gpt = called.params.get("gpt")  # of a migration, the target's
    return there if gpt is None else tuple(dict.fromkeys((*there, gpt)))


def _of_vm(session: Session) -> tuple[str, ...]:
    from bhyvesim.store.codec import decode_spec

    gpt = decode_spec(session.stored().spec).kernel.gpt
    return (gpt,) if gpt in REVISIONS else tuple(REVISIONS)


def _probes(kernels: Sequence[str]) -> list[Probe]:
    return probes(REVISIONS[name].functions for name in kernels)


def _described(text: str, kernels: Sequence[str]) -> Description:
    """The description *text*; where only other kernels have what it means, their names."""
    try:
        return describe(text, _probes(kernels))
    except BadValue as error:
        others = [name for name in REVISIONS if _means_something(text, name)]
        if not others or len(kernels) > 1:
            raise
        problem = f"{error.problem} on kernel {kernels[0]}, but on {', '.join(others)}"
        raise BadValue(problem, error.expected) from None


def _means_something(text: str, kernel: str) -> bool:
    try:
        describe(text, _probes((kernel,)))
    except BadValue:
        return False
    return True


def _check_argument(
    aggregation: Aggregation, described: Sequence[Description], kernels: Sequence[str]
) -> None:
    argument = aggregation.argument
    if argument is None:
        return
    matched = [p for p in _probes(kernels) if any(d.matches(p) for d in described)]
    kinds = names_of(matched, argument)
    names = [n for n, kind in kinds.items() if kind is int or aggregation.name == "count"]
    if argument not in names:
        near = get_close_matches(argument[:100], names, n=1) or names
        option = "count-by" if aggregation.name == "count" else aggregation.name
        raise BadValue(
            f"--{option}: no such argument, {shorten(argument)}, of what -n matches",
            " or ".join(near) or "a probe with one",
        )


def _tracer(
    selection: Selection, aggregation: Aggregation | None, fmt: str, *, stack: bool
) -> layouts.Tracer:
    out = fitting(sys.stdout) if fmt == "plain" else sys.stdout.write
    if aggregation is not None:
        return layouts.Aggregated(out, selection, aggregation, as_json=fmt == "jsonl")
    if fmt == "perfetto":
        return Perfetto(out, selection)
    if fmt == "jsonl":
        return layouts.Lines(out, selection, stack=stack)
    return layouts.Plain(out, selection, _modules() if stack else None)


def _modules() -> Mapping[str, str]:
    functions: list[Function] = [f for r in REVISIONS.values() for f in r.functions.values()]
    return {function.name: function.module for function in functions}


def _traced(session: Session, called: click.Context, tracer: layouts.Tracer) -> int:
    """Run COMMAND; its status, or 1 where it had none and an aggregation could not be shown."""
    out = sys.stdout

    def before() -> None:
        tracer.flush()
        out.flush()

    session.listener = tracer.heard
    try:
        with aside(before):
            status = _run(called)
    finally:
        tracer.finish()
        out.flush()
        failure = tracer.failure if isinstance(tracer, layouts.Aggregated) else None
        if failure is not None:
            session.warn(str(failure))
        elif not tracer.fired:
            session.note("no probe fired")
    return status or (0 if failure is None else failure.exit_code)


def _recorded(session: Session, called: click.Context) -> int:
    """Run COMMAND; what its VM went through before comes first, if its beginning is kept."""
    from bhyvesim.host.history import History
    from bhyvesim.host.rerun import retell

    out = sys.stdout

    def in_the_middle() -> None:
        session.warn("# the recording begins in the middle of the VM's life: no create is in it")

    # With create --replace another VM is destroyed before; of a migration, the target is told.
    begins = called.info_name in ("create", "migrate")
    record = layouts.Replay(out.write, None if begins else in_the_middle).record
    if not begins and called.info_name not in _ANY_KERNEL and not called.params.get("everything"):
        retell(History(session.store, session.stored().name), record)
    session.recorder = record
    with aside(out.flush):
        return _run(called)


def _run(called: click.Context) -> int:
    with called:
        status = called.command.invoke(called)
    return status if isinstance(status, int) else 0


def _list(session: Session, texts: Sequence[str], gpt: str | None, *, as_json: bool) -> int:
    kernels = (gpt,) if gpt is not None else _of_vm_if_any(session)
    described = [_described(text, kernels) for text in texts]
    wanted = [p for p in _probes(kernels) if not described or any(d.matches(p) for d in described)]
    write(lambda width: list(layouts.listed(wanted, width, as_json=as_json)), None)
    return 0


def _of_vm_if_any(session: Session) -> tuple[str, ...]:
    """The VM's kernel; the newest where none is named and there is none, or several."""
    try:
        return _of_vm(session)
    except (Refused, UsageError):
        if session.vm is not None:
            raise
        return (NEWEST,)
