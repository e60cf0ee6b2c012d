"""Machines and descriptions as JSON text, and back.

JSON and not integer columns: entries are 64-bit words and classes signed sums of them,
both outside SQLite's 63 bits. Python's JSON integers have no limit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bhyvesim.errors import Frame, KernelPanic
from bhyvesim.machine.vm import Machine, MachineState
from bhyvesim.store.maps import decode_maps
from bhyvesim.vmm.life import new_machine
from bhyvesim.vmm.spec import KernelSpec, MappingSpec, SegmentSpec, TouchSpec, VmSpec


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
        }
    )


def decode_machine(spec: VmSpec, maps: str, tables: str, *, panicked: bool) -> Machine:
    """The machine that :func:`.maps.encode_maps` and :func:`encode_tables` were given."""
    machine = new_machine(spec)
    segs, slots, machine.next_host_pfn = decode_maps(maps)
    machine.segs = {seg.segid: seg for seg in segs}
    for slot, memmap in enumerate(slots):
        machine.restore_memmap(slot, memmap)
    plain = json.loads(tables)
    gpt = machine.space.gpt
    gpt.resident = plain["resident"]
    for first, end, *leaf in plain["leaves"]:
        gpt.leaves.assign(first, end, tuple(leaf))
    gpt.twins = tuple(plain["twins"])
    if panicked:
        machine.state = MachineState.PANICKED
    return machine


def encode_crash(panic: KernelPanic, details: Mapping[str, Any]) -> str:
    """A crash dump: the panic, its stack, the machine's state, and *details* of the occasion."""
    return _dumps(
        {
            **details,
            "message": panic.message,
            "stack": [[frame.function, list(frame.args)] for frame in panic.stack],
            "facts": panic.facts,
            "dump": panic.state,
        }
    )


def decode_stack(rows: list[list[Any]]) -> tuple[Frame, ...]:
    """Frames, innermost first."""
    return tuple(Frame(function, tuple(args)) for function, args in rows)


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
