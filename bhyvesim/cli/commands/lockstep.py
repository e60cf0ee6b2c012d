"""lockstep: another implementation, held against the model."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, takewhile
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from bhyvesim import limits
from bhyvesim.cli.commands.explore import seconds_of
from bhyvesim.cli.commands.replay import lines_of
from bhyvesim.cli.files import write_whole
from bhyvesim.cli.pages import show
from bhyvesim.cli.params import REVISION, Parsed, format_option, revision_option
from bhyvesim.cli.progress import status
from bhyvesim.cli.session import Format, Session
from bhyvesim.errors import BadValue, UsageError

if TYPE_CHECKING:
    from bhyvesim.explore.lockstep import Finding
    from bhyvesim.explore.trial import Case
    from bhyvesim.explore.ways import Bounds
    from bhyvesim.report.lockstep import Compared, Parted

_RUNS = 500
_FIRST = "maps=2,points=4"  # before them, where nothing is said: what luck seldom finds
_MOST_FOR_A_FILE = 100_000  # sequences
_NOTHING = "nothing to ask: expected FILES with operations"


def _bounds(text: str) -> Bounds:
    from bhyvesim.explore.ways import Bounds

    return Bounds.parse(text)


def _command(text: str) -> tuple[str, ...]:
    from bhyvesim.explore.peer import parse_command

    return parse_command(text)


@click.command()
@click.argument("files", metavar="[FILES...]", type=click.Path(), nargs=-1)
@click.option(
    "--against",
    "command",
    metavar="CMD",
    type=Parsed("CMD", _command),
    help="The other side: a program that answers each line of its input with one.",
)
@click.option(
    "--gpt", type=REVISION, multiple=True, help="Which kernels; may repeat. [default: all]"
)
@click.option(
    "--runs",
    metavar="N",
    type=click.IntRange(1, 10**9),
    help=f"So many random sequences. [default: {_RUNS}, after --exhaustive {_FIRST}]",
)
@click.option(
    "--time",
    "seconds",
    metavar="TIME",
    type=Parsed("time", seconds_of),
    help="Random sequences for so long: 60s, 5m, 2h.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(0, 2**63 - 1),
    default=1,
    help="Of the random sequences. [default: 1]",
)
@click.option(
    "--exhaustive",
    "bounds",
    metavar="maps=K,points=P",
    type=Parsed("bounds", _bounds),
    help="Every way to map K memmaps between P boundaries, in place of random sequences.",
)
@click.option(
    "--pages",
    metavar="N",
    type=click.IntRange(1, 1 << 20),
    default=1100,
    help="No operation on more pages. [default: 1100]",
)
@click.option(
    "--leave-out", metavar="OP", multiple=True, help="An operation that CMD lacks; may repeat."
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(0.01, 3600),
    default=10.0,
    help="How long CMD may take for an answer. [default: 10]",
)
@click.option(
    "--save", metavar="FILE", type=click.Path(), help="Write what is asked, with our answers."
)
@click.option(
    "--shrunk",
    metavar="FILE",
    type=click.Path(),
    help="Write the small sequence of a difference, as 'replay' reads it.",
)
@format_option
@revision_option
@click.pass_obj
def lockstep(
    session: Session,
    files: tuple[str, ...],
    command: tuple[str, ...] | None,
    gpt: tuple[str, ...],
    runs: int | None,
    seconds: float | None,
    seed: int,
    bounds: Bounds | None,
    pages: int,
    leave_out: tuple[str, ...],
    timeout: float,
    save: str | None,
    shrunk: str | None,
    fmt: Format | None,
) -> int:
    """Hold another implementation against the model, operation by operation.

    CMD reads an operation a line, as 'bhyvesim replay' does, and answers with its result.
    After each operation the whole state is asked for and compared. What is asked is made at
    random, or every way within bounds, or read from FILES as 'replay' reads them. The first
    difference is made small and told; a CMD that dies, hangs or talks nonsense is one too.
    Exit status 1 with a difference, 0 without. With --save alone, nothing is compared.
    """
    from bhyvesim.explore.lockstep import vector
    from bhyvesim.report.lockstep import page, replayable

    _check(files, command, runs, seconds, bounds, leave_out, save)
    if files and gpt:
        raise click.UsageError("--gpt with FILES: expected one of the two, each file names its own")
    for name in ("seed", "pages"):
        if files and _given(name):
            raise click.UsageError(
                f"--{name} with FILES: expected one of the two, nothing is drawn"
            )
    if shrunk is not None and command is None:
        raise click.UsageError("--shrunk without --against: expected a program to compare with")
    kernels = gpt or _built_in()
    if not files and bounds is None and runs is None and seconds is None:
        bounds, runs = _bounds(_FIRST), _RUNS
    limit = None if seconds is not None else runs or 0
    cases = _cases(files, bounds, kernels, seed, pages, leave_out, limit)
    if save is not None:
        if limit is None:
            raise click.UsageError("--save with --time: expected --runs, --exhaustive or FILES")
        kept = list(islice(cases, _MOST_FOR_A_FILE))
        if not kept:
            raise UsageError(_NOTHING)
        lines = "".join(vector(number, case, leave_out) for number, case in enumerate(kept, 1))
        data = lines.encode()
        write_whole(save, gzip.compress(data, mtime=0) if save.endswith(".gz") else data)
        session.note(f"wrote {save}: {len(kept):,} sequences with the model's answers")
        if command is None:
            return 0
        cases = iter(kept)
    assert command is not None
    drawn = None if limit == 0 else seed
    compared = _compare(cases, command, drawn, timeout, leave_out, seconds)
    if shrunk is not None and compared.parted is not None:
        write_whole(shrunk, replayable(compared.parted).encode())
    show(page(compared), fmt)
    return 0 if compared.parted is None else 1


def _given(name: str) -> bool:
    """Whether the parameter *name* was given, its default included."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def _check(
    files: tuple[str, ...],
    command: tuple[str, ...] | None,
    runs: int | None,
    seconds: float | None,
    bounds: Bounds | None,
    leave_out: tuple[str, ...],
    save: str | None,
) -> None:
    """Raises UsageError for what does not go together."""
    from bhyvesim.ops.operations import OPERATIONS

    if command is None and save is None:
        raise click.UsageError("missing --against CMD: expected a program, or --save FILE")
    sources = [bool(files), bounds is not None, runs is not None or seconds is not None]
    if sum(sources) > 1 or (runs is not None and seconds is not None):
        raise click.UsageError("expected one of FILES, --exhaustive, --runs and --time")
    for name in leave_out:
        if name not in OPERATIONS or name == "create":
            others = ", ".join(op for op in OPERATIONS if op != "create")
            raise BadValue(f"--leave-out {name[:40]!r} is no operation", f"one of {others}")


