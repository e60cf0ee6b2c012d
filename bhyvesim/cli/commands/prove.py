"""prove: that nothing goes wrong, within a bound."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from bhyvesim.cli.files import write_whole
from bhyvesim.cli.interrupted import kept, left_in, read_text
from bhyvesim.cli.pages import show
from bhyvesim.cli.params import (
    REVISION,
    Parsed,
    format_option,
    revision_option,
    workers_of,
    workers_options,
)
from bhyvesim.cli.session import Format, Session
from bhyvesim.errors import UsageError

if TYPE_CHECKING:
    from bhyvesim.explore.bound import Bound
    from bhyvesim.explore.certificate import Certificate, Question
    from bhyvesim.report.prove import Proof as ProofRecord
    from bhyvesim.report.prove import Searched

_SLOW = 5000  # lives a second and worker, for the estimate
_DAY = 86_400


def _bound(text: str) -> Bound:
    from bhyvesim.explore.bound import parse_bound

    return parse_bound(text)


@click.command()
@click.option("--gpt", type=REVISION, help="Which kernel. [default: the newest]")
@click.option("--production", is_flag=True, help="Without ASSERTs. [default: DEBUG]")
@click.option("--ept", is_flag=True, help="On Intel. [default: AMD, RVI]")
@click.option(
    "--bound",
    metavar="maps=K,points=P[,LETTER=1...]",
    type=Parsed("bound", _bound),
    help="How much: at most K memmaps between P addresses; devices, holds, dirty, wired, drift.",
)
@click.option(
    "--certificate",
    metavar="FILE",
    type=click.Path(),
    help="Write the answer; an interrupted proof leaves FILE.part, and is gone on with.",
)
@click.option(
    "--scenario", metavar="FILE", type=click.Path(), help="Write the smallest that fails."
)
@click.option(
    "--check", "checked", metavar="FILE", type=click.Path(), help="Prove a certificate again."
)
@click.option("--yes", is_flag=True, help="Even if it takes more than a day.")
@workers_options
@format_option
@revision_option
@click.pass_obj
def prove(
    session: Session,
    gpt: str | None,
    production: bool,
    ept: bool,
    bound: Bound | None,
    certificate: str | None,
    scenario: str | None,
    checked: str | None,
    yes: bool,
    jobs: int | None,
    dask: str | None,
    fmt: Format | None,
) -> int:
    """Prove that nothing goes wrong on a kernel, within a bound.

    Every VM with up to K memmaps between P fixed addresses is made, touched, reinitialised,
    unmapped and destroyed; after each operation it is looked for panics, hangs, lost pages,
    leaks and broken tables. What was searched is said, and what was not. Exit status 0 if it
    holds, 1 with a counterexample (the smallest is printed as a scenario), or where --check
    comes to something else than the certificate.
    """
    from bhyvesim.explore.certificate import differences, read_certificate, record
    from bhyvesim.report.prove import page

    stored = None
    if checked is not None:
        if bound is not None or gpt is not None or production or ept:
            raise click.UsageError("--check says what is proved: expected no bound, no kernel")
        stored = read_certificate(read_text(checked))
        question = stored.question
    else:
        question = _question(bound, gpt, production=production, ept=ept)
    began = time.monotonic()
    proved = _prove(session, question, certificate, jobs, dask, yes=yes)
    shown = _record(proved, time.monotonic() - began)
    if certificate is not None:
        write_whole(certificate, (json.dumps(record(proved), indent=1) + "\n").encode())
    if scenario is not None and shown.counterexamples:
        write_whole(scenario, shown.counterexamples[0].scenario.encode())
    show(page(shown, _searched(question.bound)), fmt)
    if stored is None:
        return 0 if proved.holds else 1
    if stored.engine != proved.engine:
        session.note("the engine's code is another than that of the certificate")
    differing = differences(stored, proved)
    for line in differing:
        session.warn(f"{checked}: {line}")
    if not differing:
        session.note(f"{checked}: the same again")
    return 1 if differing else 0


def _question(bound: Bound | None, gpt: str | None, *, production: bool, ept: bool) -> Question:
    from bhyvesim.explore.certificate import Question
    from bhyvesim.kernel.revisions import NEWEST

    if bound is None:
        raise click.UsageError("missing --bound: expected one such as maps=2,points=17")
    return Question(bound, gpt or NEWEST, not production, "ept" if ept else "rvi")


def _prove(
    session: Session,
    question: Question,
    certificate: str | None,
    jobs: int | None,
    dask: str | None,
    *,
    yes: bool,
) -> Certificate:
    """Prove, or go on proving; what is done is kept where it is interrupted."""
    from bhyvesim.explore.certificate import Proof

    proof = Proof(question)
    part = None if certificate is None else f"{certificate}.part"
    left = None if part is None else left_in(part)
    if left is not None:
        try:
            proof.resume(left)
        except UsageError as error:
            raise UsageError(f"{part}: {error}") from None
        session.note(f"going on after {sum(p.shapes for p in proof.done.values()):,} shapes")
    with workers_of(jobs, dask) as workers:
        _check_size(question, workers.count, yes=yes)
        keep = kept(session, part, lambda: proof.saved() if proof.done else None)
        with keep, _watched(question.shapes) as tell:
            proof.go_on(workers, tell)
    return proof.certificate()


def _check_size(question: Question, workers: int, *, yes: bool) -> None:
    """Raises UsageError where it would take more than a day, and nobody said yes."""
    seconds = question.shapes / _SLOW / workers
    if seconds > _DAY and not yes:
        raise UsageError(
            f"{question.bound} has {question.shapes:,} shapes, which takes about "
            f"{seconds / _DAY:,.0f} days here: expected a smaller bound, more workers, or --yes"
        )


@contextmanager
def _watched(total: int) -> Iterator[Callable[[int], None]]:
    """Something to tell of shapes that are done; on a terminal it is shown."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from bhyvesim.cli.progress import console

    columns = (TextColumn("shapes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
        task = bar.add_task("shapes", total=total)
        yield lambda done: bar.update(task, completed=done)


def _searched(bound: Bound) -> Searched:
    from bhyvesim.explore.bound import LETTERS
    from bhyvesim.report.prove import Searched

    on = bound.letters
    off = [meaning for name, meaning in LETTERS.items() if name not in on]
    return Searched(bound.maps, list(on.values()), off, bound.drift)


def _record(proved: Certificate, seconds: float) -> ProofRecord:
    from bhyvesim.explore.certificate import record
    from bhyvesim.explore.told import seen
    from bhyvesim.explore.written import scenario
    from bhyvesim.report.prove import FailingCause
    from bhyvesim.report.prove import Proof as ProofRecord

    plain = record(proved)
    del plain["format"]
    failing = []
    for example in proved.counterexamples:
        shown = seen(example.case, example.cause)
        text = scenario(example.case, example.cause, shown.name, shown.facts).text
        failing.append(FailingCause(shown.name, *example.cause, example.shapes, text))
    plain |= {"points": tuple(plain["points"]), "counterexamples": tuple(failing)}
    return ProofRecord(**plain, seconds=round(seconds, 3))
