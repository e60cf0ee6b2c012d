"""The machine: what vmm.c does for one VM, on one kernel revision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from bhyvesim.errors import BadValue, KernelHang, KernelStop, NotRunning, Refused
from bhyvesim.kernel import snapshot as snapshots
from bhyvesim.kernel.calls import Assertions, Calls, Kernel, Listener
from bhyvesim.kernel.client import VmClient
from bhyvesim.kernel.gpt.access import FC_NOMAP, Access
from bhyvesim.kernel.gpt.windows import Leaves
from bhyvesim.kernel.memory import APIC_HOST_PFN, APIC_SPAN, MAX_MEMMAPS, Memmap, Memseg
from bhyvesim.kernel.pages import Pages
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.pte.format import PFN_BITS
from bhyvesim.kernel.results import BatchAccess, Held, MachineState, MemoryStats
from bhyvesim.kernel.revisions import NEWEST, REVISIONS, Revision, known
from bhyvesim.kernel.snapshot import Snapshot
from bhyvesim.kernel.stacks import DESTROY, DEVICE_IOCTL, REINIT, UNMAP_MMIO
from bhyvesim.kernel.vmspace import VmSpace
from bhyvesim.prot import ALL, BY, READ, WRITE, parse_prot
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT, is_page_aligned

if TYPE_CHECKING:
    from bhyvesim.kernel.gpt.walk import WalkStep
    from bhyvesim.kernel.reservoir import Share

FIRST_HOST_PFN = 0x100000  # where a segment of no particular host_pfn is put


_RUNNING = MachineState.RUNNING  # looked up at every access
_NOTHING: Mapping[str, int] = {}
_APIC = {"gpa": APIC_SPAN.start, "len": APIC_SPAN.length}


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
    live, whatever *assertions* says. *apicv* (EPT only) is an Intel host that virtualises
    the APIC: every VM then has a page of its registers mapped at 0xfee00000. Operations
    raise Refused with the errno that the ioctl would return, and change nothing then;
    KernelPanic where the kernel panics; KernelHang where it never returns:

    >>> from bhyvesim import KernelPanic
    >>> vm = Machine(gpt="13896")
    >>> vm.alloc_memseg(0, 0x1000)
    >>> vm.mmap_memseg(gpa=0, segid=0, segoff=0, length=0x1000, prot=7)
    >>> try:
    ...     vm.access(0x1000, by="device")
    ... except KernelPanic as panic:
    ...     print(panic.function, [frame.function for frame in panic.stack][:3])
    ...     print(panic.message)
    vmspace_lookup_map ['vmspace_lookup_map', 'vmc_hold', 'vmm_drv_gpa2kva']
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
        apicv: bool = False,
    ) -> None:
        if npt not in FORMATS:
            raise BadValue(f"{npt!r} is not a page-table format", "rvi or ept")
        if apicv and npt != "ept":
            raise BadValue(f"apicv with {npt}", "it with ept: it is Intel's")
        self.revision: Revision = known(gpt, REVISIONS[gpt].digest if gpt in REVISIONS else "")
        self.npt = FORMATS[npt]
        self.track_dirty = track_dirty
        self.apicv = apicv
        self.host: Share | None = None  # what it takes its segments from; None: without end
        self.kernel = Kernel(
            debug=debug, assertions=Assertions(assertions), functions=self.revision.functions
        )
        self.space = VmSpace(self.kernel, self.revision, self.npt, track_dirty=track_dirty)
        self.client = VmClient(self.space)
        self.segs: dict[int, Memseg] = {}
        self.slots: list[Memmap | None] = [None] * MAX_MEMMAPS
        self.state = MachineState.RUNNING
        self.stop: KernelStop | None = None  # the panic or hang that ended it
        self.next_host_pfn = FIRST_HOST_PFN
        self.contents = Pages()  # of host pages
        self.recorder: Callable[[Any], None] | None = None  # told of operations (bhyvesim.ops)
        if apicv:
            self._map_apic()

    def fork(self) -> Self:
        """Another machine in the same state; what happens to one is nothing to the other."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.kernel = self.kernel.fork()
        other.space = self.space.fork(other.kernel)
        other.client = VmClient(other.space)
        other.segs = self.segs.copy()
        other.slots = self.slots[:]
        other.contents = self.contents.copy()
        other.host = None if self.host is None else self.host.copy()
        other.recorder = None
        return other

    def listen(self, listener: Listener | None) -> None:
        """From here on *listener* is told of every entry and return; with None, nobody is.

        >>> vm = Machine()
        >>> vm.alloc_memseg(0, 0x200000)
        >>> vm.mmap_memseg(gpa=0, segid=0, segoff=0, length=0x200000, prot=7)
        >>> def tell(firing):
        ...     if firing.frame.function == "vmc_fault" and not firing.returned:
        ...         print(firing.function, firing.frame.named(), firing.times)
        >>> vm.listen(tell)
        >>> touched = vm.access(0x1000, 3, "w")
        int vmc_fault(vmclient_t *vmc, uintptr_t gpa, int prot) {'gpa': 4096, 'prot': 2} 3
        """
        self.kernel.listener = listener
        if listener is None:
            self.client = VmClient(self.space)
            return
        from bhyvesim.kernel.watched import WatchedClient

        self.client = WatchedClient(self.space)

    def snapshot(self) -> Snapshot:
        """The machine as it is now, as immutable values."""
        return snapshots.taken(self)

    def outline(self) -> Snapshot:
        """:meth:`snapshot` without the leaves and the contents of memory, which may be large."""
        return snapshots.outline(self)

    @staticmethod
    def restored(
        snapshot: Snapshot, leaves: Leaves | None = None, contents: Pages | None = None
    ) -> Machine:
        """The machine that *snapshot* was taken of. After a panic or hang it answers dump().

        *leaves* and *contents*, if given, take the place of the snapshot's: parts of them may
        be read later. Raises UnknownRevision where its revision, from a file, is not here.
        """
        s = snapshot
        known(s.gpt, s.digest)
        machine = Machine(
            s.gpt,
            debug=s.debug,
            npt=s.npt,
            track_dirty=s.track_dirty,
            assertions=s.assertions,
            apicv=s.apicv,
        )
        snapshots.put_back(machine, s, leaves, contents)
        return machine

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
        size; EEXIST for the very same again; ENOMEM where the host has not enough, or past
        the last PFN that an entry holds.
        Source: vm_alloc_memseg().
        """
        self.check_running()
        values = {"segid": segid, "len": length, "sysmem": int(not name)}
        with self.ioctl("vm_alloc_memseg", values):
            self._alloc(segid, length, name, host_pfn)

    def _alloc(self, segid: int, length: int, name: str, host_pfn: int | None) -> None:
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
        if self.host is not None:
            self.host.take(length)
        self.segs[segid] = Memseg(segid, length, name, pfn)
        self.next_host_pfn = max(self.next_host_pfn, end)

    def mmap_memseg(
        self, gpa: int, segid: int, segoff: int, length: int, prot: int | str, wired: bool = False
    ) -> None:
        """Map bytes ``[segoff, segoff + length)`` of a segment at *gpa*.

        Raises Refused: EINVAL, ENOSPC or EFAULT, checked in the kernel's order; KernelPanic
        where revision 15844 crosses a 512 GiB line. Source: vm_mmap_memseg().
        """
        self.check_running()
        memmap = Memmap(gpa, length, segid, segoff, _mask(prot), wired)
        values = {"gpa": gpa, "segid": segid, "segoff": segoff, "len": length, "prot": memmap.prot}
        with self.ioctl("vm_mmap_memseg", values):
            self._mmap(memmap)

    def _mmap(self, memmap: Memmap) -> None:
        gpa, length, segid, segoff, prot, wired = memmap
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
        self.space.map(memmap.span, self.host_pfn(memmap), prot, segoff=segoff, wired=wired)
        self.slots[slot] = memmap

    def munmap_memseg(self, gpa: int, length: int) -> None:
        """Take away the memmap of exactly this gpa and length.

        Raises Refused (EINVAL) where there is none. A quirk of the kernel is kept: gpa 0
        with length 0 matches an empty slot. Source: vm_munmap_memseg().
        """
        self.check_running()
        with self.ioctl("vm_munmap_memseg", {"gpa": gpa, "len": length}):
            for slot, memmap in enumerate(self.slots):
                if memmap is None:
                    if gpa == 0 and length == 0:
                        return
                elif (memmap.gpa, memmap.length) == (gpa, length):
                    self._free_memmap(slot, memmap)
                    return
            raise Refused("EINVAL", f"no memmap is exactly {Span.sized(gpa, length)}")

    def access(self, gpa: int, npages: int = 1, prot: int | str = READ, by: str = "vcpu") -> Access:
        """*npages* pages from the one that holds *gpa* are accessed, in ascending order.

        *prot* is what each access wants at once (a mask, or ``"rw"``); *by* a vCPU, through
        the tables, or a ``device``, which holds and releases each page (and reads or writes).
        Stops at the first failure, which is a result; KernelPanic where the kernel panics.
        Raises Refused (EBUSY) for a vCPU of a paused VM: VM_RUN does not let it run.
        """
        if type(prot) is not int:
            prot = _mask(prot)
        if self.state is not _RUNNING or not 0 < prot <= ALL:
            self._check_access(prot, by)
        if by != "vcpu":
            return self._access_by_device(gpa, npages, prot, by)
        page = gpa >> PAGE_SHIFT
        try:
            if npages == 1:
                return self.client.access_page(page, prot)
            return self.client.access(range(page, page + npages), prot)
        except KernelStop as stopped:
            self.stopped(stopped, self.client.outer)
            raise

    def _access_by_device(self, gpa: int, npages: int, prot: int, by: str) -> Access:
        if by not in BY:
            raise BadValue(f"{by!r} accesses no memory", f"one of {', '.join(BY)}")
        check_hold(prot)
        page = gpa >> PAGE_SHIFT
        with self._running(()):
            return self.client.access_by_device(range(page, page + npages), prot)

    def hold(self, gpa: int, prot: int | str = READ) -> Held:
        """A userspace mapping of guest space takes a hold on the page that holds *gpa*.

        Until it is released, whatever unmaps anything of this VM hangs. Raises Refused
        (ENOTTY) before 13896, KernelPanic as a device's access. Source: vmc_hold().
        """
        self.check_offered(self.revision.ioctls.holds, "holds of pages")
        prot = _mask(prot)
        check_hold(prot)
        with self._running(()):
            hold_id = self.client.hold(gpa >> PAGE_SHIFT, prot)
        if hold_id is not None:
            return Held(hold_id)
        return Held(None, FC_NOMAP, gpa >> PAGE_SHIFT << PAGE_SHIFT)

    def release(self, hold_id: int, *, dirty: bool = True) -> bool:
        """Release a hold; returns whether its page was unmapped meanwhile (never, up to 2025).

        *dirty* false: the holder did not write. Raises Refused: ENOTTY before 13896, EINVAL
        for an id that is not held. Source: vmp_release().
        """
        self.check_offered(self.revision.ioctls.holds, "holds of pages")
        if hold_id not in self.space.holds:
            raise Refused("EINVAL", f"there is no hold {hold_id}")
        self.client.release(hold_id, dirty=dirty)
        return False

    @property
    def dirty(self) -> list[tuple[int, int]]:
        """Runs of pages whose dirty bit is set, as ``(gpa, pages)``, by address."""
        from bhyvesim.kernel.gpt.rows import pte_rows

        bit = self.npt.dirty
        runs: list[tuple[int, int]] = []
        for gpa, npages, pte in pte_rows(self.space.gpt):
            if pte & bit:
                if runs and runs[-1][0] + (runs[-1][1] << PAGE_SHIFT) == gpa:
                    gpa, npages = runs[-1][0], runs.pop()[1] + npages
                runs.append((gpa, npages))
        return runs

    def stats(self) -> MemoryStats:
        """The memory statistics. Source: vmm_stat.c; vmspace_resident_count()."""
        self.check_running()
        counted = self.resident << PAGE_SHIFT
        return MemoryStats(0, counted) if self.revision.counts_wired else MemoryStats(counted, None)

    def access_batch(self, gpas: Sequence[int], prot: int | str = READ) -> BatchAccess:
        """Single-page accesses of a vCPU in the order given, each for itself.

        The same as one :meth:`access` after the other, at a fraction of the time.
        """
        prot = _mask(prot)
        self._check_access(prot, "vcpu")
        try:
            mapped, failed = self.client.access_many(gpas, prot)
        except KernelStop as stopped:
            self.stopped(stopped, self.client.outer)
            raise
        if not failed:
            return BatchAccess(len(gpas), mapped, ())
        touched = (gpa >> PAGE_SHIFT for gpa in gpas)
        faults = tuple((p << PAGE_SHIFT, failed[p]) for p in touched if p in failed)
        return BatchAccess(len(gpas) - len(faults), mapped, faults)

    def pause(self) -> None:
        """VM_PAUSE: no vCPU runs until it is resumed; devices and ioctls go on.

        Raises Refused: ENOTTY before 15844, EALREADY where it is paused. A reinit leaves it
        paused. Source: vm_pause_instance(); vm_run(), which answers EBUSY then.
        """
        self._set_paused(MachineState.PAUSED, "VM_PAUSE", "paused already")

    def resume(self) -> None:
        """VM_RESUME. Raises Refused: ENOTTY before 15844, EALREADY where it is not paused."""
        self._set_paused(MachineState.RUNNING, "VM_RESUME", "not paused")

    def _set_paused(self, state: MachineState, ioctl: str, already: str) -> None:
        self.check_offered(self.revision.ioctls.pause, ioctl)
        if self.state is state:
            raise Refused("EALREADY", f"the VM is {already}")
        self.state = state

    def reinit(self) -> None:
        """VM_REINIT: free every memmap of a devmem segment, in slot order.

        The APIC access page goes first, and is there again at the end. Raises KernelPanic
        where vacating does, KernelHang while a page is held. Source: vm_reinit(),
        vm_cleanup().
        """
        self.check_running()
        with self._running(REINIT[:-1]):
            with self.kernel.calls(REINIT[-1:], {"destroy": 0}):
                self._unmap_apic()
                for slot, memmap in enumerate(self.slots):
                    if memmap is not None and not self.segs[memmap.segid].is_sysmem:
                        self._free_memmap(slot, memmap)
            self.space.gpt.load_hardware_bits()
            if self.apicv:
                self._map_apic()

    def destroy(self) -> int:
        """Free the APIC access page, all memmaps in slot order, the segments, the vmspace.

        Returns how many page tables besides the root were still there at the end (a
        leak). Raises as reinit(). Source: vm_destroy().
        """
        from bhyvesim.kernel.gpt.rows import node_rows

        self.check_running()
        with self._running(DESTROY, {"destroy": 1}):
            self._unmap_apic()
            for slot, memmap in enumerate(self.slots):
                if memmap is not None:
                    self._free_memmap(slot, memmap)
        leaked = sum(row.tables for row in node_rows(self.space.gpt)) - 1
        if self.host is not None:
            self.host.give_back(sum(seg.length for seg in self.segs.values()))
        self.segs.clear()
        self.state = MachineState.DESTROYED
        return leaked

    def dump(self) -> dict[str, Any]:
        """The complete state: ``resident``, ``nodes``, ``ptes``, ``memmap``, as lists of rows.

        nodes: ``[level, gpa, count, refcnt, entries]``; ptes: ``[gpa, npages, pte]``;
        memmap: ``[gpa, len, segid, segoff, prot, wired]``. Works after a panic: it is the
        crash dump. Raises NotRunning (ENOENT) after destroy.
        """
        from bhyvesim.kernel.gpt.rows import node_rows, pte_rows

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

    def freed_by(self, memmaps: Sequence[Memmap | None]) -> list[Span]:
        """The spans of *memmaps* that are not mapped any more, and the APIC access page's.

        What lies there lost its entries by right.
        """
        gone = [m.span for m in memmaps if m is not None and m not in self.slots]
        return [*gone, APIC_SPAN] if self.apicv else gone

    def walk(self, gpa: int) -> list[WalkStep]:
        """The entries that hardware uses for *gpa*, from the root down to the last there is.

        >>> vm = Machine()
        >>> vm.alloc_memseg(0, 0x200000)
        >>> vm.mmap_memseg(gpa=0, segid=0, segoff=0, length=0x200000, prot=7)
        >>> [(step.level, step.slot, bool(step.entry)) for step in vm.walk(0x5000)]
        [(4, 0, True), (3, 0, True), (2, 0, True), (1, 5, False)]
        """
        from bhyvesim.kernel.gpt.walk import walk

        return walk(self.space.gpt, gpa)

    def host_pfn(self, memmap: Memmap) -> int:
        """The page frame behind the first page of *memmap*."""
        return self.segs[memmap.segid].host_pfn + (memmap.segoff >> PAGE_SHIFT)

    def _free_memmap(self, slot: int, memmap: Memmap) -> None:
        """vm_free_memmap(): the slot is cleared once the unmapping came through."""
        with self.kernel.calls(("vm_free_memmap",), {"ident": slot}):
            self.space.unmap(memmap.span)
        self.slots[slot] = None

    def _map_apic(self) -> None:
        """Source: vmx.c, where APICv is set up for a VM; vm_map_mmio()."""
        with self.kernel.calls(("vm_map_mmio",), _APIC):
            self.space.map(APIC_SPAN, APIC_HOST_PFN, READ | WRITE, mmio=True)

    def _unmap_apic(self) -> None:
        if self.apicv:
            with self.kernel.calls(UNMAP_MMIO, _APIC):
                self.space.unmap(APIC_SPAN)

    def check_offered(self, offered: bool, what: str) -> None:
        """Raises NotRunning, or Refused (ENOTTY) where the revision lacks *what*."""
        self.check_running()
        if not offered:
            raise Refused("ENOTTY", f"kernel {self.revision.name} has no {what}")

    def _check_access(self, prot: int, by: str) -> None:
        self.check_running()
        if self.state is MachineState.PAUSED and by == "vcpu":
            raise Refused("EBUSY", "the VM is paused: none of its vCPUs runs")
        if not 0 < prot <= ALL:
            raise BadValue(f"{prot!r} is not an access", "a mask of R=1, W=2, X=4")

    def check_running(self) -> None:
        """Raises NotRunning after a panic (PANICKED), a hang (HUNG) or destroy (ENOENT)."""
        if self.state is MachineState.PANICKED:
            raise NotRunning("PANICKED", "the machine's kernel has panicked")
        if self.state is MachineState.HUNG:
            raise NotRunning("HUNG", "the machine's kernel hangs: everything waits for its locks")
        if self.state is MachineState.DESTROYED:
            raise NotRunning("ENOENT", "the machine has been destroyed")

    def _running(
        self,
        names: tuple[str, ...],
        values: Mapping[str, int] = _NOTHING,
        times: int = 1,
        step: int = 0,
    ) -> _Running:
        """Within a call into the kernel: *names* are under way, a panic or hang ends it all."""
        return _Running(self, self.kernel.calls(names, values, times, step))

    def ioctl(
        self, name: str, values: Mapping[str, int], times: int = 1, step: int = 0
    ) -> _Running:
        """Within an ioctl of the VM's device, and the function *name* that does it.

        Or *times* of it, each *step* bytes further on.
        """
        return self._running((*DEVICE_IOCTL, name), values, times, step)

    def stopped(self, stopped: KernelStop, outer: tuple[str, ...] = ()) -> None:
        """The kernel stopped, below the calls *outer*: from here on only the dump answers."""
        with self.kernel.calls(outer):
            stopped.stack += self.kernel.stack()
        stopped.state = self.dump()
        known = (stop for stop in self.revision.stops if stop.function == stopped.function)
        stopped.letter = next((stop.letter for stop in known), "?")
        self.stop = stopped
        hung = isinstance(stopped, KernelHang)
        self.state = MachineState.HUNG if hung else MachineState.PANICKED


class _Running:
    """A call from outside into the kernel; what stops the kernel stops the machine."""

    __slots__ = ("_calls", "_machine")

    def __init__(self, machine: Machine, calls: Calls) -> None:
        self._machine = machine
        self._calls = calls

    def __enter__(self) -> None:
        self._calls.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: object
    ) -> None:
        self._calls.__exit__(kind, raised, trace)
        if isinstance(raised, KernelStop):
            self._machine.stopped(raised)


def _mask(prot: int | str) -> int:
    return parse_prot(prot) if isinstance(prot, str) else prot


def check_hold(prot: int) -> None:
    """Raises BadValue unless *prot* has R or W, as every holder asks for."""
    if not 0 < prot <= ALL or not prot & (READ | WRITE):
        raise BadValue(f"{prot!r} can hold no page", "a mask of R=1, W=2, X=4, with R or W in it")
