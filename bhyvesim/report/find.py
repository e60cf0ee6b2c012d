"""What maps a host page, or holds an entry of some value."""

from __future__ import annotations

from dataclasses import dataclass

from bhyvesim.kernel.gpt.inverse import pages_holding
from bhyvesim.kernel.gpt.levels import ROOT_LEVEL
from bhyvesim.kernel.gpt.walk import table_in
from bhyvesim.kernel.look.areas import Area, areas, over
from bhyvesim.kernel.look.hosts import entries_for, offers, owners
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.pte.format import pfn_of, unnamed
from bhyvesim.prot import format_prot
from bhyvesim.report.fit import Page, named, paragraph
from bhyvesim.units import PAGE_SHIFT


@dataclass(frozen=True, slots=True)
class FindPte:
    """The value that was looked for, decoded; ``unnamed`` are bits that no name stands for."""

    value: str
    prot: str
    flags: tuple[str, ...]
    unnamed: str


@dataclass(frozen=True, slots=True)
class FindEntry:
    """An entry that leads there; ``segment`` is the name of what covers its address, if any."""

    gpa: int
    entry: str
    slot: int | None
    segment: str | None


@dataclass(frozen=True, slots=True)
class FindSegment:
    """A segment that the host page belongs to, and its offset there in bytes."""

    segid: int
    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class FindTable:
    """The page table that lies in the host page: its level and base address."""

    level: int
    gpa: int


@dataclass(frozen=True, slots=True)
class FindOffer:
    """What covers the page though no entry is set; ``maps``: a guest's fault would map it."""

    gpa: int
    slot: int | None
    segment: str
    maps: bool
    why: str


@dataclass(frozen=True, slots=True)
class Find:
    """`bhyvesim find`: a host page, the entries that lead to it, its owners, what would map it.

    With ``pte``, ``entries`` are those of exactly that value.
    """

    vm: str
    state: str
    pfn: int
    hpa: int
    pte: FindPte | None
    entries: tuple[FindEntry, ...]
    tables: tuple[FindTable, ...]
    segments: tuple[FindSegment, ...]
    offers: tuple[FindOffer, ...]


def find_page(title: str, vm: str, machine: Machine, pfn: int, pte: int | None) -> Page:
    """What there is to host page *pfn*; with *pte*, an entry of that page, to that value."""
    mapped = areas(machine)
    if pte is None:
        entries = entries_for(machine, pfn)
    else:
        pages = pages_holding(machine.space.gpt, pte)
        entries = [(page << PAGE_SHIFT, pte) for page in pages]
    record = Find(
        vm=vm,
        state=machine.state.value,
        pfn=pfn,
        hpa=pfn << PAGE_SHIFT,
        pte=None if pte is None else _decoded(machine, pte),
        entries=tuple(_entry(gpa, entry, over(mapped, gpa)) for gpa, entry in entries),
        tables=_tables(machine, pfn, pte),
        segments=tuple(
            FindSegment(seg.segid, seg.label, offset) for seg, offset in owners(machine, pfn)
        ),
        offers=tuple(
            FindOffer(o.gpa, o.area.slot, o.area.name, o.maps, o.why) for o in offers(machine, pfn)
        ),
    )
    return Page(record, lambda width: _lines(title, record, mapped, width))


def _decoded(machine: Machine, pte: int) -> FindPte:
    npt = machine.npt
    return FindPte(
        f"{pte:#x}", format_prot(npt.prot(pte)), npt.flags(pte), f"{unnamed(npt, pte):#x}"
    )


def _entry(gpa: int, entry: int, area: Area | None) -> FindEntry:
    slot, name = (None, None) if area is None else (area.slot, area.name)
    return FindEntry(gpa, f"{entry:#x}", slot, name)


def _tables(machine: Machine, pfn: int, pte: int | None) -> tuple[FindTable, ...]:
    """The table in host page *pfn*; with *pte*, only if that is what leads to it."""
    there = table_in(machine.space.gpt, pfn)
    if there is None or (pte is not None and pte != machine.npt.table(pfn_of(pte))):
        return ()
    return (FindTable(*there),)


def _lines(title: str, find: Find, mapped: list[Area], width: int | None) -> list[str]:
    lines = paragraph(title, width)
    told = [("host page", f"PFN {find.pfn:#x}, HPA {find.hpa:#x}")]
    if find.pte is not None:
        told += [("entry", f"{find.pte.value}: {_bits(find.pte)}")]
    lines += [*named(told, width), ""]
    return lines + named([*_found(find, mapped), *_others(find)], width)


def _bits(pte: FindPte) -> str:
    words = [" ".join(pte.flags) or "no bit with a name"]
    if pte.unnamed != "0x0":
        words.append(f"{pte.unnamed} without a name")
    return f"{pte.prot}, {', and '.join(words)}"


def _found(find: Find, mapped: list[Area]) -> list[tuple[str, str]]:
    lines = []
    for entry in find.entries:
        area = over(mapped, entry.gpa)
        where = "no memmap" if area is None else area.title
        value = f" by entry {entry.entry}" if find.pte is None else ""
        lines.append(("mapped at", f"{entry.gpa:#x}{value} ({where})"))
    for table in find.tables:
        parent = f", from a table of level {table.level + 1}" if table.level < ROOT_LEVEL else ""
        lines.append(("table", f"level {table.level} over {table.gpa:#x}{parent}"))
    return lines or [("mapped at", "no guest address" if find.pte is None else "no such entry")]


def _others(find: Find) -> list[tuple[str, str]]:
    told = [
        ("segment", f"{seg.segid} ({seg.name}), offset {seg.offset:#x}") for seg in find.segments
    ] or [("segment", "none")]
    for offer in find.offers:
        slot = "" if offer.slot is None else f"slot {offer.slot}, "
        does = "would map" if offer.maps else "covers"
        told.append((does, f"{offer.gpa:#x} ({slot}{offer.segment}): {offer.why}"))
    return told
