"""A validator of a whole machine: its tables against its memmaps and segments."""

from __future__ import annotations

from itertools import pairwise

from bhyvesim.kernel.gpt import check as gpt_check
from bhyvesim.kernel.gpt.leaf import flags_of
from bhyvesim.kernel.gpt.rows import pte_rows
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import APIC_SPAN
from bhyvesim.kernel.pte.format import pfn_of
from bhyvesim.kernel.results import MachineState
from bhyvesim.units import PAGE_SHIFT


def problems(machine: Machine) -> list[str]:
    """What is wrong with *machine*, a line each; empty when all is well.

    After a panic the tables need not agree with the memmaps, so only the tree is checked.
    """
    found = gpt_check.problems(machine.space.gpt)
    if machine.state is not MachineState.RUNNING:
        return found
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
    for row in pte_rows(machine.space.gpt):
        found += _entry_problems(machine, row.gpa, row.npages, row.pte)
    return found


def _entry_problems(machine: Machine, gpa: int, npages: int, pte: int) -> list[str]:
    """Every present entry must lead where the mapping over its page leads."""
    page, end = gpa >> PAGE_SHIFT, (gpa >> PAGE_SHIFT) + npages
    while page < end:
        gpa_here = page << PAGE_SHIFT
        mapping = next(
            (m for m in machine.space.mappings if m.span.start <= gpa_here < m.span.end), None
        )
        if mapping is None:
            return [f"page {page << PAGE_SHIFT:#x} has an entry, but no mapping"]
        here = pte + ((page << PAGE_SHIFT) - gpa)
        if pfn_of(here) != mapping.host_pfn + page - mapping.first:
            return [f"page {page << PAGE_SHIFT:#x} has the entry {here:#x} of another page"]
        fresh = flags_of(mapping.backing.cls)
        if fresh & ~flags_of(here - (page << PAGE_SHIFT)):
            return [f"page {page << PAGE_SHIFT:#x} lacks bits that its mapping gives"]
        page = min(end, mapping.span.end >> PAGE_SHIFT)
    return []
