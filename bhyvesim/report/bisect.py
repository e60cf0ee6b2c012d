"""Which revision brought a failure and which mended it: sentences, and a table of outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated

from bhyvesim.report.fit import Page, paragraph, table
from bhyvesim.report.model import Column, one_of
from bhyvesim.report.scenario import axis_word
from bhyvesim.report.tones import outcome
from bhyvesim.scenario.bisect import (
    BROUGHT,
    CHANGED,
    IN_THE_OLDEST,
    MENDED,
    NOT_THERE,
    UNKNOWN,
    Axes,
    Change,
    History,
)
from bhyvesim.scenario.model import Scenario

_EVERY = "all"
_NOTES = {
    NOT_THERE: "lacks an operation of this scenario (ENOTTY), and is neither good nor bad",
    UNKNOWN: "what it makes of this scenario is not modelled; neither good nor bad",
}

Event = Annotated[str, one_of((IN_THE_OLDEST, BROUGHT, CHANGED, MENDED))]


@dataclass(frozen=True, slots=True)
class BisectChange:
    """A revision whose outcome differs from that of the one before."""

    event: Event
    gpt: str
    outcome: str


@dataclass(frozen=True, slots=True)
class BisectHistory:
    """What came of some variants, which share it, revision by revision.

    ``outcomes`` are by revision, oldest first: ``ok``, ``n/a`` where it lacks an operation of
    the scenario, ``unknown`` where one is not modelled, else how it fails.
    """

    variants: tuple[dict[str, str], ...]
    fails: bool
    sentence: str
    outcomes: dict[str, str]
    changes: tuple[BisectChange, ...]


@dataclass(frozen=True, slots=True)
class Bisected:
    """`bhyvesim bisect`: the distinct histories of a scenario; whether any revision fails."""

    title: str
    file: str
    fails: bool
    histories: tuple[BisectHistory, ...]


def bisected(scenario: Scenario, found: Sequence[History]) -> Page:
    """A sentence for each history, and a table of them, revisions across."""
    histories = tuple(map(_record, found))
    fails = any(history.fails for history in found)
    record = Bisected(scenario.title, scenario.source, fails, histories)
    return Page(record, lambda width: list(_lines(record, found, width)))


def _record(history: History) -> BisectHistory:
    return BisectHistory(
        tuple(map(dict, history.variants)),
        history.fails,
        sentence(history),
        dict(zip(history.revisions, history.outcomes, strict=True)),
        tuple(BisectChange(c.event, c.revision, c.outcome) for c in history.changes()),
    )


def sentence(history: History) -> str:
    """Which revision brought what, and which mended it, in words."""
    if not history.fails:
        if set(history.outcomes) == {NOT_THERE}:
            return "no revision has all of its operations"
        return "no revision is known to fail" if history.unknown else "no revision fails"
    changes = history.changes()
    told = "; ".join(map(_told, changes))
    return told if changes[-1].event == MENDED else f"{told}, and no revision mends it"


def _told(change: Change) -> str:
    revision, outcome = change.revision, change.outcome
    return {
        IN_THE_OLDEST: f"in {revision}, the oldest that is known ({outcome})",
        BROUGHT: f"brought by {revision} ({outcome})",
        CHANGED: f"changed by {revision} ({outcome})",
        MENDED: f"mended in {revision}",
    }[change.event]


def _lines(record: Bisected, found: Sequence[History], width: int | None) -> Iterator[str]:
    everybody = [variant for history in found for variant in history.variants]
    labels = [_label(history.variants, everybody) for history in found]
    yield from paragraph(f"{record.title} ({record.file})", width)
    yield ""
    for label, history in zip(labels, record.histories, strict=True):
        who = "" if label == _EVERY else f"{label}: "
        yield from paragraph(f"{who}{history.sentence}", width)
    yield ""
    columns = (Column("VARIANT"), *(Column(name, tone=outcome) for name in found[0].revisions))
    rows = [(label, *history.outcomes) for label, history in zip(labels, found, strict=True)]
    yield from table(columns, rows, width, alike=True)
    for word, meaning in _NOTES.items():
        if any(word in history.outcomes for history in found):
            yield from paragraph(f"{word}: {meaning}", width)


def _label(some: Sequence[Axes], everybody: Sequence[Axes]) -> str:
    """``DEBUG``, ``production amd``: what *some* of the variants have in common, and no other.

    One by one where nothing else tells them from the others.
    """
    values = {axis: list(dict.fromkeys(v[axis] for v in some)) for axis in _axes(some[0])}
    if prod(map(len, values.values())) != len(some):
        return ", ".join(_label([one], everybody) for one in some)
    words = [
        "/".join(axis_word(axis, value) for value in mine)
        for axis, mine in values.items()
        if len(mine) == 1 or len(mine) < len({v[axis] for v in everybody})
    ]
    return " ".join(words) or _EVERY


def _axes(variant: Axes) -> list[str]:
    """The build first."""
    return ["debug", *(axis for axis in variant if axis != "debug")]
