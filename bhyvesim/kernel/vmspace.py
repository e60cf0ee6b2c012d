"""The vmspace: which guest addresses are mapped to what, the faults and holds that fill its GPT."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from bhyvesim.errors import Frame, Refused
from bhyvesim.kernel.calls import Kernel
from bhyvesim.kernel.gpt.access import FC_NOMAP, HOLE, Access
from bhyvesim.kernel.gpt.engine import Gpt
from bhyvesim.kernel.gpt.leaf import ALL_ENTRIES, BIT
from bhyvesim.kernel.gpt.levels import ENTRIES, ENTRY_BITS, LEAF_SHIFT, LEAVES, REACH
from bhyvesim.kernel.mapping import Mapping
from bhyvesim.kernel.pte import PteFormat
from bhyvesim.kernel.revisions import Revision
from bhyvesim.kernel.revisions.revision import VMSPACE_END
from bhyvesim.prot import READ, WRITE
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT

_FIRST = attrgetter("first")
_PAGES_END = LEAVES * ENTRIES

# How a device model gets at a page to send a packet; the functions are viona's.
_VIONA_TX = tuple(
    Frame(f)
    for f in (
        "thread_start",
        "viona_worker",
        "viona_worker_tx",
        "viona_tx",
        "vq_popchain",
        "vq_map_desc_bufs",
        "viona_hold_page",
        "vmm_drv_gpa2kva",
    )
)
# How a userspace mapping of guest space does, and keeps it.
_SEGVMM = tuple(
    Frame(f)
    for f in ("cmntrap", "trap", "pagefault", "as_fault", "segvmm_fault", "segvmm_fault_space")
)


class Hold(NamedTuple):
    """A page that a client of the vmspace holds: its address, and what it asked to do with it."""

    gpa: int
    prot: int


class MapConflict(Refused):
    """The vmspace will not take a mapping there. Source: vmspace_map(); the ioctl says EFAULT."""

    def __init__(self, reason: str) -> None:
        super().__init__("EFAULT", reason)


class VmSpace:
    """The mappings of one guest and its GPT, under one kernel revision."""

    def __init__(
        self, kernel: Kernel, revision: Revision, npt: PteFormat, *, track_dirty: bool = False
    ) -> None:
        self.kernel = kernel
        self.revision = revision
        self.npt = npt
        self.gpt: Gpt = revision.engine(kernel, npt, track_dirty=track_dirty)
        self.mappings: list[Mapping] = []  # by address
        self.holds: dict[int, Hold] = {}  # those alive, by id
        self.last_hold = 0
        self._recent: Mapping | None = None
        # Whether mapping a page that may not be read fails an ASSERT (panic E).
        self._asserts_readable = (
            revision.map_assert is not None and npt.name == "rvi" and kernel.asserting
        )

    def fork(self, kernel: Kernel) -> VmSpace:
        """Another vmspace with the same mappings, holds and entries, under *kernel*."""
        other = object.__new__(VmSpace)
        other.__dict__.update(self.__dict__)
        other.kernel = kernel
        other.gpt = self.gpt.fork(kernel)
        other.mappings = self.mappings[:]
        other.holds = self.holds.copy()
        return other

    def map(
        self, span: Span, host_pfn: int, prot: int, *, wired: bool = False, mmio: bool = False
    ) -> None:
        """Add a mapping, page-aligned and not empty.

        Raises MapConflict where the range overlaps a mapping or lies too high, and
        KernelPanic where making the tables or wiring fails an assertion; a mapping that
        fails in wiring is there. Source: vmspace_map(), vm_map_wire().
        """
        limit = VMSPACE_END
        if self.revision.may_reach_the_end:
            too_high = not 0 <= span.start < limit or span.end >= REACH
        else:
            too_high = not span.start >= 0 or span.end >= limit
        if too_high:
            raise MapConflict(f"{span} does not lie below the end of the vmspace, {limit:#x}")
        for mapping in self.mappings:
            if mapping.span.overlaps(span):
                raise MapConflict(f"{span} overlaps the mapping {mapping.span}")
        new = Mapping.over(span, host_pfn, prot, self.npt, mmio=mmio)
        with self.kernel.calls(*self._frames(self.revision.paths.make_memmap, span)):
            self.gpt.populate_region(span)
        self._insert(new)
        if wired:
            self._wire(new)

    def restore(self, span: Span, host_pfn: int, prot: int) -> None:
        """Add a mapping whose tables are there already."""
        self._insert(Mapping.over(span, host_pfn, prot, self.npt))

    def unmap(self, span: Span) -> None:
        """Take away the mapping over exactly *span*, its entries, and the tables it leaves idle.

        Raises KernelPanic as the revision's vacate does, and KernelHang while any page is
        held. Source: vm_map_remove(), vmspace_unmap().
        """
        with self.kernel.calls(*self._frames(self.revision.paths.free_memmap, span)):
            if self.holds:
                self._clients_unmap(span)
            self.mappings = [m for m in self.mappings if m.span != span]
            self._recent = None
            self.gpt.unmap_region(span)
            self.gpt.vacate_region(span)

    def _clients_unmap(self, span: Span) -> None:
        """Each client goes through its list of held pages, and never comes to its end.

        The step to the next page takes the next client of the vmspace for one. Source:
        vmm_vm.c, vmc_space_unmap().
        """
        with self.kernel.calls(Frame("vmc_space_unmap", (span.start, span.end))):
            self.kernel.hang(
                ("the lock of the vmspace", "that of a client"),
                {"start": span.start, "end": span.end, "held": next(iter(self.holds.values())).gpa},
            )

    def find(self, page: int) -> Mapping | None:
        """The mapping that a look-up by address finds over page number *page*."""
        recent = self._recent
        if recent is not None and recent.first <= page < recent.end:
            return recent
        i = bisect_right(self.mappings, page, key=_FIRST)
        if i and page < self.mappings[i - 1].end:
            found = self.mappings[i - 1]
            if self._is_ordinary(found):
                self._recent = found
            return found
        return None

    def _is_ordinary(self, mapping: Mapping) -> bool:
        """Whether accesses need no care for what is mapped: only such mappings are remembered."""
        return not mapping.mmio and (bool(mapping.prot & READ) or not self._asserts_readable)

    def access_page(self, page: int, prot: int) -> Access:
        """One access of a vCPU; *prot* is what it wants at once."""
        mapping = self._recent
        if mapping is None or not mapping.first <= page < mapping.end:
            if not 0 <= page < _PAGES_END:
                return Access(0, 0, FC_NOMAP, page << PAGE_SHIFT)
            mapping = self.find(page)
            if mapping is not None and not self._is_ordinary(mapping):
                return self.access(range(page, page + 1), prot)
        touched = self.gpt.access_page(page, prot, None if mapping is None else mapping.backing)
        return touched if touched.fault != HOLE else _to_a_vcpu(touched)

    def access(self, pages: range, prot: int) -> Access:
        """Accesses of a vCPU in ascending order, up to the first that fails.

        A page that no memmap covers is MMIO, and never comes to the fault handler: FC_NOMAP.
        Raises KernelPanic where the fault handler does.
        """
        return self._over_extents(pages, lambda part, over: self._access_extent(part, over, prot))

    def access_by_device(self, pages: range, prot: int) -> Access:
        """A device holds and releases *pages* in ascending order, up to the first that it cannot.

        To a holder every failure is FC_NOMAP. Raises KernelPanic where the look-up fails its
        VERIFY. Source: vmc_hold(), vmp_release(); vm_gpa_hold() before there were holds.
        """
        holds = self.revision.ioctls.holds
        extent = self._hold_extent if holds else self._translate_extent
        return self._over_extents(pages, lambda part, over: extent(part, over, prot))

    def hold(self, page: int, prot: int) -> int | None:
        """A userspace mapping of guest space holds *page*, and keeps it: an id, from 1 on.

        None where there is no such page for it. Raises KernelPanic as access_by_device().
        """
        for part, mapping in self.extents(range(page, page + 1)):
            backing = None if mapping is None else mapping.backing
            touched = self.gpt.access(part, prot, backing, self.gpt.holder)
            if touched.fault == HOLE:
                self._lookup_failed(page << PAGE_SHIFT, _SEGVMM)
            if touched.fault is None:
                self.last_hold += 1
                self.holds[self.last_hold] = Hold(page << PAGE_SHIFT, prot)
                return self.last_hold
        return None

    def release(self, hold_id: int, *, dirty: bool) -> None:
        """Give back a held page; with *dirty*, it was written, and is marked where that is tracked.

        Source: vmp_release().
        """
        held = self.holds.pop(hold_id)
        if held.prot & WRITE and (dirty or not self.revision.ioctls.deferred_dirty):
            page = held.gpa >> PAGE_SHIFT
            self.gpt.access(range(page, page + 1), WRITE, None, self.gpt.device)

    def _over_extents(
        self, pages: range, touch: Callable[[range, Mapping | None], Access]
    ) -> Access:
        """*touch* extent after extent, up to the first failure."""
        done = mapped = 0
        for part, mapping in self.extents(pages):
            touched = touch(part, mapping)
            done += touched.ok
            mapped += touched.mapped
            if touched.fault is not None:
                return Access(done, mapped, touched.fault, touched.gpa)
        if done < len(pages):
            return Access(done, mapped, FC_NOMAP, pages[done] << PAGE_SHIFT)
        return Access(done, mapped)

    def _access_extent(self, pages: range, mapping: Mapping | None, prot: int) -> Access:
        """A vCPU's accesses of *pages*, all under *mapping*."""
        if mapping is not None and mapping.mmio:
            return self.gpt.access(pages, prot, mapping.backing, self.gpt.holder)
        backing = None if mapping is None else mapping.backing
        if mapping is not None and not self._is_ordinary(mapping):
            return self._access_unreadable(pages, mapping, prot)
        return _to_a_vcpu(self.gpt.access(pages, prot, backing))

    def _access_unreadable(self, pages: range, mapping: Mapping, prot: int) -> Access:
        """As _access_extent(), on a kernel that asserts PROT_READ of each page that it maps."""
        absent = self.gpt.first_absent(pages)
        if absent is None:
            return self.gpt.access(pages, prot, mapping.backing)
        before = self.gpt.access(range(pages.start, absent), prot, mapping.backing)
        if before.fault is not None:
            return before
        rest = range(absent, pages.stop)
        rights = self.npt.prot(self.npt.page(0, mapping.prot))
        times = 1 if prot & ~rights else self.gpt.count_absent(rest)
        self._unreadable(absent, self._fault_frames(absent << PAGE_SHIFT), times)
        after = self.gpt.access(rest, prot, mapping.backing)
        return Access(before.ok + after.ok, after.mapped, after.fault, after.gpa)

    def _wire(self, mapping: Mapping) -> None:
        """Put all pages of *mapping* in the table at once. Source: vm_map_wire()."""
        span = mapping.span
        if not mapping.prot & READ and self._asserts_readable:
            frames = self._frames(self.revision.paths.wire, span)
            self._unreadable(span.start >> PAGE_SHIFT, frames, len(span.pages))
        self.gpt.map_wired(span.pages, mapping.backing.cls)

    def _unreadable(self, page: int, frames: tuple[Frame, ...], times: int = 1) -> None:
        """*times* pages from *page* on are mapped without R: panic E."""
        assertion = self.revision.map_assert
        assert assertion is not None
        with self.kernel.calls(*frames):
            self.kernel.assertion_failed(assertion, facts={"gpa": page << PAGE_SHIFT}, times=times)

    def _hold_extent(self, pages: range, mapping: Mapping | None, prot: int) -> Access:
        """A device holds and releases *pages*, all under *mapping*."""
        backing = None if mapping is None else mapping.backing
        touched = self.gpt.access(pages, prot, backing, self.gpt.device)
        if touched.fault is None:
            return touched
        assert touched.gpa is not None
        if touched.fault == HOLE:
            self._lookup_failed(touched.gpa, _VIONA_TX)
        return touched._replace(fault=FC_NOMAP)

    def _translate_extent(self, pages: range, mapping: Mapping | None, prot: int) -> Access:
        """Before there were holds, a device looked at memmaps alone, never at the tables."""
        if mapping is None or mapping.mmio or prot & ~mapping.prot:
            return Access(0, 0, FC_NOMAP, pages.start << PAGE_SHIFT)
        return Access(len(pages), 0)

    def access_many(self, gpas: Sequence[int], prot: int) -> tuple[int, dict[int, str]]:
        """A vCPU's accesses of single pages, each for itself; entries newly set, faults by page.

        The outcome is that of one access after the other. Raises KernelPanic at the page
        where that would have.
        """
        if self._asserts_readable and not all(m.prot & READ for m in self.mappings):
            return self._access_one_by_one(gpas, prot)
        masks: dict[int, int] = {}
        get = masks.get
        for gpa in gpas:
            index = gpa >> LEAF_SHIFT
            masks[index] = get(index, 0) | BIT[gpa >> PAGE_SHIFT & (ENTRIES - 1)]
        mapped = 0
        faults: dict[int, str] = {}
        for index, mask in sorted(masks.items()):  # neighbours are near in memory, too
            if not 0 <= index < LEAVES:
                first = index << ENTRY_BITS
                faults.update((first + i, FC_NOMAP) for i in range(ENTRIES) if mask >> i & 1)
                continue
            for mapping, part in self._mappings_over(index, mask):
                backing = None if mapping is None else mapping.backing
                agent = self.gpt.holder if mapping is not None and mapping.mmio else self.gpt.vcpu
                added, failed = self.gpt.access_entries(index, part, prot, backing, agent)
                mapped += added
                faults.update(failed)
        return mapped, {p: FC_NOMAP if f == HOLE else f for p, f in faults.items()}

    def _access_one_by_one(self, gpas: Sequence[int], prot: int) -> tuple[int, dict[int, str]]:
        """What access_many() is a faster form of."""
        mapped = 0
        faults: dict[int, str] = {}
        for gpa in gpas:
            access = self.access_page(gpa >> PAGE_SHIFT, prot)
            mapped += access.mapped
            if access.fault is not None:
                faults[gpa >> PAGE_SHIFT] = access.fault
        return mapped, faults

    def _mappings_over(self, index: int, mask: int) -> list[tuple[Mapping | None, int]]:
        """The entries *mask* of leaf *index*, cut where the mapping over them changes."""
        base = index << ENTRY_BITS
        mapping = self.find(base)
        if mapping is not None and mapping.end >= base + ENTRIES:
            return [(mapping, mask)]
        parts = []
        for part, over in self.extents(range(base, base + ENTRIES)):
            wanted = mask & _mask(part)
            if wanted:
                parts.append((over, wanted))
        return parts

    def extents(self, pages: range) -> Iterator[tuple[range, Mapping | None]]:
        """*pages*, as far as the tables reach, cut where the mapping found over them changes."""
        lo, hi = max(pages.start, 0), min(pages.stop, _PAGES_END)
        if pages.start < 0:
            return
        while lo < hi:
            mapping = self.find(lo)
            if mapping is not None:
                end = min(hi, mapping.end)
            else:
                i = bisect_right(self.mappings, lo, key=_FIRST)
                end = min(hi, self.mappings[i].first) if i < len(self.mappings) else hi
            yield range(lo, end), mapping
            lo = end

    def _lookup_failed(self, gpa: int, holder: tuple[Frame, ...]) -> None:
        """A hold found a table, an absent entry, and no mapping. Panic B."""
        verify = self.revision.lookup_verify
        if verify is not None:
            path = self._formatted(self.revision.paths.hold, (gpa,))
            with self.kernel.calls(*holder, *path):
                self.kernel.verify_failed(verify, facts={"gpa": gpa})

    def _fault_frames(self, gpa: int) -> tuple[Frame, ...]:
        path = self._formatted(self.revision.paths.guest_fault, (gpa,))
        return (Frame("vm_handle_paging", (gpa,)), *path)

    def _insert(self, new: Mapping) -> None:
        self.mappings.insert(bisect_right(self.mappings, new.first, key=_FIRST), new)

    def _frames(self, functions: tuple[str, ...], span: Span) -> tuple[Frame, ...]:
        return self._formatted(functions, (span.start, span.end))

    def _formatted(self, functions: tuple[str, ...], args: tuple[int, ...]) -> tuple[Frame, ...]:
        return tuple(Frame(f.format(npt=self.npt.name), args) for f in functions)


def _to_a_vcpu(access: Access) -> Access:
    """A hole is MMIO to a vCPU; it goes to instruction emulation, not to the fault handler."""
    return access._replace(fault=FC_NOMAP) if access.fault == HOLE else access


def _mask(part: range) -> int:
    """The entries of their leaf that the pages *part* use."""
    if len(part) == ENTRIES:
        return ALL_ENTRIES
    return ((1 << len(part)) - 1) << (part.start & (ENTRIES - 1))
