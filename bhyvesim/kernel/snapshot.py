"""A machine at one moment, as plain immutable values; taken, and put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bhyvesim.kernel.gpt.leaf import Leaf
from bhyvesim.kernel.gpt.windows import Leaves
from bhyvesim.kernel.memory import Memmap, Memseg
from bhyvesim.kernel.pages import Pages
from bhyvesim.kernel.results import MachineState
from bhyvesim.kernel.vmspace import Hold
from bhyvesim.values import Value

if TYPE_CHECKING:
    from bhyvesim.kernel.machine import Machine


class Snapshot(Value):
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


def taken(machine: Machine) -> Snapshot:
    """All of *machine*."""
    leaves = machine.space.gpt.leaves.maximal_runs()
    return outline(machine).but(
        leaves=tuple((first, end, leaf) for first, end, leaf in leaves if leaf is not None),
        contents=tuple(machine.contents.items()),
    )


def outline(machine: Machine) -> Snapshot:
    """*machine* without its leaves and what is in its memory."""
    space, gpt = machine.space, machine.space.gpt
    return Snapshot(
        gpt=machine.revision.name,
        digest=machine.revision.digest,
        debug=machine.kernel.debug,
        assertions=machine.kernel.assertions.value,
        npt=machine.npt.name,
        track_dirty=machine.track_dirty,
        apicv=machine.apicv,
        state=machine.state.value,
        segs=tuple(machine.segs.values()),
        slots=tuple(machine.slots),
        next_host_pfn=machine.next_host_pfn,
        resident=gpt.resident,
        leaves=(),
        twins=gpt.twins,
        tracking=gpt.tracking,
        hardware_bits=gpt.sets_bits,
        holds=tuple(space.holds.items()),
        last_hold=space.last_hold,
        contents=(),
    )


def put_back(
    machine: Machine, snapshot: Snapshot, leaves: Leaves | None, contents: Pages | None
) -> None:
    """Make *machine*, a new one, what *snapshot* was taken of; see :meth:`Machine.restored`."""
    s = snapshot
    machine.segs = {seg.segid: seg for seg in s.segs}
    machine.slots = list(s.slots)
    for memmap in machine.memmaps:
        machine.space.restore(memmap.span, machine.host_pfn(memmap), memmap.prot)
    machine.next_host_pfn = s.next_host_pfn
    machine.contents = Pages(s.contents) if contents is None else contents
    machine.state = MachineState(s.state)
    gpt = machine.space.gpt
    gpt.resident = s.resident
    if leaves is not None:
        gpt.leaves = leaves
    else:
        gpt.leaves.assign(0, gpt.leaves.end, None)  # a new machine may have one already
        for first, end, leaf in s.leaves:
            gpt.leaves.assign(first, end, leaf)
    gpt.twins = s.twins
    gpt.track(s.tracking)
    gpt.set_hardware_bits(s.hardware_bits)
    machine.space.holds = dict(s.holds)
    machine.space.last_hold = s.last_hold
