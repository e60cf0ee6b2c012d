"""What a VM's past costs: an event's bytes and time, and the way back to any moment."""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

from bhyvesim.host.history import History
from bhyvesim.host.host import Host
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.npt import OPERATIONS
from bhyvesim.ops.ioctls import Access, AccessBatch, NptOp
from bhyvesim.report.html.data import document
from bhyvesim.report.html.page import page
from bhyvesim.store.store import Store
from bhyvesim.vm.layouts import bhyve
from bhyvesim.vm.spec import KernelSpec, VmSpec

GIB = 1 << 30
PAGE = 4096
EVENTS = 60
GUESTS = {
    "8 GiB, contiguous": (8 * GIB, 0),
    "32 TiB, contiguous": (32768 * GIB, 0),
    "64 GiB, a million random pages": (64 * GIB, 1_000_000),
    "1 TiB, a million random pages": (1024 * GIB, 1_000_000),
}


class Cost(NamedTuple):
    """Of one event: bytes of the state file, and seconds; and seconds to a moment, looked at.

    Last the seconds and bytes of a report on it as HTML.
    """

    bytes: float
    event: float
    moment: float
    everything: float
    report: float
    report_bytes: int


def cost(memory: int, faults: int) -> Cost:
    """Events of one page each on a guest of *memory* bytes, after *faults* random ones."""
    segments, mappings = bhyve(memory, 2 << 20, {})
    touches = () if faults else None
    spec = VmSpec("bench", KernelSpec("2025", debug=False), "amd", segments, mappings, touches)
    source = random.Random(14042)
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Store(folder), time.time_ns)
        host.create(spec)
        if faults:
            pages = memory // PAGE - (3 << 18)  # of highmem
            gpas = tuple(4 * GIB + source.randrange(pages) * PAGE for _ in range(faults))
            host.perform("bench", "touch", AccessBatch(gpas, 2))
        before = os.path.getsize(host.store.path)
        times = []
        for turn in range(EVENTS):
            gpa = (turn * 7919 % (memory // PAGE >> 1)) * PAGE % (3 * GIB)
            started = time.perf_counter()
            # Of a guest that has touched all, a page that is clean again.
            change = Access(gpa, 1, 4) if faults else NptOp(gpa, PAGE, OPERATIONS["RESET_DIRTY"])
            host.perform("bench", "touch", change)
            times.append(time.perf_counter() - started)
        size = os.path.getsize(host.store.path) - before
        events = len(History(host.store, "bench").events)
        return Cost(
            size / EVENTS,
            statistics.median(times),
            _moments(host, lambda machine: machine.walk(4 * GIB), events),
            _moments(host, lambda machine: machine.snapshot(), events, few=True),
            *_report(host),
        )


def _report(host: Host) -> tuple[float, int]:
    """Seconds and bytes of the page on the VM as it was after its first two events."""
    started = time.perf_counter()
    history = History(host.store, "bench")
    place = history.find("2")
    past = history.past(place)
    seen = document("bench", past.state, past.machine, history=history, until=place.seq)
    size = len(page(seen).encode())
    return time.perf_counter() - started, size


def _moments(
    host: Host, look: Callable[[Machine], object], events: int, *, few: bool = False
) -> float:
    """Median seconds to a machine at some moment, and a look at it."""
    times = []
    for number in (1, 2, events // 2, events - 1, events)[: 3 if few else 5]:
        started = time.perf_counter()
        history = History(host.store, "bench")
        past = history.past(history.find(str(max(1, number))))
        look(past.machine)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def costs() -> dict[str, Cost]:
    """Every guest by name."""
    return {name: cost(*guest) for name, guest in GUESTS.items()}
