"""The life of a VM: create, boot, reboot, as its VMM and its guest go about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bhyvesim.kernel.gpt.access import Access
from bhyvesim.kernel.gpt.rows import PteRow, pte_rows
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import Memmap
from bhyvesim.prot import EXEC, READ, WRITE
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT, PAGE_SIZE
from bhyvesim.vm.spec import TouchSpec, VmSpec


class Failure(NamedTuple):
    """An access of the guest that failed: FC_NOMAP or FC_PROT at the page *gpa*."""

    gpa: int
    fault: str


class Booted(NamedTuple):
    """What a guest's start came to: pages accessed, entries newly set, accesses that failed."""

    accessed: int
    mapped: int
    failures: tuple[Failure, ...]


class Rebooted(NamedTuple):
    """What a reboot came to.

    ``lost``: runs of pages that lost their entries though no memmap of theirs was
    freed, as ``(gpa, pages)``; ``resident`` is the kernel's own page counter afterwards,
    ``present`` the number of entries that are really set.
    """

    booted: Booted
    lost: tuple[tuple[int, int], ...]
    resident: int
    present: int


def build(spec: VmSpec) -> Machine:
    """A machine with the segments and memmaps of *spec*, not yet booted.

    Raises Refused and KernelPanic as the kernel does.
    """
    machine = new_machine(spec)
    allocate(machine, spec)
    return machine


def new_machine(spec: VmSpec) -> Machine:
    """An empty machine on the kernel that *spec* names."""
    return Machine(**spec.machine_arguments)


def allocate(machine: Machine, spec: VmSpec) -> None:
    """Make the segments and memmaps of *spec*."""
    for segment in spec.segments:
        machine.alloc_memseg(segment.segid, segment.length, segment.name, segment.host_pfn)
    for memmap in spec.mappings:
        mmap(machine, memmap)


def mmap(machine: Machine, memmap: Memmap) -> None:
    """Make *memmap*, in the lowest free slot."""
    m = memmap
    machine.mmap_memseg(m.gpa, m.segid, m.segoff, m.length, m.prot, m.wired)


def boot(machine: Machine, spec: VmSpec) -> Booted:
    """The guest runs, and touches what *spec* says."""
    touches = all_touches(machine) if spec.touches is None else spec.touches
    accessed = mapped = 0
    failures = []
    for touch in touches:
        access = touch_span(machine, touch)
        accessed += access.ok
        mapped += access.mapped
        if access.fault is not None and access.gpa is not None:
            failures.append(Failure(access.gpa, access.fault))
    return Booted(accessed, mapped, tuple(failures))


def reboot(machine: Machine, spec: VmSpec) -> Rebooted:
    """VM_REINIT; the VMM maps its devmem again; the guest boots."""
    slots = list(machine.slots)
    lost = lost_pages(machine, machine.reinit)
    for m in slots:
        if m is None or m in machine.slots:
            continue
        mmap(machine, m)
    booted = boot(machine, spec)
    return Rebooted(booted, lost, machine.resident, present_pages(machine))


def lost_pages(machine: Machine, operation: Callable[[], object]) -> tuple[tuple[int, int], ...]:
    """Run *operation*; the pages that lost their entries while what maps them stayed.

    As runs ``(gpa, pages)``.
    """
    before = pte_rows(machine.space.gpt)
    slots = list(machine.slots)
    operation()
    return _lost(before, machine.freed_by(slots), pte_rows(machine.space.gpt))


def present_pages(machine: Machine) -> int:
    """The entries that are really set, whatever the kernel's counter says."""
    return sum(row.npages for row in pte_rows(machine.space.gpt))


def all_touches(machine: Machine) -> list[TouchSpec]:
    """Writes to RAM and execution of devmem, as far as each memmap permits, by address."""
    touches = []
    for m in machine.memmaps:
        wanted = (WRITE, EXEC, READ) if machine.segs[m.segid].is_sysmem else (EXEC, WRITE, READ)
        access = next(prot for prot in wanted if m.prot & prot)
        touches.append(TouchSpec(m.gpa, m.length, access))
    return touches


def touch_span(machine: Machine, touch: TouchSpec) -> Access:
    """Access every page that holds a byte of the span, in ascending order."""
    first = touch.gpa >> PAGE_SHIFT
    end = (touch.gpa + touch.length + PAGE_SIZE - 1) >> PAGE_SHIFT
    return machine.access(touch.gpa, end - first, touch.prot, touch.by)


def _lost(
    before: list[PteRow], freed: list[Span], after: list[PteRow]
) -> tuple[tuple[int, int], ...]:
    """The pages of *before* that are not in *after* and not in what was *freed*."""
    there = [(row.gpa, row.gpa + (row.npages << PAGE_SHIFT)) for row in after]
    explained = sorted([*there, *((span.start, span.end) for span in freed)])
    lost: list[tuple[int, int]] = []
    i = 0
    for row in before:
        at, end = row.gpa, row.gpa + (row.npages << PAGE_SHIFT)
        while i and explained[i - 1][1] > at:
            i -= 1
        while at < end:
            while i < len(explained) and explained[i][1] <= at:
                i += 1
            start, stop = explained[i] if i < len(explained) else (end, end)
            if start > at:
                _append_run(lost, at, min(start, end))
            at = max(at, stop)
    return tuple((at, (end - at) >> PAGE_SHIFT) for at, end in lost)


def _append_run(runs: list[tuple[int, int]], start: int, end: int) -> None:
    if runs and runs[-1][1] == start:
        runs[-1] = (runs[-1][0], end)
    else:
        runs.append((start, end))
