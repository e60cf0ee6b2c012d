"""What a machine answers with, and what it still answers to."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class MachineState(Enum):
    """What a machine still answers to."""

    RUNNING = "running"
    PAUSED = "paused"  # it answers to all but its vCPUs
    PANICKED = "panicked"
    HUNG = "hung"
    DESTROYED = "destroyed"

    @property
    def alive(self) -> bool:
        """Whether its kernel is there and has it: no panic, no hang, not destroyed."""
        return self in (MachineState.RUNNING, MachineState.PAUSED)


class Held(NamedTuple):
    """A hold: its id, from 1 on; or FC_NOMAP and the page's address, where none was to be had."""

    id: int | None
    fault: str | None = None
    gpa: int | None = None


class MemoryStats(NamedTuple):
    """What ``bhyvectl --get-stats`` shows for vCPU 0, in bytes; None: no such statistic."""

    resident: int
    wired: int | None


class BatchAccess(NamedTuple):
    """Many single accesses: how many succeeded, entries newly set, ``(gpa, fault)`` of the rest."""

    ok: int
    mapped: int
    faults: tuple[tuple[int, str], ...]
