"""The validator's verdict: a line a finding, damage or drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bhyvesim.kernel.look.fsck import Finding
from bhyvesim.report.fit import Page, paragraph, table
from bhyvesim.report.model import Column
from bhyvesim.report.tones import verdict

_COLUMNS = (Column("VERDICT", tone=verdict), Column("KIND"), Column("FINDING"))


@dataclass(frozen=True, slots=True)
class FsckFinding:
    """One thing that does not hold: where, how many pages of it, and whether it is damage.

    ``kind`` drift is no damage: a counter of resident pages that the kernel never takes down.
    """

    kind: str
    damage: bool
    gpa: int | None
    pages: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Fsck:
    """`bhyvesim fsck`: what does not hold of tables, memmaps and counter; ``ok`` without damage.

    ``drifted``: the events in which the counter of a stored VM went wrong, a line each.
    """

    vm: str
    state: str
    ok: bool
    findings: tuple[FsckFinding, ...]
    drifted: tuple[str, ...]


def fsck_page(
    title: str, vm: str, state: str, findings: Sequence[Finding], drifted: Sequence[str]
) -> Page:
    """The verdict on a VM of which all that does not hold is in *findings*.

    *drifted* says when its counter went wrong, where that is known.
    """
    ok = not any(f.damage for f in findings)
    told = tuple(FsckFinding(f.kind, f.damage, f.gpa, f.pages, f.message) for f in findings)
    record = Fsck(vm, state, ok, told, tuple(drifted))
    return Page(record, lambda width: _lines(title, record, width))


def _lines(title: str, fsck: Fsck, width: int | None) -> list[str]:
    rows = [
        ("damage" if f.damage else "note", f.kind, f"{_place(f.gpa)}{f.message}")
        for f in fsck.findings
    ]
    lines = paragraph(title, width)
    if rows:
        lines += [*table(_COLUMNS, rows, width), ""]
    for step in fsck.drifted:
        lines += paragraph(step, width, "", "    ")
    lines += [""] if fsck.drifted else []
    damaged = sum(f.damage for f in fsck.findings)
    kinds = f"{damaged} finding{'s' * (damaged != 1)} of damage"
    return lines + paragraph("all holds" if fsck.ok else kinds, width)


def _place(gpa: int | None) -> str:
    return "" if gpa is None else f"at {gpa:#x}: "
