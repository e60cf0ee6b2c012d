"""The vmspace: which guest addresses are mapped to what, and the GPT under them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import NamedTuple

from bhyvesim.errors import NotModelled, Refused
from bhyvesim.kernel.calls import Kernel, over
from bhyvesim.kernel.gpt.engine import Gpt
from bhyvesim.kernel.gpt.levels import ENTRIES, LEAVES, REACH
from bhyvesim.kernel.mapping import Mapping
from bhyvesim.kernel.pte import PteFormat
from bhyvesim.kernel.revisions import Revision
from bhyvesim.kernel.revisions.revision import VMSPACE_END
from bhyvesim.prot import READ
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT, PAGE_SIZE

_FIRST = attrgetter("first")
PAGES_END = LEAVES * ENTRIES


def at(page: int, prot: int) -> dict[str, int]:
    """The arguments of functions that take one page."""
    return {"gpa": page << PAGE_SHIFT, "prot": prot}


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
        self.paths = revision.paths[npt.name]
        self.npt = npt
        self.gpt: Gpt = revision.engine(kernel, npt, track_dirty=track_dirty)
        self.mappings: list[Mapping] = []  # by address
        self.holds: dict[int, Hold] = {}  # those alive, by id
        self.last_hold = 0
        self.recent: Mapping | None = None
        # Whether mapping a page that may not be read fails an ASSERT (panic E).
        self.asserts_readable = (
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
        self,
        span: Span,
        host_pfn: int,
        prot: int,
        *,
        segoff: int = 0,
        wired: bool = False,
        mmio: bool = False,
    ) -> None:
        """Add a mapping, page-aligned and not empty.

        Raises MapConflict where the range overlaps a mapping or lies too high, and
        KernelPanic where making the tables or wiring fails an assertion; a mapping that
        fails in wiring is there. Source: vmspace_map(), vm_map_wire().
        """
        values = {**over(span), "prot": prot, "segoff": segoff}
        with self.kernel.calls(self.paths.make_memmap, values):
            self._check_free(span)
            new = Mapping.over(span, host_pfn, prot, self.npt, mmio=mmio)
            self.gpt.populate_region(span)
        self._insert(new)
        if wired:
            self._wire(new)

    def _check_free(self, span: Span) -> None:
        """Raises MapConflict where no mapping over *span* can be.

        Raises NotModelled where one can, and reaches the addresses at which the tables' indices
        wrap: what such a kernel makes of it is not known.
        """
        start_only = self.revision.may_reach_the_end
        if span.start < 0 or (span.start if start_only else span.end) >= VMSPACE_END:
            raise MapConflict(f"{span} does not lie below the end of the vmspace, {VMSPACE_END:#x}")
        for mapping in self.mappings:
            if mapping.span.overlaps(span):
                raise MapConflict(f"{span} overlaps the mapping {mapping.span}")
        if span.end >= REACH:
            raise NotModelled(
                f"{span} reaches {REACH:#x}: {self.revision.name} takes that, and what it makes "
                "of it is not modelled",
                f"a range that ends below {REACH:#x}",
            )

    def restore(self, span: Span, host_pfn: int, prot: int) -> None:
        """Add a mapping whose tables are there already."""
        self._insert(Mapping.over(span, host_pfn, prot, self.npt))

    def unmap(self, span: Span) -> None:
        """Take away the mapping over exactly *span*, its entries, and the tables it leaves idle.

        Raises KernelPanic as the revision's vacate does, and KernelHang while any page is
        held. Source: vm_map_remove(), vmspace_unmap().
        """
        with self.kernel.calls(self.paths.free_memmap, over(span)):
            if self.holds:
                self._clients_unmap(span)
            self.mappings = [m for m in self.mappings if m.span != span]
            self.recent = None
            self.gpt.unmap_region(span)
            self.gpt.vacate_region(span)

    def _clients_unmap(self, span: Span) -> None:
        """Each client goes through its list of held pages, and never comes to its end.

        The step to the next page takes the next client of the vmspace for one. Source:
        vmm_vm.c, vmc_space_unmap().
        """
        with self.kernel.calls(("vmc_space_unmap",), over(span)):
            self.kernel.hang(
                ("the lock of the vmspace", "that of a client"),
                {"start": span.start, "end": span.end, "held": next(iter(self.holds.values())).gpa},
            )

    def find(self, page: int) -> Mapping | None:
        """The mapping that a look-up by address finds over page number *page*."""
        recent = self.recent
        if recent is not None and recent.first <= page < recent.end:
            return recent
        i = bisect_right(self.mappings, page, key=_FIRST)
        if i and page < self.mappings[i - 1].end:
            found = self.mappings[i - 1]
            if self.is_ordinary(found):
                self.recent = found
            return found
        return None

    def is_ordinary(self, mapping: Mapping) -> bool:
        """Whether accesses need no care for what is mapped: only such mappings are remembered."""
        return not mapping.mmio and (bool(mapping.prot & READ) or not self.asserts_readable)

    def extents(self, pages: range) -> Iterator[tuple[range, Mapping | None]]:
        """*pages*, as far as the tables reach, cut where the mapping found over them changes."""
        lo, hi = max(pages.start, 0), min(pages.stop, PAGES_END)
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

    def _wire(self, mapping: Mapping) -> None:
        """Put all pages of *mapping* in the table at once. Source: vm_map_wire()."""
        pages = mapping.span.pages
        values = {**over(mapping.span), "gpa": mapping.span.start, "prot": mapping.prot}
        calls = self.kernel.calls
        times = len(pages)
        with calls(self.paths.wire, values), calls(self.paths.wire_page, values, times, PAGE_SIZE):
            self.check_readable(pages.start, mapping, times)
            with self.mapping_pages(pages.start, mapping.prot, times):
                self.gpt.map_wired(pages, mapping.backing.cls)

    def check_readable(self, page: int, mapping: Mapping, times: int) -> None:
        """*times* pages from *page* on are about to be mapped; panic E if without R."""
        assertion = self.revision.map_assert
        if self.asserts_readable and not mapping.prot & READ and assertion is not None:
            self.kernel.assertion_failed(assertion, facts={"gpa": page << PAGE_SHIFT}, times=times)

    @contextmanager
    def mapping_pages(self, page: int, prot: int, times: int) -> Iterator[None]:
        """Within, *times* pages from *page* on get their entries."""
        values = at(page, prot)
        with self.kernel.calls(self.paths.new_table, values, times, PAGE_SIZE):
            pass
        with self.kernel.calls(("vmm_gpt_map",), values, times, PAGE_SIZE) as call:
            yield
            call.result = 1

    def _insert(self, new: Mapping) -> None:
        self.mappings.insert(bisect_right(self.mappings, new.first, key=_FIRST), new)
