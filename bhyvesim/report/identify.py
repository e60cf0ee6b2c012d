"""Which kernel a host runs: the verdicts, and the experiment that tells the rest apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bhyvesim.report.fit import Page, paragraph, table
from bhyvesim.report.model import Column
from bhyvesim.report.tones import verdict

POSSIBLE, RULED_OUT = "possible", "ruled out"
_COLUMNS = (Column("KERNEL"), Column("VERDICT", tone=verdict), Column("BECAUSE"))
_NONE = "no kernel that bhyvesim knows does all this"
_SAFE = "safe: no kernel that is left panics or hangs at it"


@dataclass(frozen=True, slots=True)
class IdentifyEvidence:
    """What was seen, and what is to be said of it besides (mostly nothing)."""

    label: str
    remark: str


@dataclass(frozen=True, slots=True)
class IdentifyObjection:
    """Which evidence a kernel cannot have given (its number, from 1 on), and why."""

    evidence: int
    reason: str


@dataclass(frozen=True, slots=True)
class IdentifyVerdict:
    """Kernels that share their verdict, by what they are called together."""

    name: str
    kernels: tuple[str, ...]
    possible: bool
    objections: tuple[IdentifyObjection, ...]


@dataclass(frozen=True, slots=True)
class IdentifyDanger:
    """A step of an experiment, counted from 1, at which kernels stop: how, and which."""

    step: int
    stop: str
    kernels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IdentifyStep:
    """One operation in words, and as a replay reads it."""

    words: str
    operation: dict[str, Any]


@dataclass(frozen=True, slots=True)
class IdentifyAnswer:
    """Kernels that answer the same; a result a step, in words, none after one that stops them."""

    kernels: tuple[str, ...]
    results: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IdentifyExperiment:
    """Steps on a fresh VM, and how the kernels answer; ``safe``: none of them stops."""

    safe: bool
    dangers: tuple[IdentifyDanger, ...]
    create: dict[str, Any]
    steps: tuple[IdentifyStep, ...]
    answers: tuple[IdentifyAnswer, ...]


@dataclass(frozen=True, slots=True)
class Identified:
    """`bhyvesim identify`: kernels ruled in or out, and what would tell the rest apart.

    ``possible``: the names of those that are left. ``alike``: revisions, or builds of one,
    that no experiment of at most ``bound`` steps tells apart; ``searched``: whether all of
    these were looked at (null: none was looked for).
    """

    evidence: tuple[IdentifyEvidence, ...]
    verdicts: tuple[IdentifyVerdict, ...]
    possible: tuple[str, ...]
    experiments: tuple[IdentifyExperiment, ...]
    alike: tuple[tuple[str, ...], ...]
    bound: int
    searched: bool | None


def identified(record: Identified) -> Page:
    """What was seen, a row for kernels of one verdict, and the experiments."""
    return Page(record, lambda width: list(_lines(record, width)))


def _lines(record: Identified, width: int | None) -> Iterator[str]:
    several = len(record.evidence) > 1
    for number, piece in enumerate(record.evidence, start=1):
        remark = f" ({piece.remark})" if piece.remark else ""
        first = f"({number}) " if several else ""
        yield from paragraph(f"{piece.label}{remark}", width, first, "    ")
    yield from [""] if record.evidence else []
    rows = [_row(verdict, several=several) for verdict in record.verdicts]
    yield from table(_COLUMNS, rows, width)
    yield ""
    left = f"possible: {', '.join(record.possible)}"
    yield from paragraph(left if record.possible else _NONE, width, "", "    ")
    for experiment in record.experiments:
        yield ""
        yield from _experiment(experiment, width)
    yield from _not_told(record, width)


def _row(verdict: IdentifyVerdict, *, several: bool) -> tuple[str, str, str]:
    """Where there are several pieces of evidence, each reason has the number of its own."""
    because = "; ".join(
        f"({o.evidence}) {o.reason}" if several else o.reason for o in verdict.objections
    )
    return verdict.name, POSSIBLE if verdict.possible else RULED_OUT, because


def _experiment(experiment: IdentifyExperiment, width: int | None) -> Iterator[str]:
    names = [" or ".join(answer.kernels) for answer in experiment.answers]
    yield from paragraph(f"To tell apart {', '.join(names)}, on a fresh VM:", width, "", "    ")
    if experiment.safe:
        yield from paragraph(f"({_SAFE})", width, "", "    ")
    for danger in experiment.dangers:
        text = f"DANGEROUS: {danger.stop} at step {danger.step} on {', '.join(danger.kernels)}"
        yield from paragraph(text, width, "", "    ")
    number = len(str(len(experiment.steps)))
    for step, each in enumerate(experiment.steps, start=1):
        yield from paragraph(each.words, width, f"  {step:>{number}}  ", " " * (number + 4))
    yield ""
    yield from _answers(experiment, names, width)
    yield from ["", "As lines for 'bhyvesim replay':"]
    for operation in (experiment.create, *(step.operation for step in experiment.steps)):
        yield json.dumps(operation, separators=(",", ":"))


def _answers(
    experiment: IdentifyExperiment, names: Sequence[str], width: int | None
) -> Iterator[str]:
    """A row for the kernels that answer alike, a column for each step that they differ at."""
    steps = range(len(experiment.steps))
    results = [[*a.results, *[""] * (len(steps) - len(a.results))] for a in experiment.answers]
    differing = [step for step in steps if len({row[step] for row in results}) > 1]
    columns = [Column("KERNEL"), *(Column(f"STEP {step + 1}") for step in differing)]
    rows = [
        (name, *(row[step] for step in differing)) for name, row in zip(names, results, strict=True)
    ]
    yield from table(columns, rows, width)


def _not_told(record: Identified, width: int | None) -> Iterator[str]:
    for group in record.alike:
        text = f"{' and '.join(group)} are alike in up to {record.bound} steps of these operations"
        cut = "" if record.searched else "; the search was cut short"
        yield ""
        yield from paragraph(f"{text}{cut}", width, "", "    ")
