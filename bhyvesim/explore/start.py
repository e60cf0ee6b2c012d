"""What a VM is made with, as operations."""

from __future__ import annotations

from contextlib import suppress

from bhyvesim.errors import KernelStop, Refused
from bhyvesim.ops.operation import Operation
from bhyvesim.vm.life import allocate, new_machine
from bhyvesim.vm.spec import VmSpec


def operations_of(spec: VmSpec) -> tuple[Operation, ...]:
    """What makes the segments and memmaps of *spec*, up to the first that fails."""
    done: list[Operation] = []
    with suppress(KernelStop, Refused):
        allocate(new_machine(spec, done.append), spec)
    return tuple(done[1:])  # the first is the create
