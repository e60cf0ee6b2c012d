"""Who gets at guest memory through a vmspace: vCPUs by faults, devices and mappings by holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from bhyvesim.kernel.gpt.access import FC_NOMAP, HOLE, Access
from bhyvesim.kernel.gpt.leaf import ALL_ENTRIES, BIT
from bhyvesim.kernel.gpt.levels import ENTRIES, ENTRY_BITS, LEAF_SHIFT, LEAVES
from bhyvesim.kernel.mapping import Mapping
from bhyvesim.kernel.stacks import RUN, SEGVMM, VIONA_TX
from bhyvesim.kernel.vmspace import PAGES_END, Hold, VmSpace, at
from bhyvesim.prot import READ, WRITE
from bhyvesim.units import PAGE_SHIFT


class VmClient:
    """Accesses of guest memory through *space*."""

    __slots__ = ("gpt", "kernel", "npt", "space")
    outer: ClassVar[tuple[str, ...]] = RUN  # under way at every access of a vCPU, and not said

    def __init__(self, space: VmSpace) -> None:
        self.space = space
        self.kernel = space.kernel
        self.npt = space.npt
        self.gpt = space.gpt

    def access_page(self, page: int, prot: int) -> Access:
        """One access of a vCPU; *prot* is what it wants at once."""
        mapping = self.space.recent
        if mapping is None or not mapping.first <= page < mapping.end:
            if not 0 <= page < PAGES_END:
                return Access(0, 0, FC_NOMAP, page << PAGE_SHIFT)
            mapping = self.space.find(page)
            if mapping is not None and not self.space.is_ordinary(mapping):
                return self.access(range(page, page + 1), prot)
        touched = self.gpt.access_page(page, prot, None if mapping is None else mapping.backing)
        return touched if touched.fault != HOLE else to_a_vcpu(touched)

    def access(self, pages: range, prot: int) -> Access:
        """Accesses of a vCPU in ascending order, up to the first that fails.

        A page that no memmap covers is MMIO, and never comes to the fault handler: FC_NOMAP.
        Raises KernelPanic where the fault handler does.
        """
        return self.over_extents(pages, lambda part, over: self.access_extent(part, over, prot))

    def access_by_device(self, pages: range, prot: int) -> Access:
        """A device holds and releases *pages* in ascending order, up to the first that it cannot.

        To a holder every failure is FC_NOMAP. Raises KernelPanic where the look-up fails its
        VERIFY. Source: vmc_hold(), vmp_release(); vm_gpa_hold() before there were holds.
        """
        holds = self.space.revision.ioctls.holds
        extent = self.hold_extent if holds else self.translate_extent
        return self.over_extents(pages, lambda part, over: extent(part, over, prot))

    def hold(self, page: int, prot: int) -> int | None:
        """A userspace mapping of guest space holds *page*, and keeps it: an id, from 1 on.

        None where there is no such page for it. Raises KernelPanic as access_by_device().
        """
        for part, mapping in self.space.extents(range(page, page + 1)):
            backing = None if mapping is None else mapping.backing
            touched = self.gpt.access(part, prot, backing, self.gpt.holder)
            if touched.fault == HOLE:
                self.lookup_failed(page << PAGE_SHIFT, (*SEGVMM, *self.space.paths.hold))
            if touched.fault is None:
                return self.keep(page, prot)
        return None

    def keep(self, page: int, prot: int) -> int:
        """Note that *page* is held; the id of the hold."""
        space = self.space
        space.last_hold += 1
        space.holds[space.last_hold] = Hold(page << PAGE_SHIFT, prot)
        return space.last_hold

    def release(self, hold_id: int, *, dirty: bool) -> None:
        """Give back a held page; with *dirty*, it was written, and is marked where that is tracked.

        Source: vmp_release().
        """
        held = self.space.holds.pop(hold_id)
        if held.prot & WRITE and (dirty or not self.space.revision.ioctls.deferred_dirty):
            page = held.gpa >> PAGE_SHIFT
            self.gpt.access(range(page, page + 1), WRITE, None, self.gpt.device)

    def over_extents(
        self, pages: range, touch: Callable[[range, Mapping | None], Access]
    ) -> Access:
        """*touch* extent after extent, up to the first failure."""
        done = mapped = 0
        for part, mapping in self.space.extents(pages):
            touched = touch(part, mapping)
            done += touched.ok
            mapped += touched.mapped
            if touched.fault is not None:
                return Access(done, mapped, touched.fault, touched.gpa)
        if done < len(pages):
            return Access(done, mapped, FC_NOMAP, pages[done] << PAGE_SHIFT)
        return Access(done, mapped)

    def access_extent(self, pages: range, mapping: Mapping | None, prot: int) -> Access:
        """A vCPU's accesses of *pages*, all under *mapping*."""
        if mapping is not None and mapping.mmio:
            return self.gpt.access(pages, prot, mapping.backing, self.gpt.holder)
        backing = None if mapping is None else mapping.backing
        if mapping is not None and not self.space.is_ordinary(mapping):
            return self._access_unreadable(pages, mapping, prot)
        return to_a_vcpu(self.gpt.access(pages, prot, backing))

    def _access_unreadable(self, pages: range, mapping: Mapping, prot: int) -> Access:
        """As access_extent(), on a kernel that asserts PROT_READ of each page that it maps."""
        absent = self.gpt.first_absent(pages)
        if absent is None:
            return self.gpt.access(pages, prot, mapping.backing)
        before = self.gpt.access(range(pages.start, absent), prot, mapping.backing)
        if before.fault is not None:
            return before
        rest = range(absent, pages.stop)
        rights = self.npt.prot(self.npt.page(0, mapping.prot))
        times = 1 if prot & ~rights else self.gpt.count_absent(rest)
        path = ("vm_handle_paging", *self.space.paths.guest_fault)
        with self.kernel.calls(path, at(absent, prot)):
            self.space.check_readable(absent, mapping, times)
        after = self.gpt.access(rest, prot, mapping.backing)
        return Access(before.ok + after.ok, after.mapped, after.fault, after.gpa)

    def hold_extent(self, pages: range, mapping: Mapping | None, prot: int) -> Access:
        """A device holds and releases *pages*, all under *mapping*."""
        backing = None if mapping is None else mapping.backing
        touched = self.gpt.access(pages, prot, backing, self.gpt.device)
        if touched.fault is None:
            return touched
        assert touched.gpa is not None
        if touched.fault == HOLE:
            self.lookup_failed(touched.gpa, (*VIONA_TX, *self.space.paths.hold))
        return touched._replace(fault=FC_NOMAP)

    def translate_extent(self, pages: range, mapping: Mapping | None, prot: int) -> Access:
        """Before there were holds, a device looked at memmaps alone, never at the tables."""
        if mapping is None or mapping.mmio or prot & ~mapping.prot:
            return Access(0, 0, FC_NOMAP, pages.start << PAGE_SHIFT)
        return Access(len(pages), 0)

    def access_many(self, gpas: Sequence[int], prot: int) -> tuple[int, dict[int, str]]:
        """A vCPU's accesses of single pages, each for itself; entries newly set, faults by page.

        The outcome is that of one access after the other. Raises KernelPanic at the page
        where that would have.
        """
        if self.space.asserts_readable and not all(m.prot & READ for m in self.space.mappings):
            return self.access_one_by_one(gpas, prot)
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

    def access_one_by_one(self, gpas: Sequence[int], prot: int) -> tuple[int, dict[int, str]]:
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
        mapping = self.space.find(base)
        if mapping is not None and mapping.end >= base + ENTRIES:
            return [(mapping, mask)]
        parts = []
        for part, over in self.space.extents(range(base, base + ENTRIES)):
            wanted = mask & _mask(part)
            if wanted:
                parts.append((over, wanted))
        return parts

    def lookup_failed(self, gpa: int, path: tuple[str, ...]) -> None:
        """A hold found, by *path*, a table, an absent entry, and no mapping. Panic B."""
        verify = self.space.revision.lookup_verify
        if verify is not None:
            with self.kernel.calls(path, {"gpa": gpa}):
                self.kernel.verify_failed(verify, facts={"gpa": gpa})


def to_a_vcpu(access: Access) -> Access:
    """A hole is MMIO to a vCPU; it goes to instruction emulation, not to the fault handler."""
    return access._replace(fault=FC_NOMAP) if access.fault == HOLE else access


def _mask(part: range) -> int:
    """The entries of their leaf that the pages *part* use."""
    if len(part) == ENTRIES:
        return ALL_ENTRIES
    return ((1 << len(part)) - 1) << (part.start & (ENTRIES - 1))
