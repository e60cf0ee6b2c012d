"""Accesses of guest memory while somebody listens: the same, told call by call.

A run of neighbouring pages that fare alike is one firing with a count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import ClassVar, NamedTuple

from bhyvesim.kernel.client import VmClient, to_a_vcpu
from bhyvesim.kernel.gpt.access import FC_NOMAP, FC_PROT, HOLE, Access
from bhyvesim.kernel.gpt.engine import Agent, Gpt
from bhyvesim.kernel.gpt.leaf import (
    ALL_ENTRIES,
    EMPTY,
    Leaf,
    classes,
    flags_of,
    present,
    runs_of,
)
from bhyvesim.kernel.gpt.levels import ENTRY_BITS
from bhyvesim.kernel.mapping import Mapping
from bhyvesim.kernel.stacks import RUN, SEGVMM, VIONA_TX
from bhyvesim.kernel.vmspace import at
from bhyvesim.units import PAGE_SHIFT, PAGE_SIZE

# What functions that end a fault return. Source: vm/faultcode.h.
_FAULTCODES = {FC_NOMAP: 3, FC_PROT: 4, HOLE: 3}


class _Run(NamedTuple):
    """Neighbouring pages whose entries are of one class, or who all have none.

    Their leaves are alike; ``cls`` is None of absent ones.
    """

    pages: range
    cls: int | None
    leaf: Leaf | None


class WatchedClient(VmClient):
    """Does what a :class:`VmClient` does, and lets the calls on the way be heard."""

    __slots__ = ()
    outer: ClassVar[tuple[str, ...]] = ()

    def access_page(self, page: int, prot: int) -> Access:
        return self.access(range(page, page + 1), prot)

    def access(self, pages: range, prot: int) -> Access:
        with self.kernel.calls(RUN):
            return super().access(pages, prot)

    def access_many(self, gpas: Sequence[int], prot: int) -> tuple[int, dict[int, str]]:
        return self.access_one_by_one(gpas, prot)

    def access_extent(self, pages: range, mapping: Mapping | None, prot: int) -> Access:
        if mapping is None:  # MMIO never comes to the fault handler
            return super().access_extent(pages, mapping, prot)
        agent = self.gpt.holder if mapping.mmio else self.gpt.vcpu
        return self._by_runs(pages, lambda run: self._vcpu_run(run, mapping, prot, agent))

    def _vcpu_run(self, run: _Run, mapping: Mapping, prot: int, agent: Agent) -> Access:
        why = self._refusal(run, mapping, prot)
        first = run.pages.start
        path = self.space.paths.guest_fault
        if why is not None:
            with self.kernel.calls(("vm_handle_paging",), at(first, prot)) as outer:
                self._all_return(path, at(first, prot), _FAULTCODES[why])
                outer.result = None
        elif run.cls is None:
            retried = not prot & ~self.npt.prot(flags_of(mapping.backing.cls))
            times = len(run.pages) if retried else 1
            with self.kernel.calls(("vm_handle_paging", *path), at(first, prot), times, PAGE_SIZE):
                self.space.check_readable(first, mapping, times)
                with self.space.mapping_pages(first, mapping.prot, times):
                    return self.gpt.access(run.pages, prot, mapping.backing, agent)
        return to_a_vcpu(self.gpt.access(run.pages, prot, mapping.backing, agent))

    def _refusal(self, run: _Run, mapping: Mapping | None, prot: int) -> str | None:
        """How an access of *run* fails, at its first page; None: the pages are there, or come."""
        if run.cls is not None:
            return FC_PROT if prot & ~self.npt.prot(flags_of(run.cls)) else None
        return self.gpt.absent(run.leaf, None if mapping is None else mapping.backing, prot)

    def _all_return(self, path: tuple[str, ...], values: dict[str, int], result: int) -> None:
        """The functions *path* call one another, and all return *result*."""
        if path:
            with self.kernel.calls(path[:1], values) as call:
                self._all_return(path[1:], values, result)
                call.result = result

    def access_by_device(self, pages: range, prot: int) -> Access:
        with self.kernel.calls(VIONA_TX if self.space.revision.ioctls.holds else ()):
            return super().access_by_device(pages, prot)

    def hold_extent(self, pages: range, mapping: Mapping | None, prot: int) -> Access:
        def hold_and_release(run: _Run) -> Access:
            touched = self._held(run, mapping, prot, self.gpt.device)
            if touched.fault is not None:
                return touched._replace(fault=FC_NOMAP)
            with self.kernel.calls(self.space.paths.release, {}, touched.ok):
                return touched

        return self._by_runs(pages, hold_and_release)

    def translate_extent(self, pages: range, mapping: Mapping | None, prot: int) -> Access:
        touched = super().translate_extent(pages, mapping, prot)
        times = touched.ok or 1
        values = at(pages.start, prot)
        with self.kernel.calls(self.space.paths.hold, values, times, PAGE_SIZE) as held:
            held.result = None if touched.ok else 0
        if touched.ok:
            with self.kernel.calls(self.space.paths.release, {}, times):
                pass
        return touched

    def hold(self, page: int, prot: int) -> int | None:
        with self.kernel.calls(SEGVMM):
            for part, mapping in self.space.extents(range(page, page + 1)):
                for run in _runs(self.gpt, part):
                    touched = self._held(run, mapping, prot, self.gpt.holder)
                    return self.keep(page, prot) if touched.fault is None else None
        return None

    def release(self, hold_id: int, *, dirty: bool) -> None:
        with self.kernel.calls(self.space.paths.release):
            super().release(hold_id, dirty=dirty)

    def _held(self, run: _Run, mapping: Mapping | None, prot: int, agent: Agent) -> Access:
        """Holds of the pages of *run*, each for itself, within the calls of the holder."""
        why = self._refusal(run, mapping, prot)
        first = run.pages.start
        times = 1 if why else len(run.pages)
        hold, lookup = self.space.paths.hold
        backing = None if mapping is None else mapping.backing
        calls, values = self.kernel.calls, at(first, prot)
        with (
            calls((hold,), values, times, PAGE_SIZE) as held,
            calls((lookup,), values, times, PAGE_SIZE) as looked,
        ):
            if why == HOLE:
                self.lookup_failed(first << PAGE_SHIFT, ())
            if why is not None:
                looked.result = _FAULTCODES[why]
                return Access(0, 0, why, first << PAGE_SHIFT)
            held.result = None  # a pointer
            if run.cls is None and mapping is not None:
                with self.space.mapping_pages(first, mapping.prot, times):
                    return self.gpt.access(run.pages, prot, backing, agent)
            return self.gpt.access(run.pages, prot, backing, agent)

    def _by_runs(self, pages: range, touch: Callable[[_Run], Access]) -> Access:
        """*touch* run after run, up to the first failure."""
        done = mapped = 0
        for run in _runs(self.gpt, pages):
            touched = touch(run)
            done += touched.ok
            mapped += touched.mapped
            if touched.fault is not None:
                return Access(done, mapped, touched.fault, touched.gpa)
        return Access(done, mapped)


def _runs(gpt: Gpt, pages: range) -> Iterator[_Run]:
    """*pages* as runs that fare alike. What one is used for may change the leaves of later ones."""
    for piece in gpt.pieces(pages):
        base = piece.first << ENTRY_BITS
        rows = _rows(piece.leaf or EMPTY, piece.mask)
        if len(rows) == 1 and piece.mask == ALL_ENTRIES:
            yield _Run(range(base, piece.end << ENTRY_BITS), rows[0][2], piece.leaf)
            continue
        for index in range(piece.first, piece.end):
            base = index << ENTRY_BITS
            for first, end, cls in rows:
                yield _Run(range(base + first, base + end), cls, piece.leaf)


def _rows(leaf: Leaf, mask: int) -> list[tuple[int, int, int | None]]:
    """``(first index, end index, class)`` of the entries *mask*, by index; None: absent."""
    wanted: dict[int | None, int] = {None: mask & ~present(leaf)}
    wanted.update((cls, bits & mask) for cls, bits in classes(leaf).items())
    return sorted(
        ((first, end, cls) for cls, bits in wanted.items() for first, end in runs_of(bits)),
        key=itemgetter(0),
    )
