"""The host: its memory, and who has it."""

from __future__ import annotations

from typing import NamedTuple

from bhyvesim.host.describe import Described
from bhyvesim.report.model import Column, Report
from bhyvesim.units import roughly


class HolderVm(NamedTuple):
    """A VM that holds memory of the host: bytes, and whether of the reservoir."""

    name: str
    bytes: int
    reservoir: bool


class HostShown(NamedTuple):
    """`bhyvesim host show`: bytes, null where not known.

    ``taken`` and ``others_transient`` are held by VMs that are not simulated here; ``free``,
    ``allocated`` and ``transient`` count those too. ``left`` is how much more the limit lets in.
    """

    limit: int | None
    reservoir: int
    free: int
    allocated: int
    transient: int
    left: int | None
    taken: int
    others_transient: int
    phys_bits: int | None
    vms: tuple[HolderVm, ...]


def shown(host: Described) -> Report:
    """A row a number, then one a VM."""
    spec, memory = host.spec, host.memory
    vms = tuple(HolderVm(*holder) for holder in host.holders)
    record = HostShown(
        memory.limit,
        memory.reservoir,
        memory.free,
        memory.allocated,
        memory.transient,
        memory.left,
        spec.taken,
        spec.transient,
        spec.phys_bits,
        vms,
    )
    rows = [
        ("limit", _size(record.limit), "of the reservoir and transient memory together"),
        ("reservoir", _size(record.reservoir), ""),
        ("free", _size(record.free), "in the reservoir"),
        ("allocated", _size(record.allocated), "of the reservoir"),
        ("transient", _size(record.transient), "beside the reservoir"),
        ("left", _size(record.left), "below the limit"),
        ("physical bits", _or_unknown(record.phys_bits), ""),
    ]
    for vm in vms:
        rows.append((vm.name, _size(vm.bytes), "reservoir" if vm.reservoir else "transient"))
    for length, what in ((spec.taken, "reservoir"), (spec.transient, "transient")):
        if length:
            rows.append(("others", _size(length), what))
    columns = (Column("WHAT"), Column("SIZE", True), Column("OF"))
    return Report(columns, tuple(rows), record)


def _size(size: int | None) -> str:
    return "unknown" if size is None else roughly(size)


def _or_unknown(value: int | None) -> str:
    return "unknown" if value is None else str(value)
