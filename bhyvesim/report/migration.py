"""A rehearsed migration: its rounds, and the pages that never arrived."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, NamedTuple

from bhyvesim.host.host import Migrated
from bhyvesim.kernel.builds import build_name
from bhyvesim.report.fit import Page, paragraph, table
from bhyvesim.report.model import Column, one_of
from bhyvesim.vm.migration.plan import DEVICE_WRITES, DISCIPLINES, PAUSED, Plan
from bhyvesim.vm.migration.rehearsal import BEFORE, UNKNOWN
from bhyvesim.vm.migration.workload import DEVICE, GUEST

TOLD = 3  # runs of pages, for people
_LISTED = 1000  # and for programs

_ROUNDS = (
    Column("HOP", True),
    Column("ATTEMPT", True),
    Column("ROUND", True),
    Column("OFFERED", True),
    Column("SENT", True),
    Column("AGAIN", True),
    Column("GUEST", True),
    Column("DEVICE", True),
)
_GONE = (
    Column("HOP", True),
    Column("ADDRESS"),
    Column("PAGES", True),
    Column("LAST WRITTEN"),
)
_BY = {
    GUEST: "by the guest",
    DEVICE: "by a device",
    BEFORE: "before the migration",
    UNKNOWN: "perhaps never",
}


class MigrationRound(NamedTuple):
    """One round: pages ``offered`` and ``sent``, ``again`` of them a second time in the attempt.

    ``guest`` and ``device``: writes since the dirty bits were read the last time.
    """

    hop: int
    attempt: int
    round: int
    paused: bool
    offered: int
    sent: int
    again: int
    guest: int
    device: int


class NeverArrived(NamedTuple):
    """Neighbouring pages that are not at the target as they were at the source when it paused."""

    hop: int
    gpa: int
    pages: int
    by: Annotated[str, one_of(_BY)]


class PagesBy(NamedTuple):
    """How many pages never arrived, by who wrote to them last.

    ``before``: they were written before the migration; ``unknown``: perhaps never.
    """

    guest: int
    device: int
    before: int
    unknown: int


class MigrationPlan(NamedTuple):
    """What was rehearsed. ``devices``: how many of 100 writes are by devices."""

    discipline: Annotated[str, one_of(DISCIPLINES)]
    rounds: int
    writes: int
    devices: int
    device_writes: Annotated[str, one_of(DEVICE_WRITES)]
    fail_after: int | None
    hops: int
    seed: int


class Migration(NamedTuple):
    """`bhyvesim migrate`: what was sent in each round, and what never arrived.

    ``lost`` pages certainly, ``unknown`` pages perhaps; ``missing`` are the first thousand runs
    of them, and ``more`` the pages after those. ``from_gpt`` and ``to_gpt``: the kernels.
    """

    source: str
    target: str
    from_gpt: str
    to_gpt: str
    plan: MigrationPlan
    rounds: tuple[MigrationRound, ...]
    sent: int
    again: int
    lost: int
    unknown: int
    by: PagesBy
    missing: tuple[NeverArrived, ...]
    more: int


def page(migrated: Migrated, plan: Plan) -> Page:
    """The rounds as a table, the pages that never arrived below it."""
    came = migrated.rehearsed
    listed = tuple(NeverArrived(*gone) for gone in islice(came.gone(), _LISTED))
    record = Migration(
        migrated.source.name,
        migrated.target.name,
        migrated.source.kernel.gpt,
        migrated.target.kernel.gpt,
        MigrationPlan(*plan.values()),
        tuple(
            MigrationRound(r.hop, r.attempt, r.number, r.paused, r.offered, r.offered, *r[5:])
            for r in came.rounds
        ),
        came.sent,
        came.again,
        came.lost,
        came.unknown,
        PagesBy(**came.pages),
        listed,
        came.lost + came.unknown - sum(gone.pages for gone in listed),
    )
    return Page(record, lambda width: list(_lines(record, migrated, width)))


def _lines(record: Migration, migrated: Migrated, width: int | None) -> Iterator[str]:
    yield from paragraph(_title(record, migrated), width)
    yield ""
    rows = [
        (
            *(str(r.hop), str(r.attempt), PAUSED if r.paused else str(r.round)),
            *(str(r.offered), str(r.sent), str(r.again), str(r.guest), str(r.device)),
        )
        for r in record.rounds
    ]
    yield from table(_ROUNDS, rows, width, alike=True)
    yield ""
    yield from paragraph(f"{_pages(record.sent)} sent, {record.again} of them again", width)
    for gpt in migrated.rehearsed.blind:
        yield from paragraph(
            f"on kernel {gpt} this processor sets no dirty bits: what vCPUs write is never offered",
            width,
        )
    yield from paragraph(_verdict(record), width)
    if record.missing:
        yield ""
        told = record.missing[:TOLD]
        runs = [(str(g.hop), f"{g.gpa:#x}", str(g.pages), _BY[g.by]) for g in told]
        yield from table(_GONE, runs, width)
        more = record.lost + record.unknown - sum(gone.pages for gone in told)
        if more:
            yield f"and {_pages(more)} more"


def _title(record: Migration, migrated: Migrated) -> str:
    kernel, there = migrated.source.kernel, migrated.target.kernel
    where = f"kernel {kernel.gpt} {build_name(kernel.debug)}"
    if there.gpt != kernel.gpt:
        where += f" to {there.gpt}"
    plan = record.plan
    parts = [f"{record.source} to {record.target}: {where}, {migrated.source.npt.upper()}"]
    parts.append(plan.discipline)
    if plan.device_writes != Plan.device_writes:
        parts.append(f"devices {plan.device_writes}")
    return "; ".join([*parts, f"seed {plan.seed}"])


def _verdict(record: Migration) -> str:
    """What is to be known at a glance."""
    by = {who: count for who, count in record.by._asdict().items() if count and who != UNKNOWN}
    if not record.lost and not record.unknown:
        return "all arrived: the bytes at both ends are the same"
    said = []
    if record.lost:
        whose = ", ".join(f"{count} written {_BY[who]}" for who, count in by.items())
        said.append(f"{_pages(record.lost)} never arrived as last written: {whose}")
    if record.unknown:
        said.append(
            f"{_pages(record.unknown)} never arrived, and may have been written: no dirty bit "
            "tells, and no bytes of them are known"
        )
    return "; ".join(said)


def _pages(count: int) -> str:
    return f"{count} page{'s' * (count != 1)}"
