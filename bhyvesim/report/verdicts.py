"""On which kernels VMs are safe: one VM in full, a fleet in a table, and what a rollout changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, NamedTuple

from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.report.model import Column, Report, one_of
from bhyvesim.report.tones import outcome, verdict
from bhyvesim.scenario.verdict import REBOOTS, Verdict
from bhyvesim.units import format_size
from bhyvesim.values import Value

UNREADABLE = "unreadable"
SAFE, NOT_SAFE, UNKNOWN = "safe", "NOT SAFE", "unknown"
NO_CHANGE, BECOMES_SAFE = "none", "becomes safe"
BECOMES_NOT_SAFE, NOT_SAFE_ON_EITHER = "becomes NOT SAFE", "NOT SAFE on either"

VerdictWord = Annotated[str, one_of((SAFE, NOT_SAFE, UNKNOWN, UNREADABLE))]
Change = Annotated[
    str,
    one_of((NO_CHANGE, BECOMES_SAFE, BECOMES_NOT_SAFE, NOT_SAFE_ON_EITHER, UNKNOWN, UNREADABLE)),
]


class OnKernel(NamedTuple):
    """How a VM fares on one kernel; ``drift`` is the page counter's, after the last reboot."""

    gpt: str
    debug: bool
    safe: bool
    outcome: str
    drift: int


class Matrix(NamedTuple):
    """`bhyvesim matrix`: the kernels, and whether the VM is safe there."""

    vm: str
    kernels: tuple[OnKernel, ...]
    notes: tuple[str, ...]


class FleetVm(NamedTuple):
    """One VM of several; ``memory`` in bytes."""

    source: str
    name: str
    memory: int
    verdict: VerdictWord
    kernels: tuple[OnKernel, ...]


class FleetMatrix(NamedTuple):
    """`bhyvesim matrix` of several VMs."""

    vms: tuple[FleetVm, ...]
    notes: tuple[str, ...]


class RolloutVm(NamedTuple):
    """One VM, and what the step changes for it."""

    source: str
    name: str
    memory: int
    verdict: VerdictWord
    kernels: tuple[OnKernel, ...]
    change: Change


class Rollout(Value):
    """`bhyvesim matrix --from R --to R`: what a rollout changes."""

    from_: str
    to: str
    vms: tuple[RolloutVm, ...]
    notes: tuple[str, ...]

    KEYS: ClassVar[Mapping[str, str]] = {"from_": "from"}


class Judged(NamedTuple):
    """One VM of a fleet, and its verdicts; without any, its file could not be read."""

    source: str
    name: str
    memory: int
    verdicts: tuple[Verdict, ...]

    @property
    def verdict(self) -> str:
        if not self.verdicts:
            return UNREADABLE
        return _word(self.verdicts)


def one_vm(
    source: str, found: Sequence[Verdict], *, cpu_taken: bool, room: Sequence[str] = ()
) -> Report:
    """A row a kernel."""
    rows = []
    for each in found:
        drift = each.drift
        remark = f"page counter off by {drift:+d} after {REBOOTS} reboots" if drift else ""
        because = "" if each.safe else each.outcome
        rows.append((each.kernel.name, _word([each]), because, remark))
    columns = (
        *(Column("KERNEL"), Column("VERDICT", tone=verdict)),
        *map(Column, ("BECAUSE", "REMARK")),
    )
    notes = (*_notes(found, cpu_taken), *_unknown("", found), *room)
    record = Matrix(source, tuple(map(_record, found)), notes)
    return Report(columns, tuple(rows), record, notes=notes)


def fleet(judged: Sequence[Judged], *, cpu_taken: bool, room: Sequence[str] = ()) -> Report:
    """A row a VM: on which kernels it is not safe, and why."""
    rows = tuple((j.source, _memory(j), j.verdict, _not_on(j.verdicts)) for j in judged)
    columns = (
        Column("FILE OR VM"),
        Column("MEMORY", True),
        Column("VERDICT", tone=verdict),
        Column("NOT ON"),
    )
    notes = (*_fleet_notes(judged, cpu_taken), *room)
    vms = tuple(FleetVm(*_common(j)) for j in judged)
    return Report(columns, rows, FleetMatrix(vms, notes), notes=notes)


