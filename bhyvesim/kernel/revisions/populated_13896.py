"""illumos 13896: the vmspace of its own; a memmap brings all its tables at once."""

from __future__ import annotations

from bhyvesim.kernel import functions
from bhyvesim.kernel.calls import AssertionSite, over
from bhyvesim.kernel.gpt.access import FC_NOMAP, FC_PROT, HOLE
from bhyvesim.kernel.gpt.engine import Backing, HardwareBits
from bhyvesim.kernel.gpt.leaf import Leaf
from bhyvesim.kernel.gpt.levels import LEAF_SPAN
from bhyvesim.kernel.memory import APIC_SPAN
from bhyvesim.kernel.revisions.closed_13932 import PANIC_A
from bhyvesim.kernel.revisions.half_open_14042 import HalfOpenGpt
from bhyvesim.kernel.revisions.revision import (
    I86PC_GPT,
    I86PC_VM,
    VMSPACE_PATHS,
    Ioctls,
    Revision,
)
from bhyvesim.kernel.revisions.stops import NO_MEMMAP, Case, Stop, Told
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SIZE


class PopulatedGpt(HalfOpenGpt):
    """Tables come with the memmap; the page counter never comes down again."""

    hardware_bits = HardwareBits.NEVER
    vacate_assertion = AssertionSite("ptes[i] == 0", I86PC_GPT, 443)

    def populate_region(self, span: Span) -> None:
        with self.kernel.calls(("vmm_gpt_populate_region",), over(span)):
            self.make_leaves(span.pages)

    def unmap_region(self, span: Span) -> None:
        with self.kernel.calls(("vmm_gpt_unmap_region",), over(span)) as call:
            call.result = self.clear(span.pages)

    def absent(self, leaf: Leaf | None, backing: Backing | None, prot: int) -> str | None:
        if leaf is None:
            return FC_NOMAP
        if backing is None:
            return HOLE
        return FC_PROT if prot & ~backing.prot else None


def _tell_lookup(case: Case) -> Told:
    """Panic B: a hold of a page in a hole whose leaf exists."""
    gpa = int(case.facts["gpa"])
    leaf = Span.sized(gpa & -LEAF_SPAN, LEAF_SPAN)
    near = [m.gpa for m in case.memmaps if m.span.overlaps(leaf)]
    if leaf.overlaps(APIC_SPAN) and case.apicv:
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
    return Told(story, marks, "Fixed in 14367, where such a hold finds no page.")


def _tell_never_ends(case: Case) -> Told:
    """The hang: a page was held while something was unmapped."""
    start, end = case.span("vmc_space_unmap")
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
    return Told(
        story,
        marks,
        "Fixed in no revision that bhyvesim knows; before 13896 there are no holds.",
    )


_NO_HOLES = AssertionSite("vmsm != NULL", I86PC_VM, 714)
PANIC_B = Stop("B", "vmspace_lookup_map", _tell_lookup, _NO_HOLES.expression)
HANG = Stop("", "vmc_space_unmap", _tell_never_ends)


REVISION = Revision(
    name="13896",
    date="2021-09-05",
    summary="tables come with the memmap; a device reaching into a hole can panic the host",
    engine=PopulatedGpt,
    functions=functions.VMSPACE,
    paths=VMSPACE_PATHS,
    segids=4,
    stops=(PANIC_A, PANIC_B, HANG),
    ioctls=Ioctls(holds=True),
    lookup_verify=_NO_HOLES,
)
