"""Crash dumps as version 0.1 stored them: JSON with rows of tables, where today is a snapshot."""

from __future__ import annotations

import json
from typing import Any

from bhyvesim.crash.dump import CrashDump, check_texts
from bhyvesim.errors import Frame
from bhyvesim.kernel.gpt.levels import LEAF_LEVEL, LEAF_SHIFT
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import MAX_MEMMAPS, Memmap, Memseg
from bhyvesim.kernel.plain import from_plain, to_plain
from bhyvesim.kernel.results import MachineState
from bhyvesim.kernel.snapshot import Snapshot
from bhyvesim.prot import parse_prot
from bhyvesim.units import PAGE_SHIFT

_OLD_NAMES = ((), ("gpa",), ("start", "end"))


def read_old_dump(vm: str, time_ns: int, text: str) -> CrashDump:
    """The dump in a row of 0.1.

    Raises ValueError, LookupError or TypeError where it makes no sense.
    """
    record = json.loads(text)
    dump = CrashDump(
        vm=vm,
        operation=str(record["operation"]),
        time_ns=time_ns,
        uuid=str(record["uuid"]),
        message=str(record["message"]),
        stack=tuple(_frame(str(function), tuple(args)) for function, args in record["stack"]),
        facts=record["facts"],
        locks=(),
        snapshot=_snapshot(record),
    )
    check_texts(dump)
    return dump


def _frame(function: str, args: tuple[int, ...]) -> Frame:
    """0.1 gave the range to every function of a path, or the address, without their names."""
    return Frame(function, args, _OLD_NAMES[len(args)])


def _snapshot(record: dict[str, Any]) -> Snapshot:
    """The machine, put together from what was printed of it.

    Its memmaps are in the order of their addresses: 0.1 did not keep their slots.
    """
    machine = Machine(record["gpt"], debug=record["debug"], npt=record["npt"])
    for seg in record["memseg"]:
        row = Memseg(seg["segid"], seg["len"], seg["name"], seg["host_pfn"])
        machine.segs[row.segid] = row
        machine.next_host_pfn = max(
            machine.next_host_pfn, row.host_pfn + (row.length >> PAGE_SHIFT)
        )
    maps: list[Memmap | None] = [
        Memmap(m["gpa"], m["len"], m["segid"], m["offset"], parse_prot(m["prot"]), m["wired"])
        for m in record["memmap"]
    ]
    machine.slots = [*maps, *[None] * (MAX_MEMMAPS - len(maps))]
    gpt = machine.space.gpt
    for level, gpa, count, refcnt, _ in record["dump"]["nodes"]:
        if level == LEAF_LEVEL:
            first = gpa >> LEAF_SHIFT
            if gpt.leaves[first] is not None:  # the older of two tables comes second
                gpt.twins = (*gpt.twins, first)
            gpt.leaves.assign(first, first + count, (refcnt,))
    for gpa, npages, pte in record["dump"]["ptes"]:
        first = gpa >> PAGE_SHIFT
        gpt.map_wired(range(first, first + npages), pte - gpa)
    gpt.resident = record["dump"]["resident"]
    machine.state = MachineState.PANICKED
    return from_plain(to_plain(machine.snapshot()))
