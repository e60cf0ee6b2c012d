"""A validator of a whole machine: its tables against its memmaps and segments."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from bhyvesim.kernel.gpt import check as gpt_check
from bhyvesim.kernel.gpt.fold import EntryRun, entry_runs
from bhyvesim.kernel.gpt.leaf import flags_of
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.mapping import Mapping
from bhyvesim.kernel.memory import APIC_SPAN
from bhyvesim.kernel.pte.format import pfn_of
from bhyvesim.kernel.vmspace import PAGES_END


class WrongEntries(NamedTuple):
    """*pages* pages, from *gpa* on, whose entries are not what their mapping gives."""

    gpa: int
    pages: int
    problem: str


def problems(machine: Machine) -> list[str]:
    """What is wrong with *machine*, a line each; empty when all is well.

    After a panic the tables need not agree with the memmaps, so only the tree is checked.
    """
    found = gpt_check.problems(machine.space.gpt)
    if not machine.state.alive:
        return found
    wrong = [f"page {w.gpa:#x} {w.problem}" for w in wrong_entries(machine)]
    stray = [f"page {run.gpa:#x} has an entry, but no mapping" for run in stray_runs(machine)]
    return [*found, *map_problems(machine), *wrong, *stray]


def map_problems(machine: Machine) -> list[str]:
    """Memmaps that overlap, leave their segment, or are not what the vmspace maps."""
    found = []
    for a, b in pairwise(machine.memmaps):
        if a.span.overlaps(b.span):
            found.append(f"memmaps {a.span} and {b.span} overlap")
    mapped = [m.span for m in machine.space.mappings]
    wanted = sorted([m.span for m in machine.memmaps] + [APIC_SPAN] * machine.apicv)
    if mapped != wanted:
        found.append("the vmspace does not map what the memmaps say")
    for memmap in machine.memmaps:
        seg = machine.segs.get(memmap.segid)
        if seg is None or memmap.segoff + memmap.length > seg.length:
            found.append(f"memmap {memmap.span} is not inside a segment")
    return found


def wrong_entries(machine: Machine) -> Iterator[WrongEntries]:
    """Every present entry must lead where the mapping over its page leads, a run each."""
    for mapping in machine.space.mappings:
        for run in entry_runs(machine.space.gpt, mapping.span.pages):
            problem = _problem(mapping, run)
            if problem is not None:
                yield WrongEntries(run.gpa, run.pages, problem)


def stray_runs(machine: Machine) -> Iterator[EntryRun]:
    """The entries of pages over which there is no mapping."""
    at = 0
    for mapping in machine.space.mappings:
        yield from entry_runs(machine.space.gpt, range(at, mapping.span.pages.start))
        at = mapping.span.pages.stop
    yield from entry_runs(machine.space.gpt, range(at, PAGES_END))


def _problem(mapping: Mapping, run: EntryRun) -> str | None:
    if pfn_of(run.pte) != mapping.host_pfn + run.page - mapping.first:
        return f"has the entry {run.pte:#x} of another page"
    if flags_of(mapping.backing.cls) & ~flags_of(run.cls):
        return "lacks bits that its mapping gives"
    return None
