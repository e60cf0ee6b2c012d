"""On which kernels VMs are safe: one VM in full, a fleet in a table, and what a rollout changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.report.model import Column, Report
from bhyvesim.scenario.verdict import REBOOTS, Verdict
from bhyvesim.units import format_size

UNREADABLE = "unreadable"


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
        return "safe" if all(v.safe for v in self.verdicts) else "NOT SAFE"


def one_vm(source: str, found: Sequence[Verdict], *, cpu_taken: bool) -> Report:
    """A row a kernel."""
    rows = []
    for verdict in found:
        drift = verdict.drift
        remark = f"page counter off by {drift:+d} after {REBOOTS} reboots" if drift else ""
        because = "" if verdict.safe else verdict.outcome
        rows.append((verdict.kernel.name, _word(verdict.safe), because, remark))
    columns = tuple(map(Column, ("KERNEL", "VERDICT", "BECAUSE", "REMARK")))
    notes = _notes(found, cpu_taken)
    data = {"vm": source, "kernels": [_data(v) for v in found], "notes": list(notes)}
    return Report(columns, tuple(rows), data, notes=notes)


def fleet(judged: Sequence[Judged], *, cpu_taken: bool) -> Report:
    """A row a VM: on which kernels it is not safe, and why."""
    rows = tuple((j.source, _memory(j), j.verdict, _not_on(j.verdicts)) for j in judged)
    columns = (Column("FILE OR VM"), Column("MEMORY", True), Column("VERDICT"), Column("NOT ON"))
    notes = _notes([verdict for j in judged for verdict in j.verdicts], cpu_taken)
    data = {"vms": [_fleet_data(j) for j in judged], "notes": list(notes)}
    return Report(columns, rows, data, notes=notes)


def rollout(judged: Sequence[Judged], old: str, new: str, *, cpu_taken: bool) -> Report:
    """A row a VM: how it fares on *old* and on *new*, and what the step changes."""
    rows, data = [], []
    for j in judged:
        before, after = (_on(j, gpt) for gpt in (old, new))
        change = _change(before, after) if j.verdicts else ""
        rows.append((j.source, _memory(j), *(map(_shown, (before, after))), change))
        data.append({**_fleet_data(j), "change": change or UNREADABLE})
    columns = (
        Column("FILE OR VM"),
        Column("MEMORY", True),
        Column(old),
        Column(new),
        Column("CHANGE"),
    )
    notes = _notes([verdict for j in judged for verdict in j.verdicts], cpu_taken)
    return Report(
        columns,
        tuple(rows),
        {"from": old, "to": new, "vms": data, "notes": list(notes)},
        notes=notes,
    )


def _on(judged: Judged, gpt: str) -> list[Verdict]:
    return [v for v in judged.verdicts if v.kernel.gpt == gpt]


def _shown(found: Sequence[Verdict]) -> str:
    if not found:
        return UNREADABLE
    return "; ".join(dict.fromkeys(v.outcome for v in found if not v.safe)) or "safe"


def _change(before: Sequence[Verdict], after: Sequence[Verdict]) -> str:
    was, becomes = (all(v.safe for v in found) for found in (before, after))
    if was == becomes:
        same = [v.outcome for v in before] == [v.outcome for v in after]
        return "none" if was or same else "NOT SAFE on either"
    return "becomes safe" if becomes else "becomes NOT SAFE"


def _word(safe: bool) -> str:
    return "safe" if safe else "NOT SAFE"


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


def _data(verdict: Verdict) -> dict[str, Any]:
    return {
        "gpt": verdict.kernel.gpt,
        "debug": verdict.kernel.debug,
        "safe": verdict.safe,
        "outcome": verdict.outcome,
        "drift": verdict.drift,
    }


def _fleet_data(judged: Judged) -> dict[str, Any]:
    return {
        "source": judged.source,
        "name": judged.name,
        "memory": judged.memory,
        "verdict": judged.verdict,
        "kernels": [_data(v) for v in judged.verdicts],
    }
