"""What is allocated for a VM and for whom, and what nobody needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bhyvesim.kernel.check import stray_runs
from bhyvesim.kernel.gpt.levels import ROOT_LEVEL
from bhyvesim.kernel.look.areas import areas
from bhyvesim.kernel.look.uses import TableUse, segment_uses, table_uses
from bhyvesim.kernel.machine import Machine
from bhyvesim.prot import format_prot
from bhyvesim.report.fit import Page, paragraph, table
from bhyvesim.report.model import Column
from bhyvesim.report.tones import verdict
from bhyvesim.units import PAGE_SHIFT, PAGE_SIZE, format_size

_COLUMNS = (
    Column("WHAT"),
    Column("COUNT", True),
    Column("SIZE", True),
    Column("FOR", tone=verdict),
)
_NOBODY = "nobody: leaked"


@dataclass(frozen=True, slots=True)
class LeaksSegment:
    """A segment, and the slots of the memmaps that show it; leaked without any."""

    segid: int
    name: str
    len: int
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LeaksMemmap:
    """A memmap, which its guest needs."""

    slot: int
    segment: str
    gpa: int
    len: int


@dataclass(frozen=True, slots=True)
class LeaksTables:
    """Tables of one level with the same users: memmaps by their slots, ``apic`` or ``vmspace``.

    ``gpa`` is the base of the lowest. Leaked without users.
    """

    level: int
    tables: int
    gpa: int
    users: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class LeaksPages:
    """Pages with entries where nothing is mapped; ``times`` as in `bhyvesim gpt`. Leaked."""

    gpa: int
    pages: int
    times: int


@dataclass(frozen=True, slots=True)
class LeaksHold:
    """A page that is held, for whoever has the hold."""

    hold: int
    gpa: int
    prot: str


@dataclass(frozen=True, slots=True)
class Leaks:
    """`bhyvesim leaks`: what is allocated and for whom; ``leaked`` where somebody is missing."""

    vm: str
    state: str
    leaked: bool
    segments: tuple[LeaksSegment, ...]
    memmaps: tuple[LeaksMemmap, ...]
    tables: tuple[LeaksTables, ...]
    pages: tuple[LeaksPages, ...]
    holds: tuple[LeaksHold, ...]


def leaks_page(title: str, vm: str, machine: Machine) -> tuple[Page, bool]:
    """Everything allocated, and whether anything of it is leaked."""
    mapped = areas(machine)
    uses = table_uses(machine)
    segments = tuple(
        LeaksSegment(seg.segid, seg.label, seg.length, tuple(slots))
        for seg, slots in segment_uses(machine)
    )
    pages = tuple(LeaksPages(r.gpa, r.npages, r.times) for r in stray_runs(machine))
    leaked = bool(pages) or any(u.leaked for u in uses) or not all(s.slots for s in segments)
    record = Leaks(
        vm=vm,
        state=machine.state.value,
        leaked=leaked,
        segments=segments,
        memmaps=tuple(
            LeaksMemmap(m.slot, m.name, m.span.start, m.span.length)
            for m in mapped
            if m.slot is not None
        ),
        tables=tuple(LeaksTables(u.level, u.tables, u.first, _users(u)) for u in uses),
        pages=pages,
        holds=tuple(
            LeaksHold(number, held.gpa, format_prot(held.prot))
            for number, held in machine.space.holds.items()
        ),
    )
    return Page(record, lambda width: _lines(title, record, width)), leaked


def _users(use: TableUse) -> tuple[int | str, ...]:
    if use.level == ROOT_LEVEL:
        return ("vmspace",)
    return tuple(sorted(("apic" if a.slot is None else a.slot for a in use.users), key=str))


def _lines(title: str, leaks: Leaks, width: int | None) -> list[str]:
    lines = [*paragraph(title, width), *table(_COLUMNS, _rows(leaks), width), ""]
    lost = [
        (sum(not s.slots for s in leaks.segments), "segment"),
        (sum(t.tables for t in leaks.tables if not t.users), "page table"),
        (sum(p.pages * p.times for p in leaks.pages), "page outside any memmap"),
    ]
    told = ", ".join(_count(count, what) for count, what in lost if count)
    return lines + paragraph(f"leaked: {told}" if told else "nothing is leaked", width)


def _rows(leaks: Leaks) -> list[tuple[str, str, str, str]]:
    rows = [
        (f"segment {s.segid} ({s.name})", "1", format_size(s.len), _slots(s.slots))
        for s in leaks.segments
    ]
    for m in leaks.memmaps:
        where = f"the guest, at {m.gpa:#x}"
        rows.append((f"memmap {m.slot} ({m.segment})", "1", format_size(m.len), where))
    for t in leaks.tables:
        what = f"level {t.level} table" + "s" * (t.tables > 1)
        users = _slots(t.users) if t.users else f"{_NOBODY}, from {t.gpa:#x} on"
        rows.append((what, str(t.tables), format_size(t.tables * PAGE_SIZE), users))
    for p in leaks.pages:
        count = p.pages * p.times
        who = f"{_NOBODY}, from {p.gpa:#x} on"
        rows.append(("pages without memmap", str(count), format_size(count << PAGE_SHIFT), who))
    for h in leaks.holds:
        rows.append((f"hold {h.hold}", "1", "4K", f"its holder, {h.prot} at {h.gpa:#x}"))
    return rows


def _slots(users: Iterable[int | str]) -> str:
    words = {"apic": "the APIC access page", "vmspace": "the vmspace"}
    return ", ".join(words[u] if isinstance(u, str) else f"slot {u}" for u in users) or _NOBODY


def _count(count: int, what: str) -> str:
    first, _, rest = what.partition(" outside")
    plural = first if count == 1 else f"{first}s"
    return f"{count} {plural}{' outside' if rest else ''}{rest}"
