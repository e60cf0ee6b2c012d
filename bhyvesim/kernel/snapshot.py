"""A machine at one moment, as plain immutable values."""

from __future__ import annotations

from dataclasses import dataclass

from bhyvesim.kernel.gpt.leaf import Leaf
from bhyvesim.kernel.memory import Memmap, Memseg
from bhyvesim.kernel.vmspace import Hold


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a machine is. Equal snapshots are machines that behave alike from here on.

    ``leaves``: ``(first, end, leaf)``, the leaf tables that exist, by index (GPA >> 21), runs
    of equal ones whole; ``contents``: what was written, by host PFN; ``holds``: by id. What a
    warning kernel logged is not part of it.
    """

    gpt: str
    digest: str  # of the file that the revision was read from; empty for those built in
    debug: bool
    assertions: str
    npt: str
    track_dirty: bool  # as it was created
    apicv: bool
    state: str
    segs: tuple[Memseg, ...]  # in the order of their allocation
    slots: tuple[Memmap | None, ...]
    next_host_pfn: int
    resident: int
    leaves: tuple[tuple[int, int, Leaf], ...]
    twins: tuple[int, ...]
    tracking: bool
    hardware_bits: bool
    holds: tuple[tuple[int, Hold], ...]
    last_hold: int
    contents: tuple[tuple[int, bytes], ...]
