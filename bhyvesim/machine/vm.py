"""The machine: what vmm.c does for one VM, on one kernel revision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any, NamedTuple

from bhyvesim.errors import BadValue, Frame, KernelPanic, NotRunning, Refused
from bhyvesim.gpt.revisions import NEWEST, REVISIONS, Revision
from bhyvesim.gpt.rows import node_rows, pte_rows
from bhyvesim.gpt.walk import WalkStep, walk
from bhyvesim.kernel import Assertions, Kernel
from bhyvesim.machine.memory import MAX_MEMMAPS, Memmap, Memseg
from bhyvesim.prot import ALL
from bhyvesim.pte import FORMATS
from bhyvesim.pte.format import PFN_BITS
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT, is_page_aligned
from bhyvesim.vmspace.space import VmSpace

FIRST_HOST_PFN = 0x100000  # where a segment of no particular host_pfn is put

_SYSCALL = tuple(
    Frame(f) for f in ("brand_sys_syscall", "ioctl", "fop_ioctl", "spec_ioctl", "cdev_ioctl")
)
_DEVICE_IOCTL = (*_SYSCALL, Frame("vmm_ioctl"), Frame("vmmdev_do_ioctl"))
_MMAP = (*_DEVICE_IOCTL, Frame("vm_mmap_memseg"))
_MUNMAP = (*_DEVICE_IOCTL, Frame("vm_munmap_memseg"), Frame("vm_free_memmap"))
_REINIT = (*_DEVICE_IOCTL, Frame("vm_reinit"), Frame("vm_cleanup"), Frame("vm_free_memmap"))
_DESTROY = (
    *_SYSCALL,
    *(
        Frame(f)
        for f in (
            "vmm_ioctl",
            "vmm_ctl_ioctl",
            "vmmdev_do_vm_destroy",
            "vmm_do_vm_destroy_locked",
            "vm_destroy",
            "vm_cleanup",
            "vm_free_memmap",
        )
    ),
)
_RUN = (*_DEVICE_IOCTL, Frame("vm_run"))


class MachineState(Enum):
    """What a machine still answers to."""

    RUNNING = "running"
    PANICKED = "panicked"
    DESTROYED = "destroyed"


_RUNNING = MachineState.RUNNING  # looked up at every access


class Access(NamedTuple):
    """Guest accesses: pages accessed, entries newly set, and the first failure, if any.

    ``fault`` is FC_NOMAP or FC_PROT, ``gpa`` the address of the page where it came.
    """

    ok: int
    mapped: int
    fault: str | None = None
    gpa: int | None = None


class BatchAccess(NamedTuple):
    """Many single accesses: how many succeeded, entries newly set, ``(gpa, fault)`` of the rest."""

    ok: int
    mapped: int
    faults: tuple[tuple[int, str], ...]


class Machine:
    """A VM and the kernel it runs on.

    >>> from bhyvesim import Machine
    >>> vm = Machine(gpt="14042")
    >>> vm.alloc_memseg(0, 0x400000)
    >>> vm.mmap_memseg(gpa=0, segid=0, segoff=0, length=0x400000, prot=7)
    >>> vm.access(0x1000, npages=2, prot=2)
    Access(ok=2, mapped=2, fault=None, gpa=None)
    >>> [[hex(gpa), npages, hex(pte)] for gpa, npages, pte in vm.dump()["ptes"]]
    [['0x1000', 2, '0x100001067']]
    >>> vm.munmap_memseg(gpa=0, length=0x1000)
    Traceback (most recent call last):
    bhyvesim.errors.Refused: no memmap is exactly [0x0, 0x1000) (EINVAL)
    >>> vm.destroy()
    0

    *gpt* names a revision, *npt* is ``rvi`` or ``ept``; with *debug* false no ASSERT is
    live, whatever *assertions* says. Operations raise Refused with the errno that the
    ioctl would return, and change nothing then; KernelPanic where the kernel panics:

    >>> from bhyvesim import KernelPanic
    >>> vm = Machine(gpt="13896")
    >>> vm.alloc_memseg(0, 0x1000)
    >>> vm.mmap_memseg(gpa=0, segid=0, segoff=0, length=0x1000, prot=7)
    >>> try:
    ...     vm.access(0x1000)
    ... except KernelPanic as panic:
    ...     print(panic.function, [frame.function for frame in panic.stack][:3])
    ...     print(panic.message)
    vmspace_lookup_map ['vmspace_lookup_map', 'vmc_fault', 'vm_handle_paging']
    assertion failed: vmsm != NULL, file: ../../i86pc/io/vmm/vmm_vm.c, line: 714
    """

    def __init__(
        self,
        gpt: str = NEWEST,
        *,
        debug: bool = True,
        npt: str = "rvi",
        track_dirty: bool = False,
        assertions: Assertions | str = Assertions.PANIC,
    ) -> None:
        if gpt not in REVISIONS:
            raise BadValue(f"{gpt!r} is not a revision", f"one of {', '.join(REVISIONS)}")
        if npt not in FORMATS:
            raise BadValue(f"{npt!r} is not a page-table format", "rvi or ept")
        self.revision: Revision = REVISIONS[gpt]
        self.npt = FORMATS[npt]
        self.track_dirty = track_dirty
        self.kernel = Kernel(debug=debug, assertions=Assertions(assertions))
        self.space = VmSpace(self.kernel, self.revision, self.npt, track_dirty=track_dirty)
        self.segs: dict[int, Memseg] = {}
        self.slots: list[Memmap | None] = [None] * MAX_MEMMAPS
        self.state = MachineState.RUNNING
        self.panic: KernelPanic | None = None
        self.next_host_pfn = FIRST_HOST_PFN
        self.contents: dict[int, bytearray] = {}  # of host pages, by PFN (see contents.py)

    @property
    def memmaps(self) -> list[Memmap]:
        """The memmaps by guest address."""
        return sorted((m for m in self.slots if m is not None), key=lambda m: m.gpa)

    @property
    def resident(self) -> int:
        """The kernel's own counter of resident pages; it drifts on some revisions."""
        return self.space.gpt.resident

    def alloc_memseg(
        self, segid: int, length: int, name: str = "", host_pfn: int | None = None
    ) -> None:
        """Allocate *length* bytes as segment *segid*; sysmem when *name* is empty.

        Raises Refused: EINVAL for a bad id or length, or an id in use by another kind or
        size; EEXIST for the very same again; ENOMEM past the last PFN that an entry holds.
        Source: vm_alloc_memseg().
        """
        self.check_running()
        if not 0 <= segid < self.revision.segids:
            last = self.revision.segids - 1
            raise Refused("EINVAL", f"segment id {segid} is not one of 0 to {last}")
        if length <= 0 or not is_page_aligned(length):
            raise Refused(
                "EINVAL", f"length {length:#x} is not a positive multiple of the page size"
            )
        there = self.segs.get(segid)
        if there is not None:
            same = there.length == length and there.is_sysmem == (not name)
            raise Refused("EEXIST" if same else "EINVAL", f"segment {segid} exists already")
        pfn = self.next_host_pfn if host_pfn is None else host_pfn
        end = pfn + (length >> PAGE_SHIFT)
        if pfn < 0 or end > 1 << PFN_BITS:
            raise Refused("ENOMEM", f"segment {segid} does not fit below host PFN 2^{PFN_BITS}")
        self.segs[segid] = Memseg(segid, length, name, pfn)
        self.next_host_pfn = max(self.next_host_pfn, end)

    def mmap_memseg(
        self, gpa: int, segid: int, segoff: int, length: int, prot: int, wired: bool = False
    ) -> None:
        """Map bytes ``[segoff, segoff + length)`` of a segment at *gpa*.

        Raises Refused: EINVAL, ENOSPC or EFAULT, checked in the kernel's order; KernelPanic
        where revision 15844 crosses a 512 GiB line. Source: vm_mmap_memseg().
        """
        self.check_running()
        if not 0 < prot <= ALL:
            raise Refused("EINVAL", f"protection {prot:#x} is not one or more of R=1, W=2, X=4")
        seg = self.segs.get(segid)
        if seg is None:
            raise Refused("EINVAL", f"there is no segment {segid}")
        last = segoff + length
        if segoff < 0 or segoff >= last or last > seg.length:
            raise Refused("EINVAL", f"{Span(segoff, last)} is not inside segment {segid}")
        if not (is_page_aligned(gpa) and is_page_aligned(segoff) and is_page_aligned(last)):
            raise Refused(
                "EINVAL", f"gpa {gpa:#x}, offset {segoff:#x} or length is not page-aligned"
            )
        if None not in self.slots:
            raise Refused("ENOSPC", f"all {MAX_MEMMAPS} memmap slots are taken")
        slot = self.slots.index(None)
        with self._running(_MMAP):
            memmap = Memmap(gpa, length, segid, segoff, prot, wired)
            self.space.map(memmap.span, self._host_pfn(memmap), prot, wired=wired)
            self.slots[slot] = memmap

    def munmap_memseg(self, gpa: int, length: int) -> None:
        """Take away the memmap of exactly this gpa and length.

        Raises Refused (EINVAL) where there is none. A quirk of the kernel is kept: gpa 0
        with length 0 matches an empty slot. Source: vm_munmap_memseg().
        """
        self.check_running()
        for slot, memmap in enumerate(self.slots):
            if memmap is None:
                if gpa == 0 and length == 0:
                    return
            elif (memmap.gpa, memmap.length) == (gpa, length):
                with self._running(_MUNMAP):
                    self._free_memmap(slot, memmap)
                return
        raise Refused("EINVAL", f"no memmap is exactly {Span.sized(gpa, length)}")

    def access(self, gpa: int, npages: int = 1, prot: int = 1) -> Access:
        """The guest touches *npages* pages from the one that holds *gpa*, ascending.

        *prot* is a mask of what each access wants at once. Stops at the first failure,
        which is a result; KernelPanic where the fault handler panics.
        """
        if self.state is not _RUNNING or not 0 < prot <= ALL:
            self._check_access(prot)
        page = gpa >> PAGE_SHIFT
        try:
            if npages == 1:
                done, mapped, stop = self.space.access_page(page, prot)
            else:
                done, mapped, stop = self.space.access(range(page, page + npages), prot)
        except KernelPanic as panic:
            self._panicked(panic, _RUN)
            raise
        if stop is None:
            return _ONE[mapped] if done == 1 else Access(done, mapped)
        return Access(done, mapped, stop.fault.value, stop.gpa)

    def access_batch(self, gpas: Sequence[int], prot: int = 1) -> BatchAccess:
        """Single-page accesses in the order given, each for itself.

        The same as one :meth:`access` after the other, at a fraction of the time.
        """
        self._check_access(prot)
        try:
            mapped, failed = self.space.access_many(gpas, prot)
        except KernelPanic as panic:
            self._panicked(panic, _RUN)
            raise
        if not failed:
            return BatchAccess(len(gpas), mapped, ())
        touched = (gpa >> PAGE_SHIFT for gpa in gpas)
        faults = tuple((p << PAGE_SHIFT, failed[p].value) for p in touched if p in failed)
        return BatchAccess(len(gpas) - len(faults), mapped, faults)

    def reinit(self) -> None:
        """VM_REINIT: free every memmap of a devmem segment, in slot order.

        Raises KernelPanic where vacating does. Source: vm_reinit(), vm_cleanup().
        """
        self.check_running()
        with self._running(_REINIT):
            for slot, memmap in enumerate(self.slots):
                if memmap is not None and not self.segs[memmap.segid].is_sysmem:
                    self._free_memmap(slot, memmap)

    def destroy(self) -> int:
        """Free all memmaps in slot order, the segments, the vmspace.

        Returns how many page tables besides the root were still there at the end (a
        leak). Raises KernelPanic where vacating does. Source: vm_destroy().
        """
        self.check_running()
        with self._running(_DESTROY):
            for slot, memmap in enumerate(self.slots):
                if memmap is not None:
                    self._free_memmap(slot, memmap)
        leaked = sum(row.tables for row in node_rows(self.space.gpt)) - 1
        self.segs.clear()
        self.state = MachineState.DESTROYED
        return leaked

    def dump(self) -> dict[str, Any]:
        """The complete state: ``resident``, ``nodes``, ``ptes``, ``memmap``, as lists of rows.

        nodes: ``[level, gpa, count, refcnt, entries]``; ptes: ``[gpa, npages, pte]``;
        memmap: ``[gpa, len, segid, segoff, prot, wired]``. Works after a panic: it is the
        crash dump. Raises NotRunning (ENOENT) after destroy.
        """
        if self.state is MachineState.DESTROYED:
            self.check_running()
        gpt = self.space.gpt
        return {
            "resident": gpt.resident,
            "nodes": [list(row) for row in node_rows(gpt)],
            "ptes": [list(row) for row in pte_rows(gpt)],
            "memmap": [
                [m.gpa, m.length, m.segid, m.segoff, m.prot, int(m.wired)] for m in self.memmaps
            ],
        }

    def restore_memmap(self, slot: int, memmap: Memmap | None) -> None:
        """Put a memmap that was stored back into its slot; the tables come separately."""
        self.slots[slot] = memmap
        if memmap is not None:
            self.space.restore(memmap.span, self._host_pfn(memmap), memmap.prot)

    def walk(self, gpa: int) -> list[WalkStep]:
        """The entries that hardware uses for *gpa*, from the root down to the last there is.

        >>> vm = Machine()
        >>> vm.alloc_memseg(0, 0x200000)
        >>> vm.mmap_memseg(gpa=0, segid=0, segoff=0, length=0x200000, prot=7)
        >>> [(step.level, step.slot, bool(step.entry)) for step in vm.walk(0x5000)]
        [(4, 0, True), (3, 0, True), (2, 0, True), (1, 5, False)]
        """
        return walk(self.space.gpt, gpa)

    def _host_pfn(self, memmap: Memmap) -> int:
        return self.segs[memmap.segid].host_pfn + (memmap.segoff >> PAGE_SHIFT)

    def _free_memmap(self, slot: int, memmap: Memmap) -> None:
        """vm_free_memmap(): the slot is cleared once the unmapping came through."""
        self.space.unmap(memmap.span)
        self.slots[slot] = None

    def _check_access(self, prot: int) -> None:
        self.check_running()
        if not 0 < prot <= ALL:
            raise BadValue(f"{prot!r} is not an access", "a mask of R=1, W=2, X=4")

    def check_running(self) -> None:
        """Raises NotRunning after a panic (PANICKED) or destroy (ENOENT)."""
        if self.state is MachineState.PANICKED:
            raise NotRunning("PANICKED", "the machine's kernel has panicked")
        if self.state is MachineState.DESTROYED:
            raise NotRunning("ENOENT", "the machine has been destroyed")

    @contextmanager
    def _running(self, frames: tuple[Frame, ...]) -> Iterator[None]:
        """Within an ioctl: *frames* are under way, and a panic stops the machine."""
        try:
            with self.kernel.calls(*frames):
                yield
        except KernelPanic as panic:
            self._panicked(panic)
            raise

    def _panicked(self, panic: KernelPanic, outer: tuple[Frame, ...] = ()) -> None:
        panic.stack += tuple(reversed(outer))
        panic.state = self.dump()
        self.panic = panic
        self.state = MachineState.PANICKED


_ONE = (Access(1, 0), Access(1, 1))
