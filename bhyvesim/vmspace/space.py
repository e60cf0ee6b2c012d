"""The vmspace: which guest addresses are mapped to what, and the faults that fill its GPT."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from bhyvesim.errors import Frame, Refused
from bhyvesim.gpt.engine import Backing, Fault, Gpt, Touched
from bhyvesim.gpt.leaf import ALL_ENTRIES, BIT, present
from bhyvesim.gpt.levels import ENTRIES, ENTRY_BITS, LEAF_SHIFT, LEAVES, REACH
from bhyvesim.gpt.revisions import Revision
from bhyvesim.gpt.revisions.revision import VMSPACE_END
from bhyvesim.kernel import Kernel
from bhyvesim.pte import PteFormat
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT
from bhyvesim.vmspace.mapping import Mapping

_FIRST = attrgetter("first")
_PAGES_END = LEAVES * ENTRIES


class Stop(NamedTuple):
    """Where an access failed, and how."""

    gpa: int
    fault: Fault


class SpaceAccess(NamedTuple):
    """Pages accessed, entries newly set, and the failure that ended it, if one did."""

    done: int
    mapped: int
    stop: Stop | None


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
        self._recent: Mapping | None = None

    def map(self, span: Span, host_pfn: int, prot: int, *, wired: bool) -> None:
        """Add a mapping, page-aligned and not empty.

        Raises MapConflict where the range overlaps a mapping or lies too high, and
        KernelPanic where making the tables fails a VERIFY. Source: vmspace_map().
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
        new = Mapping.over(span, host_pfn, prot, self.npt)
        with self.kernel.calls(*self._frames(self.revision.paths.make_memmap, span)):
            self.gpt.populate_region(span)
            if wired:
                self.gpt.map_wired(span.pages, new.backing.cls)
        self._insert(new)

    def restore(self, span: Span, host_pfn: int, prot: int) -> None:
        """Add a mapping whose tables are there already."""
        self._insert(Mapping.over(span, host_pfn, prot, self.npt))

    def unmap(self, span: Span) -> None:
        """Take away the mapping over exactly *span*, its entries, and the tables it leaves idle.

        Raises KernelPanic as the revision's vacate does. Source: vm_map_remove(),
        vmspace_unmap().
        """
        with self.kernel.calls(*self._frames(self.revision.paths.free_memmap, span)):
            self.mappings = [m for m in self.mappings if m.span != span]
            self._recent = None
            self.gpt.unmap_region(span)
            self.gpt.vacate_region(span)

    def find(self, page: int) -> Mapping | None:
        """The mapping over page number *page*."""
        recent = self._recent
        if recent is not None and recent.first <= page < recent.end:
            return recent
        i = bisect_right(self.mappings, page, key=_FIRST)
        if i and page < self.mappings[i - 1].end:
            self._recent = self.mappings[i - 1]
            return self._recent
        return None

    def access_page(self, page: int, prot: int) -> SpaceAccess:
        """One guest access; *prot* is what it wants at once."""
        mapping = self._recent
        if mapping is None or not mapping.first <= page < mapping.end:
            if not 0 <= page < _PAGES_END:
                return SpaceAccess(0, 0, Stop(page << PAGE_SHIFT, Fault.NOMAP))
            mapping = self.find(page)
        touched = self.gpt.access_page(page, prot, None if mapping is None else mapping.backing)
        if touched.fault is None:
            return _ONE_MAPPED if touched.mapped else _ONE_SEEN
        return self._stopped(page, touched)

    def access(self, pages: range, prot: int) -> SpaceAccess:
        """Accesses in ascending order, up to the first that fails.

        Raises KernelPanic where the fault handler does.
        """
        done = mapped = 0
        for part, mapping in self._extents(pages):
            touched = self.gpt.access(part, prot, None if mapping is None else mapping.backing)
            done += touched.done
            mapped += touched.mapped
            if touched.fault is not None:
                stopped = self._stopped(part.start + touched.done, touched)
                return SpaceAccess(done, mapped, stopped.stop)
        if done < len(pages):
            return SpaceAccess(done, mapped, Stop(pages[done] << PAGE_SHIFT, Fault.NOMAP))
        return SpaceAccess(done, mapped, None)

    def access_many(self, gpas: Sequence[int], prot: int) -> tuple[int, dict[int, Fault]]:
        """Accesses of single pages, each for itself; returns entries newly set, faults by page.

        The outcome is that of one access after the other. Raises KernelPanic at the page
        where that would have.
        """
        masks: dict[int, int] = {}
        get = masks.get
        for gpa in gpas:
            index = gpa >> LEAF_SHIFT
            masks[index] = get(index, 0) | BIT[gpa >> PAGE_SHIFT & (ENTRIES - 1)]
        if self.revision.lookup_verify is not None:
            holes = self._holes(masks)
            if holes:
                first = next(i for i, gpa in enumerate(gpas) if gpa >> PAGE_SHIFT in holes)
                self.access_many(gpas[:first], prot)
                self.access_page(gpas[first] >> PAGE_SHIFT, prot)
        mapped = 0
        faults: dict[int, Fault] = {}
        for index, mask in sorted(masks.items()):  # neighbours are near in memory, too
            if not 0 <= index < LEAVES:
                first = index << ENTRY_BITS
                faults.update((first + i, Fault.NOMAP) for i in range(ENTRIES) if mask >> i & 1)
                continue
            for backing, part in self._backings(index, mask):
                added, failed = self.gpt.access_entries(index, part, prot, backing)
                mapped += added
                faults.update(failed)
        for page, fault in faults.items():
            if fault is Fault.HOLE:
                faults[page] = Fault.NOMAP
        return mapped, faults

    def _backings(self, index: int, mask: int) -> list[tuple[Backing | None, int]]:
        """The entries *mask* of leaf *index*, cut where the mapping over them changes."""
        base = index << ENTRY_BITS
        mapping = self.find(base)
        if mapping is not None and mapping.end >= base + ENTRIES:
            return [(mapping.backing, mask)]
        parts = []
        for part, over in self._extents(range(base, base + ENTRIES)):
            wanted = mask & _mask(part)
            if wanted:
                parts.append((None if over is None else over.backing, wanted))
        return parts

    def _holes(self, masks: dict[int, int]) -> set[int]:
        """The pages among *masks* whose leaf exists, with no entry and no mapping."""
        found: set[int] = set()
        for index, mask in masks.items():
            for backing, part in self._backings(index, mask):
                leaf = self.gpt.leaves[index] if backing is None else None
                if leaf is not None:
                    absent = part & ~present(leaf)
                    found.update(
                        (index << ENTRY_BITS) + i for i in range(ENTRIES) if absent >> i & 1
                    )
        return found

    def _extents(self, pages: range) -> Iterator[tuple[range, Mapping | None]]:
        """*pages*, as far as the tables reach, cut where the mapping over them changes."""
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

    def _stopped(self, page: int, touched: Touched) -> SpaceAccess:
        """The end of an access in a fault; a hole may be fatal here."""
        gpa = page << PAGE_SHIFT
        fault = touched.fault
        if fault is Fault.HOLE:
            self._lookup_failed(gpa)
            fault = Fault.NOMAP
        assert fault is not None
        return SpaceAccess(touched.done, touched.mapped, Stop(gpa, fault))

    def _lookup_failed(self, gpa: int) -> None:
        """The fault handler found a table, an absent entry, and no mapping. Panic B."""
        verify = self.revision.lookup_verify
        if verify is not None:
            path = (Frame(f.format(npt=self.npt.name)) for f in self.revision.paths.guest_fault)
            with self.kernel.calls(Frame("vm_handle_paging", (gpa,)), *path):
                self.kernel.verify_failed(verify, facts={"gpa": gpa})

    def _insert(self, new: Mapping) -> None:
        self.mappings.insert(bisect_right(self.mappings, new.first, key=_FIRST), new)

    def _frames(self, functions: tuple[str, ...], span: Span) -> tuple[Frame, ...]:
        args = (span.start, span.end)
        return tuple(Frame(f.format(npt=self.npt.name), args) for f in functions)


_ONE_SEEN = SpaceAccess(1, 0, None)
_ONE_MAPPED = SpaceAccess(1, 1, None)


def _mask(part: range) -> int:
    """The entries of their leaf that the pages *part* use."""
    if len(part) == ENTRIES:
        return ALL_ENTRIES
    return ((1 << len(part)) - 1) << (part.start & (ENTRIES - 1))
