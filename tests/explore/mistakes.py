"""Twenty kernels with one mistake each, as files for --revision-file.

Each is the newest revision but for a few lines, such as somebody may write in a hurry.
"""

from __future__ import annotations

HEAD = '''"""2025 with a mistake."""
from dataclasses import replace

from bhyvesim.kernel.calls import AssertionSite, over
from bhyvesim.kernel.gpt.access import FC_NOMAP
from bhyvesim.kernel.gpt.engine import Agent, Backing
from bhyvesim.kernel.gpt.leaf import EMPTY, counted, present
from bhyvesim.kernel.gpt.levels import LEAF_SPAN
from bhyvesim.kernel.revisions.current_2025 import REVISION as TRUE
from bhyvesim.kernel.revisions.current_2025 import CurrentGpt
from bhyvesim.span import Span

PAGE = 4096
SITE = AssertionSite("mistake == 0", "vmm_gpt.c", 1)


class Mistaken(CurrentGpt):
'''
TAIL = """

REVISION = replace(TRUE, name="mistaken", summary="with a mistake", engine=Mistaken)
"""

# By name: the body of the class, and a kind of finding that must be among what is found.
MISTAKES = {
    "frees a leaf that has one user left": (
        """
    def vacate_region(self, span):
        for piece in self.pieces(span.pages):
            if piece.leaf is not None:
                left = piece.leaf[0] - piece.mask.bit_count()
                kept = counted(piece.leaf, left) if left > 1 else None
                self.leaves.assign(piece.first, piece.end, kept)
""",
        "lost",
    ),
    "never frees a leaf": (
        """
    def vacate_region(self, span):
        for piece in self.pieces(span.pages):
            if piece.leaf is not None:
                left = counted(piece.leaf, max(0, piece.leaf[0] - piece.mask.bit_count()))
                self.leaves.assign(piece.first, piece.end, left)
""",
        "leak",
    ),
    "unmaps one page too many": (
        """
    def unmap_region(self, span):
        super().unmap_region(Span(span.start, span.end + PAGE))
""",
        "lost",
    ),
    "leaves the last page": (
        """
    def unmap_region(self, span):
        super().unmap_region(Span(span.start, max(span.start + PAGE, span.end - PAGE)))
""",
        "broken",
    ),
    "counts a page too many": (
        """
    def count(self, span):
        super().count(span)
        index = span.start >> 21
        leaf = self.leaves[index]
        if leaf[0] < 512:
            self.leaves.assign(index, index + 1, counted(leaf, leaf[0] + 1))
""",
        "broken",
    ),
    "makes no leaf for the last page": (
        """
    def populate_region(self, span):
        if span.length > PAGE and (span.end - PAGE) % LEAF_SPAN == 0:
            span = Span(span.start, span.end - PAGE)
        super().populate_region(span)
""",
        "broken",
    ),
    "refuses to write first": (
        """
    def absent(self, leaf, backing, prot):
        return FC_NOMAP if prot == 2 else super().absent(leaf, backing, prot)
""",
        "refused",
    ),
    "maps the next page": (
        """
    def _attempt(self, leaf, mask, prot, backing, agent):
        if backing is not None:
            backing = Backing(backing.cls + PAGE, backing.prot)
        return super()._attempt(leaf, mask, prot, backing, agent)
""",
        "broken",
    ),
    "sets no dirty bits": (
        """
    def set_hardware_bits(self, on):
        super().set_hardware_bits(on)
        self.vcpu = Agent(self.vcpu.on_read, self.vcpu.on_read)
""",
        "clean",
    ),
    "a release marks nothing": (
        """
    @property
    def device(self):
        return self.holder
""",
        "clean",
    ),
    "counts down twice": (
        """
    def unmap_region(self, span):
        before = sum(present(p.leaf or EMPTY).bit_count() for p in self.pieces(span.pages))
        super().unmap_region(span)
        self.resident -= 2 * before
""",
        "drift",
    ),
    "wires all but the last page": (
        """
    def map_wired(self, pages, cls):
        super().map_wired(range(pages.start, max(pages.start + 1, pages.stop - 1)), cls)
""",
        "broken",
    ),
    "vacates the leaf after": (
        """
    def vacate_region(self, span):
        super().vacate_region(Span(span.start, span.end + LEAF_SPAN))
""",
        "broken",
    ),
    "panics across 1 GiB": (
        """
    def populate_region(self, span):
        super().populate_region(span)
        if span.start >> 30 != span.end - 1 >> 30:
            with self.kernel.calls(("vmm_gpt_populate_region",), over(span)):
                self.kernel.verify_failed(SITE, facts={"gpa": span.start})
""",
        "panic",
    ),
    "panics where a leaf is full": (
        """
    def unmap_region(self, span):
        for piece in self.pieces(span.pages):
            if piece.leaf is not None and present(piece.leaf).bit_count() == 512:
                with self.kernel.calls(("vmm_gpt_unmap_region",), over(span)):
                    self.kernel.verify_failed(SITE, facts={"gpa": span.start})
        super().unmap_region(span)
""",
        "panic",
    ),
    "hangs above 512 GiB": (
        """
    def unmap_region(self, span):
        if span.start >= 512 << 30:
            with self.kernel.calls(("vmm_gpt_unmap_region",), over(span)):
                self.kernel.hang(("the lock of the vmspace",))
        super().unmap_region(span)
""",
        "hang",
    ),
    "clears half of a leaf": (
        """
    def clear(self, pages):
        return super().clear(range(pages.start, min(pages.stop, (pages.start | 255) + 1)))
""",
        "broken",
    ),
    "a second memmap empties the leaf": (
        """
    def count(self, span):
        super().count(span)
        for piece in self.pieces(span.pages):
            self.leaves.assign(piece.first, piece.end, (piece.leaf[0],))
""",
        "lost",
    ),
    "takes the count from the wrong leaf": (
        """
    def vacate_region(self, span):
        super().vacate_region(Span(span.start + LEAF_SPAN, span.end + LEAF_SPAN))
""",
        "broken",
    ),
    "frees early without ASSERTs": (
        """
    def vacate_region(self, span):
        super().vacate_region(span)
        if not self.kernel.asserting:
            self.leaves.assign(span.start >> 21, (span.start >> 21) + 1, None)
""",
        "lost",
    ),
}


def source(name: str) -> str:
    """The file of a kernel with the mistake *name*."""
    return HEAD + MISTAKES[name][0] + TAIL
