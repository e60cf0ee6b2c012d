"""The life of a VM: create, boot, reboot, as its VMM and its guest go about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from bhyvesim.errors import Refused
from bhyvesim.kernel.gpt.diff import gone
from bhyvesim.kernel.gpt.windows import Leaves, entries_set
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import Memmap
from bhyvesim.kernel.results import MachineState
from bhyvesim.ops import ioctls as ops
from bhyvesim.ops.operation import Recorder
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


Done = Callable[[str], None]  # told of each stage of a life that is over, by its name


def build(spec: VmSpec) -> Machine:
    """A machine with the segments and memmaps of *spec*, not yet booted.

    Raises Refused and KernelPanic as the kernel does.
    """
    machine = new_machine(spec)
    allocate(machine, spec)
    return machine


def new_machine(spec: VmSpec, recorder: Recorder | None = None) -> Machine:
    """An empty machine on the kernel that *spec* names; *recorder* is told what is done to it."""
    return ops.Create(**spec.machine_arguments).machine(recorder)


def allocate(machine: Machine, spec: VmSpec) -> None:
    """Make the segments and memmaps of *spec*."""
    for segment in spec.segments:
        ops.AllocMemseg(segment.segid, segment.length, segment.name, segment.host_pfn).do(machine)
    for memmap in spec.mappings:
        ops.MmapMemseg.making(memmap).do(machine)


def boot(machine: Machine, spec: VmSpec) -> Booted:
    """The guest runs, and touches what *spec* says."""
    touches = all_touches(machine) if spec.touches is None else spec.touches
    accessed = mapped = 0
    failures = []
    for touch in touches:
        access = touching(touch).do(machine)
        accessed += access.ok
        mapped += access.mapped
        if access.fault is not None and access.gpa is not None:
            failures.append(Failure(access.gpa, access.fault))
    return Booted(accessed, mapped, tuple(failures))


def reboot(machine: Machine, spec: VmSpec, done: Done = lambda stage: None) -> Rebooted:
    """VM_REINIT; the VMM maps its devmem again; the guest boots. *done* is told of each.

    Raises Refused (EBUSY), and changes nothing, where the VM is paused: its guest cannot boot.
    """
    if machine.state is MachineState.PAUSED:
        raise Refused("EBUSY", "the VM is paused: its guest cannot boot")
    slots = list(machine.slots)
    lost = lost_pages(machine, lambda: ops.Reinit().do(machine))
    done("reinit")
    for memmap in slots:
        if memmap is not None and memmap not in machine.slots:
            ops.MmapMemseg.making(memmap).do(machine)
    done("map")
    booted = boot(machine, spec)
    done("boot")
    return Rebooted(booted, lost, machine.resident, present_pages(machine))


def lost_pages(machine: Machine, operation: Callable[[], object]) -> tuple[tuple[int, int], ...]:
    """Run *operation*; the pages that lost their entries while what maps them stayed.

    As runs ``(gpa, pages)``.
    """
    before = machine.space.gpt.leaves.copy()
    slots = list(machine.slots)
    operation()
    return lost_since(machine, before, slots)


def lost_since(
    machine: Machine, leaves: Leaves, slots: Sequence[Memmap | None]
) -> tuple[tuple[int, int], ...]:
    """The pages that lost their entries since the tables were *leaves*, and the memmaps *slots*.

    As runs ``(gpa, pages)``; without those whose memmap is gone since.
    """
    runs = gone(leaves, machine.space.gpt.leaves)
    return tuple(not_freed(runs, machine.freed_by(slots))) if runs else ()


def not_freed(runs: Iterable[tuple[int, int]], freed: Iterable[Span]) -> Iterator[tuple[int, int]]:
    """What of *runs* ``(gpa, end)`` is in no span of *freed*, as ``(gpa, pages)``."""
    left = list(runs)
    for span in freed:
        left = [
            (at, to)
            for start, end in left
            for at, to in ((start, min(end, span.start)), (max(start, span.end), end))
            if at < to
        ]
    yield from ((at, (end - at) >> PAGE_SHIFT) for at, end in left)


def present_pages(machine: Machine) -> int:
    """The entries that are really set, whatever the kernel's counter says."""
    return entries_set(machine.space.gpt.leaves)


def all_touches(machine: Machine) -> list[TouchSpec]:
    """Writes to RAM and execution of devmem, as far as each memmap permits, by address."""
    touches = []
    for m in machine.memmaps:
        wanted = (WRITE, EXEC, READ) if machine.segs[m.segid].is_sysmem else (EXEC, WRITE, READ)
        access = next(prot for prot in wanted if m.prot & prot)
        touches.append(TouchSpec(m.gpa, m.length, access))
    return touches


def touching(touch: TouchSpec) -> ops.Access:
    """The access of every page that holds a byte of the span, in ascending order."""
    first = touch.gpa >> PAGE_SHIFT
    end = (touch.gpa + touch.length + PAGE_SIZE - 1) >> PAGE_SHIFT
    return ops.Access(touch.gpa, end - first, touch.prot, touch.by)
