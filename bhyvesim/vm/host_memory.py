"""What is said of a host: its memory, how much of it others hold, and how far addresses reach."""

from __future__ import annotations

from collections.abc import Iterable

from bhyvesim.kernel.reservoir import HostMemory
from bhyvesim.values import Value

MIN_PHYS_BITS, MAX_PHYS_BITS = 32, 52  # what a processor's addresses may have


class HostSpec(Value):
    """A host. Bytes; None where it is not known, and so nothing follows from it.

    ``reservoir`` is its whole size; ``taken`` is what of it VMs hold that are not simulated
    here, ``transient`` what such VMs hold beside it. ``phys_bits`` is the width of physical
    addresses.
    """

    limit: int | None = None
    reservoir: int = 0
    taken: int = 0
    transient: int = 0
    phys_bits: int | None = None

    def memory(self, vms: Iterable[tuple[int, bool]] = ()) -> HostMemory:
        """Its memory while there are *vms*: of each the bytes, and whether of the reservoir."""
        memory = HostMemory(self.limit, self.reservoir - self.taken, self.taken, self.transient)
        for length, reserved in vms:
            memory.count(length, reserved=reserved)
        return memory