def rollout(
    judged: Sequence[Judged], old: str, new: str, *, cpu_taken: bool, room: Sequence[str] = ()
) -> Report:
    """A row a VM: how it fares on *old* and on *new*, and what the step changes."""
    rows, vms = [], []
    for j in judged:
        before, after = (_on(j, gpt) for gpt in (old, new))
        change = _change(before, after) if j.verdicts else ""
        vms.append(RolloutVm(*_common(j), change or UNREADABLE))
        rows.append((j.source, _memory(j), *(map(_shown, (before, after))), change))
    columns = (
        Column("FILE OR VM"),
        Column("MEMORY", True),
        Column(old, tone=outcome),
        Column(new, tone=outcome),
        Column("CHANGE", tone=verdict),
    )
    notes = (*_fleet_notes(judged, cpu_taken), *room)
    return Report(columns, tuple(rows), Rollout(old, new, tuple(vms), notes), notes=notes)


def _on(judged: Judged, gpt: str) -> list[Verdict]:
    return [v for v in judged.verdicts if v.kernel.gpt == gpt]


def _shown(found: Sequence[Verdict]) -> str:
    if not found:
        return UNREADABLE
    return "; ".join(dict.fromkeys(v.outcome for v in found if not v.safe)) or SAFE


def _change(before: Sequence[Verdict], after: Sequence[Verdict]) -> str:
    if any(v.unknown for v in (*before, *after)):
        return UNKNOWN
    was, becomes = (all(v.safe for v in found) for found in (before, after))
    if was == becomes:
        same = [v.outcome for v in before] == [v.outcome for v in after]
        return NO_CHANGE if was or same else NOT_SAFE_ON_EITHER
    return BECOMES_SAFE if becomes else BECOMES_NOT_SAFE


def _word(found: Sequence[Verdict]) -> str:
    if any(not v.safe and not v.unknown for v in found):
        return NOT_SAFE
    return UNKNOWN if any(v.unknown for v in found) else SAFE


def _memory(judged: Judged) -> str:
    return format_size(judged.memory) if judged.verdicts else ""


def _not_on(found: Sequence[Verdict]) -> str:
    """``13932 (panic A at reboot), …``: alike builds of a revision are one."""
    parts = []
    for gpt in dict.fromkeys(v.kernel.gpt for v in found):
        mine = [v for v in found if v.kernel.gpt == gpt]
        bad = [v for v in mine if not v.safe]
        if len(bad) == len(mine) and len({v.outcome for v in bad}) == 1:
            parts.append(f"{gpt} ({bad[0].outcome})")
        else:
            parts += [f"{v.kernel.name} ({v.outcome})" for v in bad]
    return ", ".join(parts)


def _notes(found: Sequence[Verdict], cpu_taken: bool) -> tuple[str, ...]:
    """What stands below the table: what a verdict does not count, and what was taken for it."""
    notes = []
    if any(REVISIONS[v.kernel.gpt].ioctls.holds for v in found):
        since = next(name for name, revision in REVISIONS.items() if revision.ioctls.holds)
        notes.append(
            f"Not counted: kernels from {since} on hang if a page is held at an unmap (BV115)."
        )
    if cpu_taken:
        notes.append(
            "Where no cpu is named, an AMD host is taken; Intel ones differ: say cpu: intel."
        )
    return tuple(notes)


def _fleet_notes(judged: Sequence[Judged], cpu_taken: bool) -> Iterator[str]:
    yield from _notes([v for j in judged for v in j.verdicts], cpu_taken)
    for each in judged:
        yield from _unknown(f"{each.source}: ", each.verdicts)


def _unknown(whose: str, found: Sequence[Verdict]) -> Iterator[str]:
    """Why nothing is known of some."""
    for why in dict.fromkeys(v.unknown for v in found if v.unknown):
        yield f"{whose}{why}."


def _record(verdict: Verdict) -> OnKernel:
    kernel = verdict.kernel
    return OnKernel(kernel.gpt, kernel.debug, verdict.safe, verdict.outcome, verdict.drift)


def _common(judged: Judged) -> tuple[str, str, int, str, tuple[OnKernel, ...]]:
    kernels = tuple(map(_record, judged.verdicts))
    return judged.source, judged.name, judged.memory, judged.verdict, kernels
