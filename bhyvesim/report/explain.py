"""A panic or hang in plain words, written from what was recorded of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bhyvesim.crash.dump import CrashDump, span_of
from bhyvesim.kernel.calls import build_name
from bhyvesim.kernel.gpt.levels import LEAF_SPAN
from bhyvesim.kernel.memory import APIC_SPAN
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.pte.format import pfn_of
from bhyvesim.report.memory import SYSMEM
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SIZE

NO_MEMMAP = "no memmap"


class Case:
    """A crash dump, with what its addresses are."""

    def __init__(self, dump: CrashDump) -> None:
        self.dump = dump
        self.gpt, self.npt = dump.gpt, dump.npt
        self.facts, self.locks = dump.facts, dump.locks
        self.arguments, self.called = dump.arguments, dump.called
        self._names = {seg.segid: seg.name or SYSMEM for seg in dump.snapshot.segs}
        self.memmaps = dump.machine().memmaps

    def map_at(self, gpa: int) -> str:
        """The name and span of the memmap over *gpa*."""
        for m in self.memmaps:
            if m.span.start <= gpa < m.span.end:
                return f"{self._names[m.segid]} {m.span}"
        if self.dump.snapshot.apicv and gpa in range(*APIC_SPAN):
            return f"APIC access page {APIC_SPAN}"
        return NO_MEMMAP


def explain(dump: CrashDump) -> str:
    """Cause, numbers, a picture of the addresses, and the revision that fixed it."""
    build = build_name(dump.debug)
    did = "hung" if dump.hung else "panicked"
    head = f"{dump.vm} {did} during {dump.operation}, on kernel {dump.gpt} {build}.\n"
    tell = _TELLERS.get(dump.function)
    if tell is None:
        return f"{head}\n{dump.message}\nThis panic is not one that bhyvesim knows.\n"
    return f"{head}\n{dump.message}\n\n{tell(Case(dump))}"


def _vacate(case: Case) -> str:
    """Panic A: a leaf that was to be freed still held entries."""
    start, end = asked = case.dump.span("vmm_gpt_vacate_region")
    visited = case.dump.arguments("vmm_gpt_vacate_entry")["gpa"]
    gpa, pte = int(case.facts["gpa"]), int(case.facts["pte"])
    index = int(case.facts["index"])
    leaf = Span.sized(gpa & -LEAF_SPAN, LEAF_SPAN)
    flags = " ".join(FORMATS[case.npt].flags(pte))
    outer = next(f.function for f in reversed(case.dump.stack) if span_of(f.named()) == asked)
    story = [f"{outer} was asked to unmap {asked} ({case.map_at(start)})."]
    if visited >= end:
        story += [
            f"Revision {case.gpt} takes the end as inclusive, so it also zeroed the entry of page",
            f"{end:#x}, which belongs to {case.map_at(end)}, and went on to vacate it.",
        ]
        marks = {
            start: "asked for: unmapped",
            end - PAGE_SIZE: "the last page that was meant",
            end: "one page too many: its entry is zeroed",
            gpa: f"entry {index} of its leaf: still mapped, the ASSERT meets it",
        }
        fixed = "14042, which takes the end as exclusive"
    else:
        story += [
            f"The leaf table over {leaf} is used by {case.map_at(gpa)} as well.",
            f"Revision {case.gpt} does not count who uses a leaf, and frees it with the first.",
        ]
        marks = {
            start: "asked for: unmapped",
            visited: "vacating this page wants to free its leaf",
            gpa: f"entry {index} of the same leaf: still mapped, the ASSERT meets it",
        }
        fixed = "14367, which counts the entries that memmaps cover in a leaf"
    story += [
        f"vmm_gpt_vacate_entry then asserted that all 512 entries of the leaf over {leaf}",
        f"are zero. Entry {index} was {pte:#x}: PFN {pfn_of(pte):#x}, {flags}.",
    ]
    return _told(story, _picture(marks, case), fixed)


def _lookup(case: Case) -> str:
    """Panic B: a hold of a page in a hole whose leaf exists."""
    gpa = int(case.facts["gpa"])
    leaf = Span.sized(gpa & -LEAF_SPAN, LEAF_SPAN)
    near = [m.gpa for m in case.memmaps if m.span.overlaps(leaf)]
    if leaf.overlaps(APIC_SPAN) and case.dump.snapshot.apicv:
        near.append(APIC_SPAN.start)
    beside = ", ".join(map(case.map_at, near)) or NO_MEMMAP
    who = "A device" if case.called("viona_tx") else "A mapping of guest space"
    story = [
        f"{who} asked for a hold of page {gpa:#x}, where nothing is mapped.",
        f"The leaf table over {leaf} exists all the same, for {beside}.",
        f"On revision {case.gpt} vmspace_lookup_map has a VERIFY there: a table without a mapping",
        "cannot be, it says. In a leaf that is filled only in part, it can.",
        "A vCPU that touches the hole itself is harmless: that is MMIO. But the guest chooses the",
        "addresses that its devices use (a ring or a buffer of virtio), and those that an emulated",
        "instruction reads and writes: so a guest can bring down its host.",
    ]
    marks = dict.fromkeys(near, "this brought the leaf")
    marks[gpa] = "held: in the leaf, but mapped by nothing"
    return _told(story, _picture(marks, case), "14367, where such a hold finds no page")


def _unreadable(case: Case) -> str:
    """Panic E: a page was mapped that may not be read."""
    gpa = int(case.facts["gpa"])
    wiring = case.called("vm_map_wire")
    why = "wires its pages" if wiring else "was touched for the first time, and has to be mapped"
    what = "A memmap without R" if wiring else f"Page {gpa:#x} of a memmap without R"
    story = [
        f"{what} {why}.",
        f"On AMD, revision {case.gpt} asserts in rvi_ops_map that every page it maps may be read:",
        "a nested page table has no way to say that it may not. Nothing of the page is in the",
        "tables yet. A kernel without ASSERTs maps the page, readable after all.",
    ]
    picture = _picture({gpa: "to be mapped without R"}, case)
    return _told(story, picture, "13896, which asserts this no more")


def _never_ends(case: Case) -> str:
    """The hang: a page was held while something was unmapped."""
    start, end = case.dump.span("vmc_space_unmap")
    held = int(case.facts["held"])
    story = [
        f"{Span(start, end)} was to be unmapped ({case.map_at(start)}),",
        f"while page {held:#x} was held.",
        "vmc_space_unmap lets each client of the vmspace go through the list of pages that it",
        "holds, to give those in the range a reference of their own. The step to the next page",
        "names the client where it must name the page: after the first page it takes the next",
        f"client for one, for ever. Meanwhile it holds {' and '.join(case.locks)}:",
        "every other operation on this VM waits, and the thread never leaves its processor.",
        "It happens inside the range or outside; with nothing held, nothing happens.",
        "On a real host the window is microseconds wide: a userspace mapping takes and drops a",
        "hold at its first touch of a page, without the lock of the VM.",
    ]
    marks = {end - PAGE_SIZE: "the last page of that", start: "to be unmapped; no page is yet"}
    marks[held] = f"held; {marks[held]}" if held in marks else "held"
    text = "\n".join(story) + f"\n\n{_picture(marks, case)}"
    return f"{text}\nFixed in no revision that bhyvesim knows; before 13896 there are no holds.\n"


def _populate(case: Case) -> str:
    """Panics C and D: a memmap across a multiple of 512 GiB."""
    start, end = case.dump.span("vmm_gpt_populate_region", "vmm_gpt_populate_region_lvl")
    line = int(case.facts["gpa"])
    story = [
        f"A memmap {Span(start, end)} was to be made. It crosses {line:#x}, a multiple of 512 GiB.",
        f"Revision {case.gpt} steps from table to table by siblings and the parent's next sibling,",
        "never further up. The last leaf below the line seems to have no successor.",
    ]
    if case.dump.function == "vmm_gpt_node_add":
        story.append("A leaf exists past the line, is not found, and is added a second time.")
    else:
        story.append("All tables are there by then, but counting their users stops at the line.")
    marks = {
        start: "begins here",
        line - LEAF_SPAN: "the last leaf that is found",
        line: "the leaf past the line: not found",
        end: "ends here (exclusive)",
    }
    return _told(story, _picture(marks, case), "2025, which climbs as far as it must")


_TELLERS: dict[str, Callable[[Case], str]] = {
    "vmm_gpt_vacate_entry": _vacate,
    "vmspace_lookup_map": _lookup,
    "vmm_gpt_populate_region": _populate,
    "vmm_gpt_node_add": _populate,
    "rvi_ops_map": _unreadable,
    "vmc_space_unmap": _never_ends,
}


def _told(story: list[str], picture: str, fixed: str) -> str:
    return "\n".join(story) + f"\n\n{picture}\nFixed in {fixed}.\n"


def _map_name(case: Case, gpa: int) -> str:
    name = case.map_at(gpa)
    return "-" if name == NO_MEMMAP else name.partition(" [")[0]


def _picture(marks: Mapping[int, str], case: Case) -> str:
    """The addresses that matter, in order, each with its memmap and what it is to the case."""
    lines = []
    before: int | None = None
    width = max(len(f"{gpa:#x}") for gpa in marks)
    maps = {gpa: _map_name(case, gpa) for gpa in marks}
    map_width = max(len(name) for name in maps.values())
    for gpa in sorted(marks):
        if before is not None and gpa - before > PAGE_SIZE:
            lines.append(f"  {'':>{width}}   :")
        lines.append(f"  {gpa:>#{width}x}   | {maps[gpa]:<{map_width}}   {marks[gpa]}")
        before = gpa
    return "\n".join(lines) + "\n"
