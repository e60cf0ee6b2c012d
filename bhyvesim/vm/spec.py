"""The description of a VM, as plain frozen values; where it was read from is not its concern."""

from __future__ import annotations

from typing import Any, Literal

from bhyvesim.kernel.memory import Memmap
from bhyvesim.kernel.revisions import NEWEST
from bhyvesim.values import Value

Cpu = Literal["amd", "intel"]
NPT_OF_CPU = {"amd": "rvi", "intel": "ept"}


class KernelSpec(Value):
    """Which kernel the simulated host runs, and whether its ASSERTs are live.

    *digest* is that of the file that a revision not built in was read from.
    """

    gpt: str = NEWEST
    debug: bool = True
    assertions: str = "panic"
    digest: str = ""


class SegmentSpec(Value):
    """A memory segment to allocate; sysmem when *name* is empty."""

    segid: int
    name: str
    length: int
    host_pfn: int | None = None


class TouchSpec(Value):
    """Pages to be accessed, by a vCPU or a device; *prot* is what each access wants at once."""

    gpa: int
    length: int
    prot: int
    by: str = "vcpu"


class VmSpec(Value):
    """A whole VM. *mappings* are in slot order; *touches* None stands for all of them.

    *apicv*: its host is an Intel one that virtualises the APIC, with a page for it in each VM.
    *reservoir*: its memory comes from the host's reservoir.
    *arrived*: its RAM came by migration, and no dirty bit tells what of it.
    """

    name: str
    kernel: KernelSpec
    cpu: Cpu
    segments: tuple[SegmentSpec, ...]
    mappings: tuple[Memmap, ...]
    touches: tuple[TouchSpec, ...] | None = None
    track_dirty: bool = False
    vmm: str | None = None  # None where segments were given one by one
    apicv: bool = False
    reservoir: bool = False
    arrived: bool = False

    @property
    def memory(self) -> int:
        """Bytes of sysmem."""
        return sum(segment.length for segment in self.segments if not segment.name)

    @property
    def asked_of_host(self) -> int:
        """Bytes of all segments: what its host must have."""
        return sum(segment.length for segment in self.segments)

    @property
    def npt(self) -> str:
        return NPT_OF_CPU[self.cpu]

    @property
    def machine_arguments(self) -> dict[str, Any]:
        """What a Machine on its host is made with."""
        return {
            "gpt": self.kernel.gpt,
            "debug": self.kernel.debug,
            "npt": self.npt,
            "track_dirty": self.track_dirty,
            "assertions": self.kernel.assertions,
            "apicv": self.apicv,
        }


def empty_vm(name: str) -> VmSpec:
    """A VM without memory, as bhyvectl --create makes it."""
    return VmSpec(name, KernelSpec(), "amd", (), ())
