"""illumos as of 2025: level by level, across 512 GiB lines too."""

from __future__ import annotations

from bhyvesim.kernel import functions
from bhyvesim.kernel.gpt.engine import HardwareBits
from bhyvesim.kernel.revisions.counted_14367 import CountedGpt
from bhyvesim.kernel.revisions.populated_13896 import HANG
from bhyvesim.kernel.revisions.revision import VMSPACE_PATHS, Ioctls, Revision


class CurrentGpt(CountedGpt):
    """What 14367 leaves in the tables, with the newer kernels' accessed and dirty bits."""

    hardware_bits = HardwareBits.TRACKED
    release_sets_accessed = False


REVISION = Revision(
    name="2025",
    date="2025",
    summary="level by level, across every line; VM_NPT_OPERATION",
    engine=CurrentGpt,
    functions=functions.CURRENT,
    paths=VMSPACE_PATHS,
    segids=5,
    stops=(HANG,),
    ioctls=Ioctls(
        holds=True,
        deferred_dirty=True,
        track_dirty_pages=True,
        tracking_needed=True,
        npt_operation=True,
        pause=True,
        paging_exit=True,
    ),
)
