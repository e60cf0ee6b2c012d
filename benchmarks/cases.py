"""The work that is measured, as plain functions."""

from __future__ import annotations

import copy
import gzip
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bhyvesim import Machine
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.ops.replay import Replayer, parse_line
from bhyvesim.vm import life
from bhyvesim.vm.layouts import bhyve
from bhyvesim.vm.spec import KernelSpec, VmSpec

GIB = 1 << 30
PAGE = 4096
SIZES = {"8 GiB": 8 * GIB, "64 GiB": 64 * GIB, "1 TiB": 1024 * GIB, "32 TiB": 32768 * GIB}
FAULTS = 1_000_000
COPIES = {"fork": 1000, "snapshot": 1000, "deep copy": 100}
TRACES = Path(__file__).parent.parent / "tests" / "conformance" / "traces.jsonl.gz"


def yardstick() -> int:
    """A million turns of a plain loop: what this machine's Python is worth today."""
    total = 0
    for i in range(1_000_000):
        total += i & 511
    return total


def one_life(gpt: str, memory: int) -> None:
    """Create, touch all, reboot, destroy, on a production kernel."""
    segments, mappings = bhyve(memory, 2 << 20, {})
    spec = VmSpec("bench", KernelSpec(gpt, debug=False), "amd", segments, mappings)
    machine = life.build(spec)
    life.boot(machine, spec)
    life.reboot(machine, spec)
    machine.destroy()


def traced_life() -> None:
    """The same for 8 GiB on 2025, while somebody listens to every call."""
    segments, mappings = bhyve(8 * GIB, 2 << 20, {})
    spec = VmSpec("bench", KernelSpec("2025", debug=False), "amd", segments, mappings)
    machine = life.build(spec)
    machine.listen(lambda firing: None)
    life.boot(machine, spec)
    life.reboot(machine, spec)
    machine.destroy()


def survives(gpt: str, memory: int) -> bool:
    """Whether *gpt* takes a guest of this size at all: 15844 not across 512 GiB."""
    return gpt != "15844" or memory <= 508 * GIB


def guest(gpt: str, memory: int) -> Machine:
    """A machine with one sysmem segment of *memory* bytes at 0."""
    machine = Machine(gpt)
    machine.alloc_memseg(0, memory)
    machine.mmap_memseg(0, 0, 0, memory, 7)
    return machine


def random_gpas(memory: int, count: int = FAULTS) -> list[int]:
    """*count* page addresses, the same ones every time."""
    source = random.Random(14042)
    return [source.randrange(memory // PAGE) * PAGE for _ in range(count)]


def faults_single(gpt: str, gpas: list[int], memory: int) -> None:
    """One call for each access."""
    access = guest(gpt, memory).access
    for gpa in gpas:
        access(gpa, 1, 2)


def faults_batch(gpt: str, gpas: list[int], memory: int) -> None:
    """One call for all."""
    guest(gpt, memory).access_batch(gpas, 2)


def fragmented(gpt: str, extents: int) -> None:
    """Eight pages touched, eight left out, again and again; then the dump."""
    machine = guest(gpt, 64 * GIB)
    for i in range(extents):
        machine.access(i * 16 * PAGE, 8, 2 if i % 2 else 1)
    machine.dump()


def copied(method: str) -> None:
    """A thousand forks or snapshots of a booted guest of 8 GiB, or a hundred deep copies."""
    segments, mappings = bhyve(8 * GIB, 2 << 20, {})
    spec = VmSpec("bench", KernelSpec("2025"), "amd", segments, mappings)
    machine = life.build(spec)
    life.boot(machine, spec)
    if method == "deep copy":
        for _ in range(COPIES[method]):
            copy.deepcopy(machine)
        return
    make = machine.fork if method == "fork" else machine.snapshot
    for _ in range(COPIES[method]):
        make()


def recorded_lines() -> list[str]:
    """The recorded traces, decompressed."""
    with gzip.open(TRACES, "rt", encoding="utf-8") as lines:
        return list(lines)


def recorded_operations(lines: list[str]) -> int:
    """How many operations *lines* hold."""
    return sum(len(json.loads(line)["ops"]) for line in lines)


def replay(lines: list[str]) -> None:
    """Parse, run, and print to a string, as ``bhyvesim replay`` does."""
    replayer = Replayer()
    for line in lines:
        for step in parse_line(line):
            json.dumps(replayer.run(step.op), separators=(",", ":"))


def memory_of(script: str) -> tuple[int, int]:
    """(bytes kept, peak bytes) that *script* allocates in a process of its own."""
    program = (
        "import tracemalloc\nfrom benchmarks.cases import *\n"
        "gpas = random_gpas(64 * GIB)\nmachine = guest('2025', 64 * GIB)\n"
        f"tracemalloc.start()\n{script}\nprint(*tracemalloc.get_traced_memory())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    kept, peak = done.stdout.split()
    return int(kept), int(peak)


def engine_cases() -> dict[str, Callable[[], object]]:
    """Every case by name."""
    cases: dict[str, Callable[[], object]] = {"yardstick": yardstick}
    for gpt in REVISIONS:
        for label, memory in SIZES.items():
            if survives(gpt, memory):
                cases[f"life {gpt} {label}"] = lambda g=gpt, m=memory: one_life(g, m)
    cases["life, traced"] = traced_life
    gpas = random_gpas(64 * GIB)
    scattered = random_gpas(63 * 1024 * GIB)
    for gpt in ("14042", "2025"):
        cases[f"faults single {gpt}"] = lambda g=gpt: faults_single(g, gpas, 64 * GIB)
        cases[f"faults batch {gpt}"] = lambda g=gpt: faults_batch(g, gpas, 64 * GIB)
    cases["faults batch 63 TiB"] = lambda: faults_batch("14042", scattered, 63 * 1024 * GIB)
    for extents in (20_000, 40_000, 80_000):
        cases[f"fragmented {extents}"] = lambda n=extents: fragmented("2025", n)
    for method in COPIES:
        cases[f"copied by {method}"] = lambda m=method: copied(m)
    lines = recorded_lines()
    cases["replay"] = lambda: replay(lines)
    return cases
