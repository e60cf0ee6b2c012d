"""illumos as of 2025: level by level, across 512 GiB lines too."""

from __future__ import annotations

from bhyvesim.gpt.engine import HardwareBits
from bhyvesim.gpt.revisions.counted_14367 import CountedGpt
from bhyvesim.gpt.revisions.revision import VMSPACE_PATHS, Revision


class CurrentGpt(CountedGpt):
    """What 14367 leaves in the tables, with the newer kernels' accessed and dirty bits."""

    hardware_bits = HardwareBits.TRACKED


REVISION = Revision(
    name="2025",
    date="2025",
    summary="no known way to panic",
    engine=CurrentGpt,
    paths=VMSPACE_PATHS,
    segids=5,
    counts_wired=False,
)
