"""What is to be known of a kernel revision, besides its page-table code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bhyvesim.gpt.engine import Gpt
from bhyvesim.kernel import AssertionSite

VMSPACE_END = 1 << 46  # 64 TiB
I86PC_GPT = "../../i86pc/io/vmm/vmm_gpt.c"
I86PC_VM = "../../i86pc/io/vmm/vmm_vm.c"
INTEL_GPT = "../../intel/io/vmm/vmm_gpt.c"


@dataclass(frozen=True, slots=True)
class CallPaths:
    """The kernel functions between an ioctl's own and the page tables, outermost first.

    ``{npt}`` stands for rvi or ept.
    """

    make_memmap: tuple[str, ...]
    free_memmap: tuple[str, ...]
    guest_fault: tuple[str, ...]


OLD_PATHS = CallPaths(
    make_memmap=("vm_map_find",),
    free_memmap=("vm_map_remove", "{npt}_ops_unmap"),
    guest_fault=("vm_fault", "{npt}_ops_map"),
)
VMSPACE_PATHS = CallPaths(
    make_memmap=("vmspace_map",),
    free_memmap=("vmspace_unmap",),
    guest_fault=("vmc_fault", "vmspace_lookup_map"),
)


@dataclass(frozen=True, slots=True)
class Revision:
    """One historical state of the kernel's guest-memory code.

    ``may_reach_the_end``: whether a memmap that begins below the end of the vmspace may
    reach or pass it. ``lookup_verify``: a VERIFY that a fault in a hole runs into.
    ``counts_wired``: whether the kernel has a statistic of wired memory.
    ``offsets``: known return offsets on a DEBUG kernel, by (function, the one it called);
    ``addresses``: return addresses that its stack traces show without a symbol.
    """

    name: str
    date: str
    summary: str
    engine: type[Gpt]
    paths: CallPaths
    segids: int
    may_reach_the_end: bool = False
    lookup_verify: AssertionSite | None = None
    counts_wired: bool = True
    offsets: Mapping[tuple[str, str], int] = field(default_factory=dict)
    addresses: Mapping[str, int] = field(default_factory=dict)
