"""Machines and descriptions as JSON text, and back.

JSON and not integer columns: entries are 64-bit words and classes signed sums of them,
both outside SQLite's 63 bits. Python's JSON integers have no limit.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import Memmap
from bhyvesim.kernel.plain import from_plain, to_plain
from bhyvesim.kernel.results import MachineState
from bhyvesim.kernel.revisions import known
from bhyvesim.kernel.snapshot import Snapshot
from bhyvesim.store.maps import decode_maps
from bhyvesim.vm.life import new_machine
from bhyvesim.vm.spec import KernelSpec, SegmentSpec, TouchSpec, VmSpec

# What a row of tables has of a snapshot; its description and its maps have the rest.
_TABLES = (
    "resident",
    "leaves",
    "twins",
    "tracking",
    "hardware_bits",
    "holds",
    "last_hold",
    "contents",
)


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
    plain = to_plain(snapshot)
    return _dumps({key: plain[key] for key in _TABLES})


def decode_machine(spec: VmSpec, maps: str, tables: str, state: MachineState) -> Machine:
    """The machine that :func:`.maps.encode_maps` and :func:`encode_tables` were given.

    Version 0.1 knew no holds, no contents and no tracking that changes: what it wrote lacks
    them. Every value is looked at: raises ValueError for one that cannot be, UnknownRevision
    for a revision that is not here.
    """
    known(spec.kernel.gpt, spec.kernel.digest)
    segs, slots, next_host_pfn = decode_maps(maps)
    new = to_plain(new_machine(spec).snapshot())
    stored = {key: value for key, value in json.loads(tables).items() if key in new}
    snapshot = from_plain(
        {
            **{key: new[key] for key in new if key not in ("leaves", "resident", "twins")},
            **stored,
            "state": state.value,
            "segs": [list(seg) for seg in segs],
            "slots": [None if m is None else list(m) for m in slots],
            "next_host_pfn": next_host_pfn,
        }
    )
    return Machine.restored(snapshot)


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
