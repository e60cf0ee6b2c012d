"""A walk of the tables for one address, and what accesses there would come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bhyvesim.kernel.gpt.levels import table_span
from bhyvesim.kernel.gpt.rows import NodeRow, node_rows
from bhyvesim.kernel.gpt.walk import WalkStep
from bhyvesim.kernel.look.areas import Area, areas, over
from bhyvesim.kernel.look.verdicts import Verdict, verdicts
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.pte.format import pfn_of
from bhyvesim.prot import format_prot
from bhyvesim.report.fit import Page, named, paragraph, table
from bhyvesim.report.model import Column
from bhyvesim.report.tones import BAD, GOOD
from bhyvesim.units import PAGE_SHIFT, PAGE_SIZE

_COLUMNS = (
    Column("LEVEL"),
    Column("TABLE"),
    Column("REFS", True),
    Column("SLOT", True),
    Column("ENTRY"),
    Column("BITS"),
)
_WORDS = {"r": "read", "w": "write", "x": "execute"}
_STOPPED = "It runs no more: this is what its tables and memmaps would answer if it did."


@dataclass(frozen=True, slots=True)
class WalkLevel:
    """One table on the way: its level (4 root to 1 leaf), base address and reference count.

    ``slot`` is the index of the entry used, ``entry`` its value; 0x0 where the walk ends.
    """

    level: int
    table: int
    refcnt: int
    slot: int
    entry: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WalkMemmap:
    """What covers the address. ``offset`` is the address's own in the segment, in bytes.

    ``slot``, ``segid`` and ``offset`` are null for the APIC access page.
    """

    slot: int | None
    segment: str
    segid: int | None
    gpa: int
    len: int
    offset: int | None
    prot: str
    wired: bool


@dataclass(frozen=True, slots=True)
class WalkAccess:
    """One access by a vCPU, r, w or x: whether it is allowed, and why or why not.

    ``maps``: the page gets its entry by it. ``panic`` is the kernel's message, if it would panic.
    """

    access: str
    allowed: bool
    maps: bool
    fault: str | None
    panic: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Walk:
    """`bhyvesim walk`: the tables on the way to an address, its host page, and what is allowed.

    ``pfn`` and ``hpa`` are the host page of the entry and the address itself in it, null
    where there is no entry.
    """

    vm: str
    state: str
    gpt: str
    npt: str
    gpa: int
    levels: tuple[WalkLevel, ...]
    pfn: int | None
    hpa: int | None
    memmap: WalkMemmap | None
    accesses: tuple[WalkAccess, ...]


def walk_page(title: str, vm: str, machine: Machine, gpa: int) -> Page:
    """The walk for *gpa*, any number below 2^64."""
    steps = machine.walk(gpa)
    area = over(areas(machine), gpa)
    tried = verdicts(machine, gpa)
    pfn = pfn_of(steps[-1].entry) if steps and steps[-1].level == 1 and steps[-1].entry else None
    record = Walk(
        vm=vm,
        state=machine.state.value,
        gpt=machine.revision.name,
        npt=machine.npt.name,
        gpa=gpa,
        levels=tuple(_levels(machine, steps)),
        pfn=pfn,
        hpa=None if pfn is None else pfn << PAGE_SHIFT | gpa & PAGE_SIZE - 1,
        memmap=None if area is None else _memmap(area, gpa),
        accesses=tuple(map(_access, tried)),
    )
    return Page(record, lambda width: _lines(title, record, machine, width))


def _levels(machine: Machine, steps: Sequence[WalkStep]) -> list[WalkLevel]:
    rows = node_rows(machine.space.gpt)
    return [
        WalkLevel(
            step.level,
            step.table,
            _refcnt(rows, step),
            step.slot,
            f"{step.entry:#x}",
            machine.npt.flags(step.entry),
        )
        for step in steps
    ]


def _refcnt(rows: Sequence[NodeRow], step: WalkStep) -> int:
    """Of a table that exists twice, that of the one in front: it is the one linked."""
    span = table_span(step.level)
    return next(
        (
            row.refcnt
            for row in rows
            if row.level == step.level and row.gpa <= step.table < row.gpa + row.tables * span
        ),
        0,
    )


def _memmap(area: Area, gpa: int) -> WalkMemmap:
    offset = None if area.segoff is None else area.segoff + gpa - area.span.start
    return WalkMemmap(
        area.slot,
        area.name,
        area.segid,
        area.span.start,
        area.span.length,
        offset,
        format_prot(area.prot),
        area.wired,
    )


def _access(tried: Verdict) -> WalkAccess:
    name = format_prot(tried.prot).strip("-")
    return WalkAccess(name, tried.allowed, tried.maps, tried.fault, tried.panic, tried.why)


def _lines(title: str, walk: Walk, machine: Machine, width: int | None) -> list[str]:
    lines = [*paragraph(title, width), f"gpa {walk.gpa:#x}", ""]
    rows = [
        (
            str(level.level),
            f"{level.table:#x}",
            str(level.refcnt),
            str(level.slot),
            level.entry,
            " ".join(level.flags) or "no entry",
        )
        for level in walk.levels
    ]
    lines += [*table(_COLUMNS, rows, width), ""] if rows else []
    host = "none" if walk.pfn is None else f"PFN {walk.pfn:#x}, HPA {walk.hpa:#x}"
    lines += named([("host page", host), *_told_memmap(walk.memmap)], width)
    lines.append("")
    if not machine.state.alive:
        lines += paragraph(_STOPPED, width)
    return lines + named(
        [(_WORDS[a.access], f"{'yes' if a.allowed else 'no'}: {a.why}") for a in walk.accesses],
        width,
        _allowed,
    )


def _allowed(told: str) -> str:
    return GOOD if told.startswith("yes") else BAD


def _told_memmap(memmap: WalkMemmap | None) -> list[tuple[str, str]]:
    if memmap is None:
        return [("memmap", "none")]
    wired = ", wired" if memmap.wired else ""
    span = f"[{memmap.gpa:#x}, {memmap.gpa + memmap.len:#x})"
    if memmap.slot is None:
        return [("memmap", f"none; {memmap.segment} {span} {memmap.prot}")]
    return [
        ("memmap", f"slot {memmap.slot}, {span} {memmap.prot}{wired}"),
        ("segment", f"{memmap.segid} ({memmap.segment}), offset {memmap.offset:#x}"),
    ]
