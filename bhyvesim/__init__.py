"""bhyvesim: simulated bhyve virtual machines, and an exact model of their guest memory.

>>> from bhyvesim import Machine, KernelPanic
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bhyvesim.config.vm import load_vm as load
    from bhyvesim.crash.dump import CrashDump
    from bhyvesim.errors import (
        BhyvesimError,
        KernelHang,
        KernelPanic,
        KernelStop,
        NotRunning,
        Refused,
    )
    from bhyvesim.host.host import Host
    from bhyvesim.kernel.gpt.access import Access
    from bhyvesim.kernel.machine import Machine
    from bhyvesim.kernel.memory import Memmap, Memseg
    from bhyvesim.kernel.results import BatchAccess, Held, MemoryStats
    from bhyvesim.kernel.revisions import REVISIONS
    from bhyvesim.kernel.snapshot import Snapshot
    from bhyvesim.span import Span
    from bhyvesim.vm.spec import VmSpec
    from bhyvesim.vm.vm import Vm

__version__ = "0.2.0"

# Where each name lives; imported on first use.
_HOMES = {
    "load": ("bhyvesim.config.vm", "load_vm"),
    "Vm": ("bhyvesim.vm.vm", "Vm"),
    "VmSpec": ("bhyvesim.vm.spec", "VmSpec"),
    "Machine": ("bhyvesim.kernel.machine", "Machine"),
    "Access": ("bhyvesim.kernel.gpt.access", "Access"),
    "BatchAccess": ("bhyvesim.kernel.results", "BatchAccess"),
    "Held": ("bhyvesim.kernel.results", "Held"),
    "MemoryStats": ("bhyvesim.kernel.results", "MemoryStats"),
    "Memseg": ("bhyvesim.kernel.memory", "Memseg"),
    "Memmap": ("bhyvesim.kernel.memory", "Memmap"),
    "Span": ("bhyvesim.span", "Span"),
    "Snapshot": ("bhyvesim.kernel.snapshot", "Snapshot"),
    "CrashDump": ("bhyvesim.crash.dump", "CrashDump"),
    "Host": ("bhyvesim.host.host", "Host"),
    "REVISIONS": ("bhyvesim.kernel.revisions", "REVISIONS"),
    "BhyvesimError": ("bhyvesim.errors", "BhyvesimError"),
    "Refused": ("bhyvesim.errors", "Refused"),
    "NotRunning": ("bhyvesim.errors", "NotRunning"),
    "KernelStop": ("bhyvesim.errors", "KernelStop"),
    "KernelPanic": ("bhyvesim.errors", "KernelPanic"),
    "KernelHang": ("bhyvesim.errors", "KernelHang"),
}

__all__ = [
    "REVISIONS",
    "Access",
    "BatchAccess",
    "BhyvesimError",
    "CrashDump",
    "Held",
    "Host",
    "KernelHang",
    "KernelPanic",
    "KernelStop",
    "Machine",
    "Memmap",
    "MemoryStats",
    "Memseg",
    "NotRunning",
    "Refused",
    "Snapshot",
    "Span",
    "Vm",
    "VmSpec",
    "__version__",
    "load",
]


def __getattr__(name: str) -> Any:
    """Import on first use: ``bhyvesim --help`` must not pay for the engine."""
    if name in _HOMES:
        from importlib import import_module

        module, attribute = _HOMES[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
