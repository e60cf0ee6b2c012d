"""illumos 13932: closed ranges; tables appear with the pages mapped in them."""

from __future__ import annotations

from bhyvesim.kernel import functions
from bhyvesim.kernel.calls import AssertionSite, over
from bhyvesim.kernel.gpt.access import FC_NOMAP
from bhyvesim.kernel.gpt.engine import Backing, Gpt, Piece
from bhyvesim.kernel.gpt.leaf import EMPTY, Leaf, entries, lowest_bit, present
from bhyvesim.kernel.gpt.levels import LEAF_LEVEL, LEAF_SHIFT
from bhyvesim.kernel.revisions.revision import I86PC_GPT, I86PC_RVI, OLD_PATHS, Revision
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
    known=("panic A", "panic E"),
    may_reach_the_end=True,
    map_assert=READABLE,
    counts_wired=True,
    offsets=_REPORT_OFFSETS,
    addresses={"assfail3": 0xFFFFFFFFFBDCD481},
)
