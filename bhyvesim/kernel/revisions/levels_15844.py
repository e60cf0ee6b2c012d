"""illumos 15844: populates level by level, and loses its way at every 512 GiB line."""

from __future__ import annotations

from bhyvesim.kernel import functions
from bhyvesim.kernel.calls import AssertionSite, over
from bhyvesim.kernel.gpt.engine import HardwareBits
from bhyvesim.kernel.gpt.levels import LEAF_SHIFT, LEAF_SPAN, table_span
from bhyvesim.kernel.revisions.counted_14367 import CountedGpt
from bhyvesim.kernel.revisions.populated_13896 import HANG
from bhyvesim.kernel.revisions.revision import INTEL_GPT, VMSPACE_PATHS, Ioctls, Revision
from bhyvesim.kernel.revisions.stops import Case, Stop, Told
from bhyvesim.span import Span

_LINE = table_span(3)  # 512 GiB
_NOT_PAST_THE_NODE = AssertionSite("end <= vmm_gpt_node_end(node)", INTEL_GPT, 612)
_IN_ORDER = AssertionSite("next_sibling->vgn_gpa > child->vgn_gpa", INTEL_GPT, 389)


class LevelsGpt(CountedGpt):
    """Steps from leaf to leaf by siblings and the parent's next sibling, never further up.

    So the last leaf below a multiple of 512 GiB seems to have no successor: a memmap
    across that line finds no leaf there, though one may exist, and is believed to end.
    """

    hardware_bits = HardwareBits.TRACKED

    def populate_region(self, span: Span) -> None:
        line = (span.start // _LINE + 1) * _LINE
        if span.end <= line:
            super().populate_region(span)
            return
        with self.kernel.calls(("vmm_gpt_populate_region",), over(span)):
            self._add_tables(span)
            self.count(Span(span.start, line))
            self.kernel.verify_failed(
                _NOT_PAST_THE_NODE, (span.end, "<=", line), {"gpa": line, "node_end": line}
            )

    def _add_tables(self, span: Span) -> None:
        """Make the leaves of *span* from left to right.

        The interior tables come before all leaves, but need no thought: the table that
        is added twice is the last of the span, since what made it first lies beyond.
        """
        for line in range((span.start // _LINE + 1) * _LINE, span.end, _LINE):
            index = line >> LEAF_SHIFT
            if self.leaves[index] is not None:
                self.make_leaves(Span(span.start, line).pages)
                path = ("vmm_gpt_populate_region_lvl", "vmm_gpt_node_add")
                with self.kernel.calls(path, over(span)):
                    self.kernel.assertion_failed(_IN_ORDER, (line, ">", line), {"gpa": line})
                self.twins = (*self.twins, index)
        self.make_leaves(span.pages)


def _tell_populate(case: Case) -> Told:
    """Panics C and D: a memmap across a multiple of 512 GiB."""
    start, end = case.span("vmm_gpt_populate_region", "vmm_gpt_populate_region_lvl")
    line = int(case.facts["gpa"])
    story = [
        f"A memmap {Span(start, end)} was to be made. It crosses {line:#x}, a multiple of 512 GiB.",
        f"Revision {case.gpt} steps from table to table by siblings and the parent's next sibling,",
        "never further up. The last leaf below the line seems to have no successor.",
    ]
    if case.function == "vmm_gpt_node_add":
        story.append("A leaf exists past the line, is not found, and is added a second time.")
    else:
        story.append("All tables are there by then, but counting their users stops at the line.")
    marks = {
        start: "begins here",
        line - LEAF_SPAN: "the last leaf that is found",
        line: "the leaf past the line: not found",
        end: "ends here (exclusive)",
    }
    return Told(story, marks, "Fixed in 2025, which climbs as far as it must.")


PANIC_C = Stop("C", "vmm_gpt_populate_region", _tell_populate, _NOT_PAST_THE_NODE.expression)
PANIC_D = Stop("D", "vmm_gpt_node_add", _tell_populate, _IN_ORDER.expression)


REVISION = Revision(
    name="15844",
    date="2023-08-15",
    summary="level-by-level tables; a memmap across a 512 GiB line panics the host",
    engine=LevelsGpt,
    functions=functions.LEVELS,
    paths=VMSPACE_PATHS,
    segids=5,
    stops=(PANIC_C, PANIC_D, HANG),
    ioctls=Ioctls(
        holds=True,
        deferred_dirty=True,
        track_dirty_pages=True,
        tracking_needed=True,
        pause=True,
        paging_exit=True,
    ),
)
