"""Which revision brought a failure, and which mended it: a scenario's life on every one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from bhyvesim import limits
from bhyvesim.errors import NotModelled, UsageError
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.scenario.cell import Cell, observe, outcome_after
from bhyvesim.scenario.compare import mismatch
from bhyvesim.scenario.deadline import TimeOver, deadline
from bhyvesim.scenario.model import CellResult, CellSpec, Expectation, Scenario, Step

FINE = "ok"
NOT_THERE = "n/a"  # the revision lacks an operation of the scenario
UNKNOWN = "unknown"  # what it makes of one is not modelled
NEITHER = (NOT_THERE, UNKNOWN)  # good nor bad
IN_THE_OLDEST, BROUGHT, CHANGED, MENDED = "in the oldest", "brought", "changed", "mended"

_LACKING = "ENOTTY"  # what a revision says of an operation that it does not have

Axes = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """A revision that differs from the one before it: ``event`` is one of the four words."""

    event: str
    revision: str
    outcome: str


@dataclass(frozen=True, slots=True)
class History:
    """What came of a scenario on each of *revisions*, oldest first.

    ``variants`` are the builds and whatever else the scenario varies that share it, each by
    its axes, without the revision's.
    """

    variants: tuple[Axes, ...]
    revisions: tuple[str, ...]
    outcomes: tuple[str, ...]

    @property
    def fails(self) -> bool:
        """Whether any revision does."""
        return any(outcome not in (FINE, *NEITHER) for outcome in self.outcomes)

    @property
    def unknown(self) -> bool:
        """Whether it is not known of some revision."""
        return UNKNOWN in self.outcomes

    def changes(self) -> list[Change]:
        """Where it became another; a revision that is neither good nor bad changes nothing."""
        found: list[Change] = []
        before, known = FINE, False
        for revision, outcome in zip(self.revisions, self.outcomes, strict=True):
            if outcome not in (*NEITHER, before):
                found.append(Change(_event(before, outcome, not known), revision, outcome))
                before = outcome
            known = known or outcome != UNKNOWN
        return found


def _event(before: str, outcome: str, oldest: bool) -> str:
    if outcome == FINE:
        return MENDED
    if before != FINE:
        return CHANGED
    return IN_THE_OLDEST if oldest else BROUGHT


def on_every_revision(scenario: Scenario) -> Scenario:
    """*scenario* with each of its variants on every revision there is, oldest first."""
    variants = {tuple(_variant(cell.axes).items()): cell for cell in scenario.cells}
    cells = [_on(cell, name) for cell, name in product(variants.values(), REVISIONS)]
    return replace(scenario, cells=tuple(cells))


def _variant(axes: Axes) -> dict[str, str]:
    return {axis: value for axis, value in axes.items() if axis != "gpt"}


def _on(cell: CellSpec, gpt: str) -> CellSpec:
    vm = replace(cell.vm, kernel=replace(cell.vm.kernel, gpt=gpt))
    return CellSpec({**cell.axes, "gpt": gpt}, vm)


def live(scenario: Scenario, cell_index: int) -> CellResult:
    """Take one cell through the whole of its scenario, to see what it comes to.

    The outcome is run_cell()'s word for the most telling thing; where that is ``ok``, it is
    NOT_THERE, or the first step that was not as it should be. The result calls the scenario 0.
    Raises UsageError for a cell that does not end: what it would come to is not known.
    """
    try:
        with deadline(limits.SECONDS.most) as check:
            return _lived(scenario, cell_index, check)
    except TimeOver:
        name = scenario.full_name(scenario.cells[cell_index])
        raise UsageError(f"{name}: no end: expected one, in {limits.SECONDS}") from None
    except NotModelled:
        return CellResult(0, cell_index, UNKNOWN, failure=None, drift=0, seconds=0.0)


def _lived(scenario: Scenario, cell_index: int, check: Callable[[], None]) -> CellResult:
    spec = scenario.cells[cell_index]
    cell = Cell(spec.vm)
    outcome, wrong, lacking = FINE, "", False
    for step in scenario.steps:
        check()
        observed = observe(step, cell)
        asked = _asked(step, spec.axes)
        if observed.errno is None or observed.errno != asked.errno:
            outcome = outcome_after(outcome, step, observed)
        if observed.stop is not None:
            break
        lacking = lacking or observed.errno == _LACKING
        difference = None if wrong else mismatch(asked, observed, cell.machine)
        if difference is not None:
            expected, got = difference
            wrong = f"{step.name}: expected {expected}, got {got}"
    if outcome == FINE:
        outcome = NOT_THERE if lacking else wrong or FINE
    return CellResult(0, cell_index, outcome, failure=None, drift=0, seconds=0.0)


def _asked(step: Step, axes: Axes) -> Expectation:
    """What *step* must come to, whatever is known of the revision.

    An expectation `when: {gpt: ...}` describes its revisions, it does not make them right: they
    are held to what is asked of the others, but for what is a revision's own affair. Panics,
    hangs and lost pages are an outcome, whatever is expected; ENOTTY is neither good nor bad.
    """
    everybodys = [e for e in step.expectations if "gpt" not in e.when]
    asked = replace(step, expectations=tuple(everybodys)).expectation(axes)
    if asked.panic is not None or asked.hang is not None or asked.errno == _LACKING:
        return Expectation(anything=True)
    described = "gpt" in step.expectation(axes).when
    return _from_outside(asked) if described else replace(asked, lost=None)


def _from_outside(asked: Expectation) -> Expectation:
    """*asked* without tables, entries and counts: kernels may differ there and both be right."""
    return Expectation(
        anything=asked.anything,
        errno=asked.errno,
        fault=asked.fault,
        gpa=asked.gpa,
        lost=None,
        leaks=asked.leaks,
        value=asked.value,
        byte=asked.byte,
        contents=asked.contents,
    )


def histories(scenario: Scenario, results: Sequence[CellResult]) -> list[History]:
    """The distinct histories of :func:`on_every_revision`'s cells, from all their results."""
    outcomes: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for result in sorted(results, key=lambda result: result.cell):
        axes = scenario.cells[result.cell].axes
        row = outcomes.setdefault(tuple(_variant(axes).items()), {})
        row[axes["gpt"]] = result.outcome
    shared: dict[tuple[str, ...], list[Axes]] = {}
    for variant, row in outcomes.items():
        shared.setdefault(tuple(row.values()), []).append(dict(variant))
    revisions = tuple(next(iter(outcomes.values())))
    return [History(tuple(variants), revisions, row) for row, variants in shared.items()]
