"""illumos 13932: closed ranges; tables appear with the pages mapped in them."""

from __future__ import annotations

from bhyvesim.kernel import functions
from bhyvesim.kernel.calls import AssertionSite, over
from bhyvesim.kernel.gpt.access import FC_NOMAP
from bhyvesim.kernel.gpt.engine import Backing, Gpt, Piece
from bhyvesim.kernel.gpt.leaf import EMPTY, Leaf, entries, lowest_bit, present
from bhyvesim.kernel.gpt.levels import LEAF_LEVEL, LEAF_SHIFT, LEAF_SPAN
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.pte.format import pfn_of
from bhyvesim.kernel.revisions.revision import I86PC_GPT, I86PC_RVI, OLD_PATHS, Revision
from bhyvesim.kernel.revisions.stops import Case, Stop, Told
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT, PAGE_SIZE

READABLE = AssertionSite("(prot & PROT_READ) != 0", I86PC_RVI, 221)


class ClosedGpt(Gpt):
    """Takes ``[start, end]`` where its callers mean ``[start, end)``: illumos bug 14042."""

    vacate_assertion = AssertionSite("ptes[i] == 0", I86PC_GPT, 441)

    def pages_of(self, span: Span) -> range:
        """The pages that this revision takes *span* to be."""
        return range(span.start >> PAGE_SHIFT, (span.end >> PAGE_SHIFT) + 1)

    def populate_region(self, span: Span) -> None:
        """Nothing: tables wait for the first page."""

    def unmap_region(self, span: Span) -> None:
        with self.kernel.calls(("vmm_gpt_unmap_region",), over(span)) as call:
            call.result = self.clear(self.pages_of(span))
            self.resident -= call.result

    def vacate_region(self, span: Span) -> None:
        """Free every leaf in the range, asserting that it is empty.

        The kernel goes page by page; the first page of each leaf decides, since a leaf's
        count is always 0 and it is gone for the pages after.
        """
        with self.kernel.calls(("vmm_gpt_vacate_region",), over(span)):
            pages = self.pages_of(span)
            for piece in self.pieces(pages):
                if self.kernel.asserting and present(piece.leaf or EMPTY):
                    for index in range(piece.first, piece.end):
                        self._vacate(Piece(index, index + 1, piece.mask, piece.leaf))
                elif self.kernel.listener is not None:
                    self._vacate(piece)
                elif piece.leaf is not None:
                    self.leaves.assign(piece.first, piece.end, None)

    def _vacate(self, piece: Piece) -> None:
        """vmm_gpt_vacate_entry() for the pages of *piece*, which has one leaf if it asserts."""
        gpa = (piece.first << LEAF_SHIFT) + (lowest_bit(piece.mask) << PAGE_SHIFT)
        pages = piece.mask.bit_count() * (piece.end - piece.first)
        with self.kernel.calls(("vmm_gpt_vacate_entry",), {"gpa": gpa}, pages, PAGE_SIZE):
            if piece.leaf is not None:
                if self.kernel.asserting and present(piece.leaf):
                    self._assert_empty(piece.first, piece.leaf)
                self.leaves.assign(piece.first, piece.end, None)

    def absent(self, leaf: Leaf | None, backing: Backing | None, prot: int) -> str | None:
        """Map the page with the mapping's protection, whatever was wanted."""
        return FC_NOMAP if backing is None else None

    def _assert_empty(self, index: int, leaf: Leaf) -> None:
        """All 512 entries must be zero; panic A names the lowest."""
        base = index << LEAF_SHIFT
        for first, end, cls in entries(leaf):
            for slot in range(first, end):
                gpa = base + (slot << PAGE_SHIFT)
                pte = cls + gpa
                self.kernel.assertion_failed(
                    self.vacate_assertion,
                    (pte, "==", 0),
                    {"gpa": gpa, "level": LEAF_LEVEL, "index": slot, "pte": pte},
                )


def _tell_vacate(case: Case) -> Told:
    """Panic A: a leaf that was to be freed still held entries."""
    start, end = asked = case.span("vmm_gpt_vacate_region")
    visited = case.arguments("vmm_gpt_vacate_entry")["gpa"]
    gpa, pte = int(case.facts["gpa"]), int(case.facts["pte"])
    index = int(case.facts["index"])
    leaf = Span.sized(gpa & -LEAF_SPAN, LEAF_SPAN)
    flags = " ".join(FORMATS[case.npt].flags(pte))
    story = [f"{case.asked(asked)} was asked to unmap {asked} ({case.map_at(start)})."]
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
    return Told(story, marks, f"Fixed in {fixed}.")


def _tell_unreadable(case: Case) -> Told:
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
    marks = {gpa: "to be mapped without R"}
    return Told(story, marks, "Fixed in 13896, which asserts this no more.")


PANIC_A = Stop("A", "vmm_gpt_vacate_entry", _tell_vacate, ClosedGpt.vacate_assertion.expression)
PANIC_E = Stop("E", "rvi_ops_map", _tell_unreadable, READABLE.expression)


# Read off the stack in the bug report: the one DEBUG build whose offsets are known.
_REPORT_OFFSETS = {
    ("vmm_gpt_vacate_entry", "assfail3"): 0x8B,
    ("vmm_gpt_vacate_region", "vmm_gpt_vacate_entry"): 0x42,
    ("rvi_ops_unmap", "vmm_gpt_vacate_region"): 0x59,
    ("vm_map_remove", "rvi_ops_unmap"): 0x98,
    ("vm_free_memmap", "vm_map_remove"): 0x56,
    ("vm_cleanup", "vm_free_memmap"): 0x112,
    ("vm_destroy", "vm_cleanup"): 0x1B,
    ("vmm_do_vm_destroy_locked", "vm_destroy"): 0xC2,
    ("vmmdev_do_vm_destroy", "vmm_do_vm_destroy_locked"): 0xAE,
    ("vmm_ctl_ioctl", "vmmdev_do_vm_destroy"): 0x114,
    ("vmm_ioctl", "vmm_ctl_ioctl"): 0xD3,
    ("cdev_ioctl", "vmm_ioctl"): 0x2B,
    ("spec_ioctl", "cdev_ioctl"): 0x45,
    ("fop_ioctl", "spec_ioctl"): 0x5B,
    ("ioctl", "fop_ioctl"): 0x153,
    ("brand_sys_syscall", "ioctl"): 0x304,
}

REVISION = Revision(
    name="13932",
    date="2021-06-10",
    summary="closed ranges: unmaps and vacates one page too many (bug 14042)",
    engine=ClosedGpt,
    functions=functions.VM_MAP,
    paths=OLD_PATHS,
    segids=4,
    stops=(PANIC_A, PANIC_E),
    may_reach_the_end=True,
    map_assert=READABLE,
    counts_wired=True,
    offsets=_REPORT_OFFSETS,
    addresses={"assfail3": 0xFFFFFFFFFBDCD481},
)
