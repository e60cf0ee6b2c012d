"""Machines and descriptions as JSON text, and back.

JSON and not integer columns: entries are 64-bit words and classes signed sums of them,
both outside SQLite's 63 bits. Python's JSON integers have no limit.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from bhyvesim.kernel.machine import Machine, MachineState
from bhyvesim.kernel.memory import Memmap
from bhyvesim.kernel.snapshot import Snapshot
from bhyvesim.kernel.vmspace import Hold
from bhyvesim.store.maps import decode_maps
from bhyvesim.vm.life import new_machine
from bhyvesim.vm.spec import KernelSpec, SegmentSpec, TouchSpec, VmSpec


def encode_spec(spec: VmSpec) -> str:
    """*spec* as JSON text."""
    plain = asdict(spec)
    plain["mappings"] = [m._asdict() for m in spec.mappings]
    return _dumps(plain)


def decode_spec(text: str) -> VmSpec:
    """The inverse of :func:`encode_spec`."""
    plain = json.loads(text)
    touches = plain["touches"]
    plain["kernel"] = KernelSpec(**plain["kernel"])
    plain["segments"] = tuple(SegmentSpec(**s) for s in plain["segments"])
    plain["mappings"] = tuple(Memmap(**m) for m in plain["mappings"])
    plain["touches"] = None if touches is None else tuple(TouchSpec(**t) for t in touches)
    return VmSpec(**plain)


def encode_tables(snapshot: Snapshot) -> str:
    """Everything of *snapshot* but its segments and memmaps; a row a run of leaves."""
    return _dumps(
        {
            "resident": snapshot.resident,
            "leaves": [[first, end, *leaf] for first, end, leaf in snapshot.leaves],
            "twins": snapshot.twins,
            "tracking": snapshot.tracking,
            "hardware_bits": snapshot.hardware_bits,
            "holds": [[hold_id, *held] for hold_id, held in snapshot.holds],
            "last_hold": snapshot.last_hold,
            "contents": [[pfn, page.hex()] for pfn, page in snapshot.contents],
        }
    )


def decode_machine(spec: VmSpec, maps: str, tables: str, state: MachineState) -> Machine:
    """The machine that :func:`.maps.encode_maps` and :func:`encode_tables` were given.

    Version 0.1 knew no holds, no contents and no tracking that changes: what it wrote lacks
    them.
    """
    segs, slots, next_host_pfn = decode_maps(maps)
    plain = json.loads(tables)
    new = new_machine(spec).snapshot()
    snapshot = replace(
        new,
        state=state.value,
        segs=tuple(segs),
        slots=tuple(slots),
        next_host_pfn=next_host_pfn,
        resident=plain["resident"],
        leaves=tuple((first, end, tuple(leaf)) for first, end, *leaf in plain["leaves"]),
        twins=tuple(plain["twins"]),
        tracking=plain.get("tracking", new.tracking),
        hardware_bits=plain.get("hardware_bits", new.hardware_bits),
        holds=tuple((i, Hold(gpa, prot)) for i, gpa, prot in plain.get("holds", ())),
        last_hold=plain.get("last_hold", 0),
        contents=tuple((pfn, bytes.fromhex(page)) for pfn, page in plain.get("contents", ())),
    )
    return Machine.restored(snapshot)


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
