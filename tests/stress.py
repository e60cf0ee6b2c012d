"""Many writers at once, on one VM and on many: nobody waits long, and nothing is lost.

``python -m tests.stress`` runs 64 for a minute each way; the tests a few, by number.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

from bhyvesim.host.host import Host
from bhyvesim.kernel.memory import Memmap
from bhyvesim.ops.ioctls import Access
from bhyvesim.store.store import Store
from bhyvesim.vm.spec import KernelSpec, SegmentSpec, VmSpec

PAGE = 4096
ROOM = 1 << 32  # of guest memory to each writer


class Told(NamedTuple):
    """What one writer did: how many changes, and the longest that one of them took."""

    changes: int
    longest: float


def description(name: str, writers: int) -> VmSpec:
    segment, memmap = SegmentSpec(0, "", writers * ROOM), Memmap(0, writers * ROOM, 0, 0)
    return VmSpec(name, KernelSpec(), "amd", (segment,), (memmap,), ())


def write(folder: str, name: str, writer: int, turns: Iterator[int]) -> Told:
    """Touch a page that nobody touched before, again and again."""
    host = Host(Store(folder), time.time_ns)
    changes, longest = 0, 0.0
    for turn in turns:
        started = time.monotonic()
        page = writer * (ROOM // PAGE) + turn
        (access,), *_ = host.perform(name, "touch", Access(page * PAGE, 1, 2))
        assert access.mapped == 1
        longest = max(longest, time.monotonic() - started)
        changes += 1
    return Told(changes, longest)


def _turns(amount: int, seconds: float) -> Iterator[int]:
    end = time.monotonic() + seconds
    for turn in range(amount):
        if time.monotonic() > end:
            return
        yield turn


def _write(pipe: object, folder: str, name: str, writer: int, amount: int, seconds: float) -> None:
    pipe.send(write(folder, name, writer, _turns(amount, seconds)))  # type: ignore[attr-defined]


def run(writers: int, vms: int, amount: int, seconds: float) -> list[Told]:
    """What *writers* processes did to *vms* VMs, each *amount* times or until time is up.

    Raises AssertionError where anything that one of them did is lost.
    """
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Store(folder), time.time_ns)
        names = [f"vm{i}" for i in range(vms)]
        for name in names:
            host.create(description(name, writers))
        context = multiprocessing.get_context("fork")
        started = []
        for writer in range(writers):
            ours, theirs = context.Pipe(duplex=False)
            arguments = (theirs, folder, names[writer % vms], writer, amount, seconds)
            process = context.Process(target=_write, args=arguments)
            process.start()
            theirs.close()
            started.append((process, ours))
        told = []
        for process, pipe in started:
            told.append(pipe.recv())
            process.join()
        for i, name in enumerate(names):
            mine = told[i::vms]
            pages = {
                gpa // PAGE + k
                for gpa, npages, _ in host.machine(name).dump()["ptes"]
                for k in range(npages)
            }
            assert pages == {
                writer * (ROOM // PAGE) + turn
                for writer, one in zip(range(i, writers, vms), mine, strict=True)
                for turn in range(one.changes)
            }
            with host.store.reading() as transaction:
                row = transaction.vm(name)
                events = transaction.events(name, row.life)
            numbers = [event.number for event in events]  # the last ones: old ones are pruned
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert numbers[-1] == 1 + sum(one.changes for one in mine)
        return told


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    for vms in (1, 64):
        told = run(64, vms, 1 << 30, seconds)
        changes = sum(one.changes for one in told)
        longest = max(one.longest for one in told)
        fewest = min(one.changes for one in told)
        print(
            f"64 writers, {vms} VMs, {seconds:g} s: {changes} changes, at least {fewest} each, "
            f"the longest took {longest:.2f} s; nothing is lost",
            flush=True,
        )
        assert longest < 10


if __name__ == "__main__":
    main()
