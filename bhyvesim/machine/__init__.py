"""A virtual machine on a simulated kernel: segments, memmaps, reinit, destroy."""

from bhyvesim.machine.vm import Access, BatchAccess, Machine, MachineState

__all__ = ["Access", "BatchAccess", "Machine", "MachineState"]
