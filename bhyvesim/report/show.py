"""A VM on one page: what it is, its memory with the holes, its tables, its counters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated

from bhyvesim.kernel.gpt.check import entries_set
from bhyvesim.kernel.gpt.levels import ROOT_LEVEL
from bhyvesim.kernel.gpt.rows import node_rows
from bhyvesim.kernel.look.areas import areas
from bhyvesim.kernel.machine import Machine
from bhyvesim.prot import format_prot
from bhyvesim.report.fit import Page, named, paragraph, table
from bhyvesim.report.history import LogEvent, came_to, said_of_action
from bhyvesim.report.model import Column, one_of
from bhyvesim.units import PAGE_SIZE, format_size
from bhyvesim.values import Value

_MAP = (
    *(Column("SLOT", True), Column("ADDRESS", True), Column("SIZE", True), Column("WHAT")),
    *(Column("OFFSET"), Column("PROT")),
)
_TABLES = (Column("LEVEL", True), Column("TABLES", True), Column("MEMORY", True))
_KINDS = ("memmap", "apic", "hole")


class ShowArea(Value):
    """A stretch of guest memory: a memmap, the APIC access page, or a hole up to the next.

    ``slot``, ``segid`` and ``offset`` are of a memmap; ``prot`` of a hole is empty.
    """

    gpa: int
    len: int
    kind: Annotated[str, one_of(_KINDS)]
    name: str
    slot: int | None
    segid: int | None
    offset: int | None
    prot: str
    wired: bool


class ShowLevel(Value):
    """The tables of one level, 4 the root; ``bytes`` is the host memory that they take."""

    level: int
    tables: int
    bytes: int


class Show(Value):
    """`bhyvesim show`: one VM.

    ``resident`` is the kernel's own count of pages, ``present`` how many entries are set;
    ``memory`` is in bytes, of sysmem. ``last`` is null where no event is kept, and of a dump.
    """

    vm: str
    state: str
    gpt: str
    debug: bool
    npt: str
    apicv: bool
    track_dirty: bool
    memory: int
    memmap: tuple[ShowArea, ...]
    tables: tuple[ShowLevel, ...]
    resident: int
    present: int
    holds: int
    last: LogEvent | None


def show_page(title: str, vm: str, machine: Machine, last: LogEvent | None) -> Page:
    """All of it; *last* is the VM's last event up to then."""
    record = Show(
        vm=vm,
        state=machine.state.value,
        gpt=machine.revision.name,
        debug=machine.kernel.debug,
        npt=machine.npt.name,
        apicv=machine.apicv,
        track_dirty=machine.track_dirty,
        memory=sum(seg.length for seg in machine.segs.values() if not seg.name),
        memmap=tuple(_map(machine)),
        tables=tuple(_levels(machine)),
        resident=machine.resident,
        present=entries_set(machine.space.gpt),
        holds=len(machine.space.holds),
        last=last,
    )
    return Page(record, lambda width: _lines(title, record, width))


def _map(machine: Machine) -> Iterator[ShowArea]:
    """What is mapped, by address, and the holes below and between."""
    end = 0
    for area in areas(machine):
        start = area.span.start
        if start > end:
            yield ShowArea(end, start - end, "hole", "hole", None, None, None, "", wired=False)
        yield ShowArea(
            start,
            area.span.length,
            "apic" if area.slot is None else "memmap",
            area.name,
            area.slot,
            area.segid,
            area.segoff,
            format_prot(area.prot),
            area.wired,
        )
        end = max(end, area.span.end)


def _levels(machine: Machine) -> Iterator[ShowLevel]:
    rows = node_rows(machine.space.gpt)
    for level in range(ROOT_LEVEL, 0, -1):
        count = sum(row.tables for row in rows if row.level == level)
        yield ShowLevel(level, count, count * PAGE_SIZE)


def _lines(title: str, shown: Show, width: int | None) -> list[str]:
    lines = paragraph(title, width)
    lines += named(list(_said(shown)), width)
    lines += ["", *table(_MAP, [_row(area) for area in shown.memmap], width)]
    levels = [(str(t.level), str(t.tables), format_size(t.bytes)) for t in shown.tables]
    return [*lines, "", *table(_TABLES, levels, width)]


def _said(shown: Show) -> Iterator[tuple[str, str]]:
    features = [shown.npt.upper()]
    features += ["APICv"] if shown.apicv else []
    features += ["dirty tracking"] if shown.track_dirty else []
    yield "tables", ", ".join(features)
    yield "memory", format_size(shown.memory)
    off = shown.resident - shown.present
    counted = f", off by {off:+d} (see 'explain drift')" if off else ""
    yield "pages", f"{shown.present} present, {shown.resident} resident by the kernel{counted}"
    if shown.holds:
        yield "holds", f"{shown.holds}: an unmap would hang (see 'explain hang')"
    if shown.last is not None:
        yield "last event", _said_of(shown.last)


def _said_of(event: LogEvent) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.time))
    came = came_to(event.result, event.crash)
    return f"{event.event}: {said_of_action(event.action)}, {when}: {came}"


def _row(area: ShowArea) -> tuple[str, ...]:
    wired = " wired" if area.wired else ""
    return (
        "" if area.slot is None else str(area.slot),
        f"{area.gpa:#x}",
        format_size(area.len),
        area.name,
        "" if area.offset is None else f"{area.offset:#x}",
        f"{area.prot}{wired}",
    )
