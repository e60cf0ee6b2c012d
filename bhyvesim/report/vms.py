"""The VMs that there are, a row each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from bhyvesim.kernel.builds import build_name
from bhyvesim.kernel.results import MachineState
from bhyvesim.report.model import Column, Report, one_of
from bhyvesim.report.tones import verdict
from bhyvesim.units import PAGE_SHIFT, format_size

State = Annotated[
    str,
    one_of(("off", *(state.value for state in MachineState if state.name != "DESTROYED"))),
]


class ListedVm(NamedTuple):
    """One VM; ``memory`` in bytes, ``resident`` the kernel's count of pages."""

    name: str
    state: State
    gpt: str
    debug: bool
    cpu: str
    memory: int
    resident: int
    crash: int | None


class Vms(NamedTuple):
    """`bhyvesim list`: the VMs."""

    vms: tuple[ListedVm, ...]


def listed(vms: Sequence[ListedVm]) -> Report:
    """A row a VM."""
    rows = tuple(
        (
            vm.name,
            vm.state,
            f"{vm.gpt} {build_name(vm.debug)}",
            vm.cpu,
            format_size(vm.memory),
            format_size(vm.resident << PAGE_SHIFT),
        )
        for vm in vms
    )
    columns = (
        Column("NAME"),
        Column("STATE", tone=verdict),
        Column("KERNEL"),
        Column("CPU"),
        Column("MEMORY", True),
        Column("RESIDENT", True),
    )
    return Report(columns, rows, Vms(tuple(vms)), empty="no VMs")
