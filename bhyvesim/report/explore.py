"""What an exploration found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bhyvesim.report.fit import Page, paragraph, table
from bhyvesim.report.model import Column


class FoundBug(NamedTuple):
    """One finding: its cause, the scenario that shows it, and how it was come by.

    *letter* is a panic's; *guest*: the guest itself can do it. *steps* count after create;
    *runs* and *seconds* are those until it was found.
    """

    title: str
    kind: str
    where: str
    how: str
    gpt: str
    debug: bool
    npt: str
    letter: str | None
    guest: bool
    steps: int
    runs: int
    seconds: float
    file: str
    story: str


class Explored(NamedTuple):
    """`bhyvesim explore`: what was searched, and what was found that is not known.

    *against* is the revision that was compared with; *states* are states of machines that
    were new to their part of the search, *shapes* kinds of page tables.
    """

    gpt: str
    against: str | None
    vm: str | None
    seed: int
    runs: int
    operations: int
    states: int
    shapes: int
    seconds: float
    known: int
    findings: tuple[FoundBug, ...]


def page(explored: Explored) -> Page:
    """A row a finding, the first found first, and what was searched below."""
    return Page(explored, lambda width: list(_lines(explored, width)))


def _lines(explored: Explored, width: int | None) -> Iterator[str]:
    columns = (
        *(Column("FINDING"), Column("STEPS", True), Column("RUNS", True), Column("TIME", True)),
        Column("SCENARIO"),
    )
    rows = [
        (bug.title, str(bug.steps), f"{bug.runs:,}", f"{bug.seconds:.1f} s", bug.file)
        for bug in explored.findings
    ]
    if rows:
        yield from table(columns, rows, width)
        yield ""
    for sentence in _summary(explored):
        yield from paragraph(sentence, width)


def _summary(explored: Explored) -> Iterator[str]:
    """What was searched, in sentences."""
    who = explored.vm or f"kernel {explored.gpt}"
    beside = f" beside {explored.against}" if explored.against else ""
    rate = explored.runs / explored.seconds if explored.seconds else 0
    yield (
        f"searched {who}{beside}: {explored.runs:,} runs ({rate:,.0f} a second), "
        f"{explored.operations:,} operations, {explored.states:,} states, "
        f"{explored.shapes:,} kinds of page tables; seed {explored.seed}"
    )
    if not explored.findings:
        yield "nothing was found, which proves nothing: see 'bhyvesim prove'"
    if explored.known:
        yield f"{explored.known} known causes do not count"
