"""illumos 13896: the vmspace of its own; a memmap brings all its tables at once."""

from __future__ import annotations

from bhyvesim.kernel import functions
from bhyvesim.kernel.calls import AssertionSite, over
from bhyvesim.kernel.gpt.access import FC_NOMAP, FC_PROT, HOLE
from bhyvesim.kernel.gpt.engine import Backing, HardwareBits
from bhyvesim.kernel.gpt.leaf import Leaf
from bhyvesim.kernel.revisions.half_open_14042 import HalfOpenGpt
from bhyvesim.kernel.revisions.revision import (
    I86PC_GPT,
    I86PC_VM,
    VMSPACE_PATHS,
    Ioctls,
    Revision,
)
from bhyvesim.span import Span


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


REVISION = Revision(
    name="13896",
    date="2021-09-05",
    summary="tables come with the memmap; a device reaching into a hole can panic the host",
    engine=PopulatedGpt,
    functions=functions.VMSPACE,
    paths=VMSPACE_PATHS,
    segids=4,
    known=("panic A", "panic B", "hang"),
    ioctls=Ioctls(holds=True),
    lookup_verify=AssertionSite("vmsm != NULL", I86PC_VM, 714),
)
