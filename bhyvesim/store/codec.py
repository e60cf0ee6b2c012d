"""Machines and descriptions as JSON text, and back.

JSON and not integer columns: entries are 64-bit words and classes signed sums of them,
both outside SQLite's 63 bits. Python's JSON integers have no limit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bhyvesim.errors import Frame, KernelHang, KernelStop
from bhyvesim.machine.vm import Machine, MachineState
from bhyvesim.store.maps import decode_maps
from bhyvesim.vmm.life import new_machine
from bhyvesim.vmm.spec import KernelSpec, MappingSpec, SegmentSpec, TouchSpec, VmSpec
from bhyvesim.vmspace.space import Hold


def encode_spec(spec: VmSpec) -> str:
    """*spec* as JSON text."""
    return _dumps(asdict(spec))


def decode_spec(text: str) -> VmSpec:
    """The inverse of :func:`encode_spec`."""
    plain = json.loads(text)
    touches = plain["touches"]
    plain["kernel"] = KernelSpec(**plain["kernel"])
    plain["segments"] = tuple(SegmentSpec(**s) for s in plain["segments"])
    plain["mappings"] = tuple(MappingSpec(**m) for m in plain["mappings"])
    plain["touches"] = None if touches is None else tuple(TouchSpec(**t) for t in touches)
    return VmSpec(**plain)


def encode_tables(machine: Machine) -> str:
    """The nested page table of *machine*, a row a run of leaves."""
    gpt = machine.space.gpt
    return _dumps(
        {
            "resident": gpt.resident,
            "leaves": [
                [first, end, *leaf]
                for first, end, leaf in gpt.leaves.runs(0, gpt.leaves.end)
                if leaf is not None
            ],
            "twins": list(gpt.twins),
            "tracking": gpt.tracking,
            "hardware_bits": gpt.sets_bits,
            "holds": [[hold_id, *held] for hold_id, held in machine.space.holds.items()],
            "last_hold": machine.space.last_hold,
        }
    )


def decode_machine(spec: VmSpec, maps: str, tables: str, state: MachineState) -> Machine:
    """The machine that :func:`.maps.encode_maps` and :func:`encode_tables` were given.

    Version 0.1 knew no holds, and no tracking that changes: what it wrote lacks them.
    """
    machine = new_machine(spec)
    segs, slots, machine.next_host_pfn = decode_maps(maps)
    machine.segs = {seg.segid: seg for seg in segs}
    for slot, memmap in enumerate(slots):
        machine.restore_memmap(slot, memmap)
    plain = json.loads(tables)
    gpt = machine.space.gpt
    gpt.resident = plain["resident"]
    gpt.leaves.assign(0, gpt.leaves.end, None)  # a new machine may have some already
    for first, end, *leaf in plain["leaves"]:
        gpt.leaves.assign(first, end, tuple(leaf))
    gpt.twins = tuple(plain["twins"])
    gpt.track(plain.get("tracking", spec.track_dirty))
    gpt.set_hardware_bits(plain.get("hardware_bits", gpt.sets_bits))
    machine.space.holds = {i: Hold(gpa, prot) for i, gpa, prot in plain.get("holds", ())}
    machine.space.last_hold = plain.get("last_hold", 0)
    machine.state = state
    return machine


def encode_crash(stopped: KernelStop, details: Mapping[str, Any]) -> str:
    """A crash dump: the panic or hang, its stack, the machine's state, *details* of the occasion.

    A hang's dump is one that was forced; ``locks`` are what the thread that hangs holds.
    """
    return _dumps(
        {
            **details,
            "locks": stopped.locks if isinstance(stopped, KernelHang) else (),
            "message": stopped.message,
            "stack": [[frame.function, list(frame.args)] for frame in stopped.stack],
            "facts": stopped.facts,
            "dump": stopped.state,
        }
    )


def decode_stack(rows: list[list[Any]]) -> tuple[Frame, ...]:
    """Frames, innermost first."""
    return tuple(Frame(function, tuple(args)) for function, args in rows)


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
