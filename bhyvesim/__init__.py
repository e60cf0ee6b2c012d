"""bhyvesim: simulated bhyve virtual machines, and an exact model of their guest memory.

>>> from bhyvesim import Machine, KernelPanic
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bhyvesim.errors import BhyvesimError, KernelHang, KernelPanic, NotRunning, Refused
    from bhyvesim.kernel.gpt.access import Access
    from bhyvesim.kernel.machine import BatchAccess, Held, Machine, MemoryStats

__version__ = "0.1.0"

__all__ = [
    "Access",
    "BatchAccess",
    "BhyvesimError",
    "Held",
    "KernelHang",
    "KernelPanic",
    "Machine",
    "MemoryStats",
    "NotRunning",
    "Refused",
    "__version__",
]

_HOMES = {
    "Access": "bhyvesim.kernel.gpt.access",
    "BatchAccess": "bhyvesim.kernel.machine",
    "BhyvesimError": "bhyvesim.errors",
    "Held": "bhyvesim.kernel.machine",
    "KernelHang": "bhyvesim.errors",
    "KernelPanic": "bhyvesim.errors",
    "Machine": "bhyvesim.kernel.machine",
    "MemoryStats": "bhyvesim.kernel.machine",
    "NotRunning": "bhyvesim.errors",
    "Refused": "bhyvesim.errors",
}


def __getattr__(name: str) -> Any:
    """Import on first use: ``bhyvesim --help`` must not pay for the engine."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
