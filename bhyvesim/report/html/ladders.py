"""The pages around an address that matters, one by one: where memmaps meet, where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bhyvesim.kernel.gpt.levels import REACH
from bhyvesim.kernel.look.areas import Area, over
from bhyvesim.kernel.machine import Machine
from bhyvesim.units import PAGE_SHIFT, PAGE_SIZE

MAX_LADDERS = 12
_AROUND = 3  # pages on both sides


@dataclass(frozen=True, slots=True)
class Rung:
    """A page: what is mapped there, its entry (0: none), and what it is to the case."""

    gpa: int
    area: Area | None
    entry: int
    note: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """Neighbouring pages around *gpa*, by address."""

    gpa: int
    title: str
    rungs: tuple[Rung, ...]


def ladders(machine: Machine, mapped: Sequence[Area], marks: Mapping[int, str]) -> list[Ladder]:
    """The most telling ones, by address: those with *marks*, where memmaps touch, other edges."""
    titles = _edges(mapped)
    chosen: list[int] = []
    edges = sorted(titles, key=lambda gpa: (" ends, " not in titles[gpa], gpa))
    for gpa in (*sorted(marks), *edges):
        page = gpa & -PAGE_SIZE
        far = all(abs(page - other) > _AROUND * PAGE_SIZE for other in chosen)
        if far and len(chosen) < MAX_LADDERS:
            chosen.append(page)
    noted = {gpa & -PAGE_SIZE: note for gpa, note in marks.items()}
    return [_ladder(machine, mapped, noted, titles, gpa) for gpa in sorted(chosen)]


def _edges(mapped: Sequence[Area]) -> dict[int, str]:
    """What begins or ends at each edge of a memmap."""
    ends = {area.span.end: f"{area.name} ends" for area in mapped}
    starts = {area.span.start: f"{area.name} begins" for area in mapped}
    return {
        gpa: ", ".join(there[gpa] for there in (ends, starts) if gpa in there)
        for gpa in {*ends, *starts}
        if gpa < REACH
    }


def _ladder(
    machine: Machine,
    mapped: Sequence[Area],
    marks: Mapping[int, str],
    titles: Mapping[int, str],
    gpa: int,
) -> Ladder:
    rungs = tuple(_rungs(machine, mapped, marks, gpa))
    near = [rung.gpa for rung in rungs if rung.gpa in titles]
    edge = gpa if gpa in titles else near[0] if near else gpa
    return Ladder(edge, titles.get(edge, "where it stopped"), rungs)


def _rungs(
    machine: Machine, mapped: Sequence[Area], marks: Mapping[int, str], gpa: int
) -> Iterator[Rung]:
    page = gpa >> PAGE_SHIFT
    for at in range(max(0, page - _AROUND), min(page + _AROUND + 1, REACH >> PAGE_SHIFT)):
        here = at << PAGE_SHIFT
        entry = machine.space.gpt.entry(at)
        yield Rung(here, over(mapped, here), entry, marks.get(here, ""))
