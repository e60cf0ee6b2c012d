"""bhyvectl's answers that need the page tables: entries on a walk, the root, the counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from bhyvesim.kernel.gpt.levels import ROOT_LEVEL
from bhyvesim.kernel.gpt.walk import table_frame, walk
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import Memmap, Memseg
from bhyvesim.report.model import Column, Hex, Report, plain
from bhyvesim.units import GIB, PAGE_SHIFT
from bhyvesim.values import Value


class PmapStep(Value):
    """One table on the way, and the entry used of it."""

    level: int
    table: int
    index: int
    entry: Hex
    flags: tuple[str, ...]


class Pmap(Value):
    """The way to an address."""

    gpa: int
    walk: tuple[PmapStep, ...]


class GpaPmap(Value):
    """`--get-gpa-pmap`: the walk to an address, from the root down."""

    gpa_pmap: Pmap

    KEYS: ClassVar[Mapping[str, str]] = {"gpa_pmap": "gpa-pmap"}


class RootPointer(Value):
    """What a vCPU's control structure holds."""

    cpu: int
    value: Hex


class Eptp(Value):
    """`--get-eptp`: the pointer to the root table."""

    eptp: RootPointer


class Counters(Value):
    """Bytes; a revision without wired memory has no such key."""

    cpu: int
    resident: int
    wired: int | None

    KEYS: ClassVar[Mapping[str, str]] = {"resident": "Resident memory", "wired": "Wired memory"}
    ABSENT: ClassVar[Sequence[str]] = ("wired",)


class Stats(Value):
    """`--get-stats`: memory counters in bytes."""

    stats: Counters


class RamExtent(Value):
    """Where RAM begins, and how many bytes there are."""

    gpa: int
    len: int


class Lowmem(Value):
    """`--get-lowmem`: the RAM below 4 GiB."""

    lowmem: RamExtent


class Highmem(Value):
    """`--get-highmem`: the RAM from 4 GiB on."""

    highmem: RamExtent


_EPTP_WRITE_BACK, _EPTP_FOUR_LEVELS, _EPTP_ACCESSED_DIRTY = 6, 3 << 3, 1 << 6


def gpa_pmap(machine: Machine, gpa: int) -> Report:
    """The entries on the way to *gpa*, from the root down; the last may be zero.

    Source: bhyvectl.c, --get-gpa-pmap (a stub on illumos, which prints no entries).
    """
    steps = walk(machine.space.gpt, gpa)
    exact = f"gpa {_alternate_hex(gpa)}:" + "".join(f" {_alternate_hex(s.entry)}" for s in steps)
    rows = tuple(
        (str(s.level), f"{s.table:#x}", str(s.slot), f"{s.entry:#x}", _flags(machine, s.entry))
        for s in steps
    )
    record = tuple(
        PmapStep(s.level, s.table, s.slot, f"{s.entry:#x}", tuple(machine.npt.flags(s.entry)))
        for s in steps
    )
    columns = tuple(map(Column, ("LEVEL", "TABLE", "INDEX", "ENTRY", "FLAGS")))
    return Report(columns, rows, GpaPmap(Pmap(gpa, record)), exact + "\n", empty="out of reach")


def _flags(machine: Machine, entry: int) -> str:
    return " ".join(machine.npt.flags(entry)) if entry else "not present"


def _alternate_hex(number: int) -> str:
    """C's ``%#lx``, which prints zero without a prefix."""
    return f"{number:#x}" if number else "0"


def eptp(machine: Machine, cpu: int) -> Report:
    """The pointer to the root table, as a vCPU's control structure holds it.

    Source: bhyvectl.c, --get-eptp; Intel SDM vol. 3C, 25.6.11.
    """
    root = table_frame(ROOT_LEVEL, 0) << PAGE_SHIFT
    if machine.npt.name == "ept":
        root |= _EPTP_WRITE_BACK | _EPTP_FOUR_LEVELS
        if machine.space.gpt.sets_bits:
            root |= _EPTP_ACCESSED_DIRTY
    name = "eptp" if machine.npt.name == "ept" else "rvi/npt"
    exact = f"{name}[{cpu}]\t\t0x{root:016x}\n"
    columns = (Column("NAME"), Column("VALUE"))
    rows = ((f"{name}[{cpu}]", f"0x{root:016x}"),)
    return Report(columns, rows, Eptp(RootPointer(cpu, f"0x{root:016x}")), exact)


def stats(machine: Machine, cpu: int) -> Report:
    """The memory counters, in bytes; vCPU 0 alone carries them. Source: bhyvectl.c, --get-stats."""
    shown = machine.stats()
    here = cpu == 0
    wired = None if shown.wired is None else shown.wired * here
    record = Stats(Counters(cpu, shown.resident * here, wired))
    counters = plain(record.stats)
    del counters["cpu"]
    exact = f"vcpu{cpu} stats:\n" + "".join(f"{n:<40}\t{v}\n" for n, v in counters.items())
    rows = tuple((name, str(value)) for name, value in counters.items())
    columns = (Column("STATISTIC"), Column("BYTES", True))
    return Report(columns, rows, record, exact)


def ram_extent(name: str, segs: Sequence[Memseg], memmaps: Sequence[Memmap]) -> Report:
    """Where the RAM below 4 GiB (``lowmem``) or from there on (``highmem``) lies.

    As bhyvectl's usage text promises and older bhyvectls printed it; 0/0 where there is none.
    """
    sysmem = {seg.segid for seg in segs if seg.is_sysmem}
    ram = [m for m in memmaps if m.segid in sysmem and (m.gpa >= 4 * GIB) == (name == "highmem")]
    gpa = min((m.gpa for m in ram), default=0)
    length = sum(m.length for m in ram)
    columns = tuple(map(Column, ("NAME", "ADDRESS", "BYTES")))
    rows = ((name, f"0x{gpa:016x}", str(length)),)
    exact = f"{name}\t\t0x{gpa:016x}/{length}\n"
    extent = RamExtent(gpa, length)
    record = Highmem(extent) if name == "highmem" else Lowmem(extent)
    return Report(columns, rows, record, exact)
