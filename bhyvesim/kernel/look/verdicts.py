"""What a vCPU's accesses of an address would come to: tried on a fork, and told from the state."""

from __future__ import annotations

from dataclasses import dataclass

from bhyvesim.errors import KernelPanic
from bhyvesim.kernel.gpt.access import FC_PROT, Access
from bhyvesim.kernel.gpt.leaf import EMPTY
from bhyvesim.kernel.gpt.levels import LEAF_SHIFT, REACH
from bhyvesim.kernel.look.areas import areas, over
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.pte import PteFormat
from bhyvesim.kernel.results import MachineState
from bhyvesim.prot import EXEC, READ, WRITE, format_prot
from bhyvesim.units import PAGE_SHIFT

ACCESSES = (READ, WRITE, EXEC)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One access, *prot*, that was tried: whether it is allowed, and *why*, in plain words.

    ``maps``: the page gets its entry by it, allowed or not. ``fault`` is FC_NOMAP or FC_PROT;
    ``panic`` the message of the panic that it would be.
    """

    prot: int
    allowed: bool
    maps: bool
    fault: str | None
    panic: str | None
    why: str


def verdicts(machine: Machine, gpa: int) -> list[Verdict]:
    """What reading, writing and executing at *gpa* would come to for a vCPU, each for itself.

    Of a machine that has stopped: what its tables and memmaps would answer if it ran on.
    """
    return [verdict(machine, gpa, prot) for prot in ACCESSES]


def verdict(machine: Machine, gpa: int, prot: int) -> Verdict:
    """What one access would come to; *machine* stays as it is."""
    fork = running_fork(machine)
    before = fork.space.gpt.entry(gpa >> PAGE_SHIFT) if gpa < REACH else 0
    logged = len(fork.kernel.warnings)
    try:
        access = fork.access(gpa, 1, prot)
    except KernelPanic as panic:
        why = f"would panic the kernel (panic {panic.letter}): {panic.message}"
        return Verdict(prot, False, False, None, panic.message, why)
    if access.fault is None:
        why = _why_allowed(fork, gpa, before)
    elif access.fault == FC_PROT:
        why = f"{FC_PROT}: {_why_protected(fork, gpa, before, access)}"
    else:
        why = _why_unmapped(fork, gpa)
    if len(fork.kernel.warnings) > logged:
        why += "; the kernel logs a failed assertion"
    return Verdict(prot, access.fault is None, access.mapped > 0, access.fault, None, why)


def running_fork(machine: Machine) -> Machine:
    """A fork to try things on: it runs, and its tables are those that hardware reaches."""
    fork = machine.fork()
    fork.state = MachineState.RUNNING
    gpt = fork.space.gpt
    for index in gpt.twins:  # of two equal tables only the newer, empty one is linked
        gpt.leaves.assign(index, index + 1, EMPTY)
    gpt.twins = ()
    return fork


def _why_allowed(after: Machine, gpa: int, before: int) -> str:
    entry = after.space.gpt.entry(gpa >> PAGE_SHIFT)
    if not before:
        return f"no entry yet: a fault would map it as {_rights(after.npt, entry)}"
    uncovered = "" if over(areas(after), gpa) else ", though no memmap covers it"
    new = [name for name in after.npt.flags(entry & ~before) if name in ("accessed", "dirty")]
    marks = f"; this would set {' and '.join(new)}" if new else ""
    return f"the entry permits {_rights(after.npt, before)}{uncovered}{marks}"


def _why_protected(after: Machine, gpa: int, before: int, access: Access) -> str:
    if before:
        return f"the entry permits {_rights(after.npt, before)}"
    if access.mapped:
        entry = after.space.gpt.entry(gpa >> PAGE_SHIFT)
        return (
            f"a fault would map the page as {_rights(after.npt, entry)}, which does not permit "
            "it; the page stays mapped"
        )
    area = over(areas(after), gpa)
    assert area is not None
    return f"no entry yet, and what is mapped there permits {format_prot(area.prot)}"


def _why_unmapped(after: Machine, gpa: int) -> str:
    """Why an access is FC_NOMAP; it changed nothing, so *after* is as before."""
    if gpa >= REACH:
        return "MMIO: no memmap can cover it; four levels of tables end at 2^48"
    if over(areas(after), gpa) is None:
        return "MMIO: no memmap covers it"
    if after.space.find(gpa >> PAGE_SHIFT) is None:
        return "FC_NOMAP: a memmap covers it, but look-ups by address find nothing from 2^46 on"
    if after.space.gpt.leaves[gpa >> LEAF_SHIFT] is None:
        return "FC_NOMAP: its leaf table is gone, and this kernel makes tables with memmaps only"
    return "FC_NOMAP: this kernel's fault handler maps nothing there"


def _rights(npt: PteFormat, entry: int) -> str:
    return format_prot(npt.prot(entry))
