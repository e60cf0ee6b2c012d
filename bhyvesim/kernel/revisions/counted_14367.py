"""illumos 14367: a leaf counts the entries that memmaps cover, and goes with the last."""

from __future__ import annotations

from bhyvesim.kernel import functions
from bhyvesim.kernel.calls import over
from bhyvesim.kernel.gpt.leaf import EMPTY, counted
from bhyvesim.kernel.revisions.populated_13896 import HANG, PopulatedGpt
from bhyvesim.kernel.revisions.revision import VMSPACE_PATHS, Ioctls, Revision
from bhyvesim.span import Span


class CountedGpt(PopulatedGpt):
    """Two memmaps may share a leaf: each takes back only what it brought."""

    def populate_region(self, span: Span) -> None:
        with self.kernel.calls(("vmm_gpt_populate_region",), over(span)):
            self.count(span)

    def count(self, span: Span) -> None:
        """Make the leaves of *span* that are missing, and count its entries in all of them."""
        for piece in self.pieces(span.pages):
            leaf = piece.leaf or EMPTY
            covered = piece.mask.bit_count()
            self.leaves.assign(piece.first, piece.end, counted(leaf, leaf[0] + covered))

    def vacate_region(self, span: Span) -> None:
        with self.kernel.calls(("vmm_gpt_vacate_region",), over(span)):
            for piece in self.pieces(span.pages):
                if piece.leaf is not None:
                    refcnt = piece.leaf[0] - piece.mask.bit_count()
                    left = counted(piece.leaf, refcnt) if refcnt > 0 else None
                    self.leaves.assign(piece.first, piece.end, left)


REVISION = Revision(
    name="14367",
    date="2022-01-05",
    summary="leaf tables count what memmaps cover of them",
    engine=CountedGpt,
    functions=functions.COUNTED,
    paths=VMSPACE_PATHS,
    segids=4,
    stops=(HANG,),
    ioctls=Ioctls(holds=True, track_dirty_pages=True),
)