def _built_in() -> tuple[str, ...]:
    from bhyvesim.kernel.revisions import REVISIONS

    return tuple(name for name, revision in REVISIONS.items() if not revision.digest)


def _cases(
    files: tuple[str, ...],
    bounds: Bounds | None,
    kernels: tuple[str, ...],
    seed: int,
    pages: int,
    leave_out: tuple[str, ...],
    limit: int | None,
) -> Iterator[Case]:
    from bhyvesim.explore.sequences import Plan, at_random, without
    from bhyvesim.explore.ways import exhaustive

    if files:
        return _recorded(files, leave_out)
    every = exhaustive(kernels, bounds) if bounds is not None else iter(())
    random = at_random(Plan(kernels, seed, pages, leave_out))
    return chain((without(case, leave_out) for case in every), islice(random, limit))


def _recorded(files: tuple[str, ...], leave_out: tuple[str, ...]) -> Iterator[Case]:
    """The sequences of *files*: a line of several operations is one, or what follows a create."""
    from bhyvesim.explore.sequences import recorded

    for path in files:
        pending: list[dict[str, object]] = []
        began = 1
        with lines_of(path) as lines:
            for number, line in enumerate(lines, start=1):
                for operation in _operations(path, number, line):
                    if operation.get("op") == "create" and pending:
                        yield _one(path, began, pending, leave_out, recorded)
                        pending, began = [], number
                    pending.append(operation)
                    if len(pending) > limits.SEQUENCE.most:
                        raise UsageError(f"{path}:{number}: longer: expected {limits.SEQUENCE}")
        if pending:
            yield _one(path, began, pending, leave_out, recorded)


def _operations(path: str, number: int, line: str) -> list[dict[str, object]]:
    from bhyvesim.ops.replay import parse_line

    if not line.strip():
        return []
    try:
        return [step.op for step in parse_line(line)]
    except BadValue as error:
        raise UsageError(f"{path}:{number}: {error}") from None


def _one(
    path: str,
    number: int,
    operations: list[dict[str, object]],
    leave_out: tuple[str, ...],
    read: Callable[..., Case],
) -> Case:
    try:
        return read(operations, leave_out)
    except BadValue as error:
        raise UsageError(f"{path}:{number}: {error}") from None


def _compare(
    cases: Iterable[Case],
    command: tuple[str, ...],
    seed: int | None,
    timeout: float,
    leave_out: tuple[str, ...],
    seconds: float | None,
) -> Compared:
    """Ask until the first difference, or until all is asked. *seed*: None, if nothing is drawn."""
    import shlex

    from bhyvesim.explore.lockstep import Lockstep
    from bhyvesim.ops.ioctls import Create
    from bhyvesim.report.lockstep import Compared

    began = time.monotonic()
    if seconds is not None:
        cases = takewhile(lambda case: time.monotonic() - began < seconds, cases)
    sequences = operations = 0
    kernels: dict[str, None] = {}  # that were asked for, in order: files name any
    found: Finding | None = None
    with Lockstep(command, timeout, leave_out) as others, status("comparing") as say:
        for case in cases:
            sequences += 1
            operations += len(case.all)
            kernels |= dict.fromkeys(op.gpt for op in case.all if isinstance(op, Create))
            say(f"{sequences:,} sequences, {operations:,} operations alike")
            found = others.check(case)
            if found is not None:
                break
    if not sequences:
        raise UsageError(_NOTHING)
    spent = round(time.monotonic() - began, 3)
    parted = None if found is None else _parted(found)
    return Compared(shlex.join(command), tuple(kernels), seed, sequences, operations, spent, parted)


def _parted(found: Finding) -> Parted:
    from bhyvesim.report.lockstep import Parted

    met = found.divergence
    failure = met.failure
    return Parted(
        met.number,
        met.operation.op,
        str(met.wrong) if failure is None else _unanswered(met.asked, failure.problem),
        () if failure is None else failure.said,
        () if failure is None else failure.complaints,
        tuple(operation.record() for operation in found.case.all),
        found.found,
        found.steady,
    )


def _unanswered(asked: str, problem: str) -> str:
    """*problem*, and what was asked for where that was not the operation's own result."""
    return problem if asked == "result" else f"{asked}: {problem}"
