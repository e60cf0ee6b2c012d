"""What is to be known of a kernel revision, besides its page-table code."""

from __future__ import annotations

from collections.abc import Mapping

from bhyvesim.kernel.calls import AssertionSite
from bhyvesim.kernel.functions import Function
from bhyvesim.kernel.gpt.engine import Gpt
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.revisions.stops import Stop
from bhyvesim.values import Value

VMSPACE_END = 1 << 46  # 64 TiB
I86PC_GPT = "../../i86pc/io/vmm/vmm_gpt.c"
I86PC_VM = "../../i86pc/io/vmm/vmm_vm.c"
I86PC_RVI = "../../i86pc/io/vmm/vmm_sol_rvi.c"
INTEL_GPT = "../../intel/io/vmm/vmm_gpt.c"


class CallPaths(Value):
    """The kernel functions between an ioctl's own and the page tables, outermost first.

    ``wire`` are called once for a memmap, ``wire_page`` for each page of it; ``hold`` and
    ``release`` by a holder; ``new_table`` for each page before it is mapped.
    """

    make_memmap: tuple[str, ...]
    free_memmap: tuple[str, ...]
    guest_fault: tuple[str, ...]
    wire: tuple[str, ...]
    hold: tuple[str, ...]
    release: tuple[str, ...]
    wire_page: tuple[str, ...] = ()
    new_table: tuple[str, ...] = ()


def _old_paths(npt: str) -> CallPaths:
    return CallPaths(
        make_memmap=("vm_map_find",),
        free_memmap=("vm_map_remove", f"{npt}_ops_unmap"),
        guest_fault=("vm_fault", f"{npt}_ops_map"),
        wire=("vm_map_wire",),
        hold=("vm_gpa_hold",),
        release=("vm_gpa_release",),
        wire_page=(f"{npt}_ops_map",),
        new_table=("vmm_gpt_populate_entry",),
    )


# By the format of the page tables, rvi or ept.
OLD_PATHS = {npt: _old_paths(npt) for npt in FORMATS}
VMSPACE_PATHS = dict.fromkeys(
    FORMATS,
    CallPaths(
        make_memmap=("vmspace_map",),
        free_memmap=("vmspace_unmap",),
        guest_fault=("vmc_fault", "vmspace_lookup_map"),
        wire=("vmspace_populate",),
        hold=("vmc_hold", "vmspace_lookup_map"),
        release=("vmp_release",),
    ),
)


class Ioctls(Value):
    """What a revision's ioctls and in-kernel interfaces offer beyond the six of all.

    ``holds``: pages can be held and released (vmc_hold, vmp_release); ``deferred_dirty``:
    a release may ask not to mark the page. ``track_dirty_pages``: VM_TRACK_DIRTY_PAGES;
    ``tracking_needed``: it is EPERM without tracking. ``npt_operation``: VM_NPT_OPERATION.
    ``pause``: VM_PAUSE and VM_RESUME. ``paging_exit``: VM_RUN comes back with an exit of that
    kind where the fault handler fails, in place of failing itself with EFAULT.
    """

    holds: bool = False
    deferred_dirty: bool = False
    track_dirty_pages: bool = False
    tracking_needed: bool = False
    npt_operation: bool = False
    pause: bool = False
    paging_exit: bool = False


class Revision(Value):
    """One historical state of the kernel's guest-memory code.

    ``functions``: those of its functions that are simulated; ``paths``: who calls
    whom, by the format of the page tables.
    ``stops``: the ways in which it is known to panic or hang.
    ``may_reach_the_end``: whether a memmap that begins below the end of the vmspace may
    reach or pass it. ``lookup_verify``: a VERIFY that a hold of a page in a hole runs into.
    ``map_assert``: an ASSERT on mapping a page that may not be read (RVI only).
    ``counts_wired``: whether ``--get-stats`` has the page counter as wired memory, and
    always 0 as resident memory, as kernels before the vmspace had.
    ``offsets``: known return offsets on a DEBUG kernel, by (function, the one it called);
    ``addresses``: return addresses that its stack traces show without a symbol.
    ``like``: the revision whose expectations in scenarios hold for it as well.
    ``digest``: of the file that it was read from (SHA-256, hex); empty for those built in.
    """

    name: str
    date: str
    summary: str
    engine: type[Gpt]
    functions: Mapping[str, Function]
    paths: Mapping[str, CallPaths]
    segids: int
    stops: tuple[Stop, ...]
    ioctls: Ioctls = Ioctls()
    may_reach_the_end: bool = False
    lookup_verify: AssertionSite | None = None
    map_assert: AssertionSite | None = None
    counts_wired: bool = False
    offsets: Mapping[tuple[str, str], int] = {}  # nobody changes it
    addresses: Mapping[str, int] = {}  # nobody changes it
    like: str = ""
    digest: str = ""

    @property
    def known(self) -> str:
        """Its panics and hangs as people call them, in a line."""
        return ", ".join(stop.name for stop in self.stops)
