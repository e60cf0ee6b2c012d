"""illumos 14042: half-open ranges, as everywhere else in the kernel."""

from __future__ import annotations

from bhyvesim.kernel import functions
from bhyvesim.kernel.revisions.closed_13932 import PANIC_A, PANIC_E, READABLE, ClosedGpt
from bhyvesim.kernel.revisions.revision import OLD_PATHS, Revision
from bhyvesim.span import Span


class HalfOpenGpt(ClosedGpt):
    """13932 with its ranges mended, and nothing else."""

    def pages_of(self, span: Span) -> range:
        return span.pages


REVISION = Revision(
    name="14042",
    date="2021-08-31",
    summary="half-open ranges; a leaf shared by two mappings still goes with the first",
    engine=HalfOpenGpt,
    functions=functions.VM_MAP,
    paths=OLD_PATHS,
    segids=4,
    stops=(PANIC_A, PANIC_E),
    may_reach_the_end=True,
    map_assert=READABLE,
    counts_wired=True,
)
