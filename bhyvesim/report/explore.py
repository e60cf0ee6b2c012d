"""What an exploration found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bhyvesim.report.model import Column, Report


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


def report(explored: Explored) -> Report:
    """A row a finding, the first found first, and what was searched below."""
    rows = [
        (bug.title, str(bug.steps), f"{bug.runs:,}", f"{bug.seconds:.1f} s", bug.file)
        for bug in explored.findings
    ]
    columns = (
        *(Column("FINDING"), Column("STEPS", True), Column("RUNS", True), Column("TIME", True)),
        Column("SCENARIO"),
    )
    searched = summary(explored)
    exact = None if rows else "".join(f"{line}\n" for line in searched)
    return Report(columns, tuple(rows), explored, exact, "nothing was found", ("", *searched))


def summary(explored: Explored) -> Sequence[str]:
    """What was searched, in sentences."""
    who = explored.vm or f"kernel {explored.gpt}"
    beside = f" beside {explored.against}" if explored.against else ""
    rate = explored.runs / explored.seconds if explored.seconds else 0
    lines = [
        f"searched {who}{beside}: {explored.runs:,} runs ({rate:,.0f} a second), "
        f"{explored.operations:,} operations, {explored.states:,} states, "
        f"{explored.shapes:,} kinds of page tables; seed {explored.seed}",
    ]
    if not explored.findings:
        lines.append("nothing was found, which proves nothing: see 'bhyvesim prove'")
    if explored.known:
        lines.append(f"{explored.known} known causes do not count")
    return lines
