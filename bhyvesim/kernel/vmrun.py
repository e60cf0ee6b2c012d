"""What the VMM sees of a vCPU's access that did not succeed: how VM_RUN comes back."""

from __future__ import annotations

from bhyvesim.kernel.gpt.access import Access
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import APIC_SPAN

MMIO, EFAULT, PAGING = VM_RUN_WORDS = ("mmio", "EFAULT", "paging")


def vm_run_sees(machine: Machine, access: Access) -> str | None:
    """How VM_RUN comes back after *access* by a vCPU; None where all of it succeeded.

    ``mmio``: no memmap covers the page, so the instruction is emulated and the fault handler
    never asked. Else the handler failed: VM_RUN itself fails with ``EFAULT``, or, from 15844
    on, returns an exit of the kind ``paging``. Source: vm_run(), vm_handle_paging().
    """
    if access.gpa is None:
        return None
    spans = [memmap.span for memmap in machine.memmaps]
    if machine.apicv:
        spans.append(APIC_SPAN)
    if not any(span.start <= access.gpa < span.end for span in spans):
        return MMIO
    return PAGING if machine.revision.ioctls.paging_exit else EFAULT
