"""The validator's findings: what is damaged in the tables, the memmaps and the counter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bhyvesim.errors import KernelPanic
from bhyvesim.kernel.calls import Kernel
from bhyvesim.kernel.check import map_problems, stray_runs, wrong_entries
from bhyvesim.kernel.gpt.check import entries_set, tree_problems
from bhyvesim.kernel.gpt.engine import Gpt
from bhyvesim.kernel.gpt.leaf import present
from bhyvesim.kernel.gpt.levels import LEAF_SHIFT
from bhyvesim.kernel.look.areas import areas
from bhyvesim.kernel.look.uses import table_uses
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import APIC_SPAN
from bhyvesim.kernel.pte import PteFormat
from bhyvesim.kernel.revisions import Revision
from bhyvesim.prot import READ
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SIZE

KINDS = (
    *("tree", "memmap", "stray", "entry", "twin", "table", "count", "idle", "wired"),
    *("counter", "drift"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold, in plain words, and where; *pages* says of how many pages.

    ``kind``, one of KINDS: tree, memmap, stray (entries where nothing is mapped), entry (one
    that leads elsewhere), twin (a table there twice), table (one that is missing), count (of a
    leaf's users), idle (tables that nobody needs), wired (a wired memmap lacks pages), counter
    (of resident pages); or drift: the counter on a kernel that never counts down, which is no
    damage, since every such kernel has it after a reboot.
    """

    kind: str
    message: str
    gpa: int | None = None
    pages: int | None = None

    @property
    def of_counter(self) -> bool:
        """Whether the kernel's counter is wrong."""
        return self.kind in ("counter", "drift")

    @property
    def damage(self) -> bool:
        return self.kind != "drift"


def examine(machine: Machine) -> list[Finding]:
    """Everything that does not hold; empty when all is well.

    A page without an entry under a memmap is nothing: it waits for its first access.
    """
    gpt = machine.space.gpt
    return [
        *(Finding("tree", problem) for problem in tree_problems(gpt)),
        *(Finding("memmap", problem) for problem in map_problems(machine)),
        *_entries(machine),
        *_twins(gpt),
        *_tables(machine),
        *_idle(machine),
        *_wired(machine),
        *_counter(machine),
    ]


def _entries(machine: Machine) -> Iterator[Finding]:
    for run in stray_runs(machine):
        what = f"{_pages(run.pages)} with an entry where nothing is mapped"
        yield Finding("stray", what, run.gpa, run.pages)
    for wrong in wrong_entries(machine):
        yield Finding("entry", f"the entry {wrong.problem}", wrong.gpa, wrong.pages)


def _twins(gpt: Gpt) -> Iterator[Finding]:
    for index in gpt.twins:
        hidden = present(gpt.leaves[index] or (0,)).bit_count()
        what = f"its leaf table exists twice: the {_pages(hidden)} of the older are out of reach"
        yield Finding("twin", what, index << LEAF_SHIFT, hidden)


def _tables(machine: Machine) -> Iterator[Finding]:
    """The leaves that there are, against those that the revision makes for such memmaps."""
    gpt, fresh = machine.space.gpt, _made_fresh(machine)
    for first, end, wanted in fresh.leaves.maximal_runs() if fresh is not None else ():
        if wanted is None:
            continue
        for start, stop, leaf in gpt.leaves.runs(first, end):
            gpa, tables = start << LEAF_SHIFT, stop - start
            if leaf is None and not _waits_for_the_apic(machine, gpa):
                what = f"missing: {_count(tables, 'leaf table')}, which this kernel makes with"
                yield Finding("table", f"{what} memmaps only: no fault maps a page there", gpa)
            elif leaf is not None and leaf[0] != wanted[0]:
                what = f"{_count(tables, 'leaf table')} with a reference count of {leaf[0]}"
                yield Finding("count", f"{what}; {wanted[0]} pages are covered", gpa)


def _made_fresh(machine: Machine) -> Gpt | None:
    """The tables right after the memmaps that there are were made; None if that panics."""
    kernel = Kernel(debug=False, functions=machine.revision.functions)
    gpt = machine.revision.engine(kernel, machine.npt)
    try:
        for mapping in machine.space.mappings:
            gpt.populate_region(mapping.span)
    except KernelPanic:
        return None
    return gpt


def _waits_for_the_apic(machine: Machine, gpa: int) -> bool:
    """A kernel that stopped may have unmapped the APIC access page by right."""
    return not machine.state.alive and gpa == APIC_SPAN.start and machine.apicv


def _idle(machine: Machine) -> Iterator[Finding]:
    unlinked = len(machine.space.gpt.twins)
    for use in table_uses(machine):
        tables = use.tables - (unlinked if use.level == 1 else 0)
        if use.leaked and tables > 0:
            what = f"{_count(tables, 'table')} of level {use.level} that no memmap needs"
            yield Finding("idle", what, use.first)


def _wired(machine: Machine) -> Iterator[Finding]:
    gpt = machine.space.gpt
    for area in areas(machine):
        missing = gpt.count_absent(area.span.pages) if area.wired else 0
        if missing:
            first = gpt.first_absent(area.span.pages)
            assert first is not None
            what = f"{_pages(missing)} of {area.title} without an entry, though it is wired"
            yield Finding("wired", what, first * PAGE_SIZE, missing)


def _counter(machine: Machine) -> Iterator[Finding]:
    counted, there = machine.resident, entries_set(machine.space.gpt)
    if counted == there:
        return
    are = "is" if there == 1 else "are"
    says = f"the kernel's counter says {_pages(counted)} {'is' if counted == 1 else 'are'}"
    what = f"{says} resident; {there} {are}"
    if counted > there and not _counts_down(machine.revision, machine.npt):
        yield Finding("drift", f"{what}: this kernel never counts down", pages=counted - there)
        return
    if counted > there:
        what += f": {counted - there} went with tables that were freed with pages in them"
    yield Finding("counter", what, pages=abs(counted - there))


def _counts_down(revision: Revision, npt: PteFormat) -> bool:
    """Whether the revision's unmapping takes its pages off the counter: tried on one page."""
    gpt = revision.engine(Kernel(debug=False, functions=revision.functions), npt)
    page = Span(0, PAGE_SIZE)
    gpt.populate_region(page)
    gpt.map_wired(page.pages, npt.page(0, READ))
    gpt.unmap_region(page)
    return gpt.resident == 0


def _pages(count: int) -> str:
    return _count(count, "page")


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
