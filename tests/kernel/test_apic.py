"""The APIC access page of an Intel host with APICv."""

from __future__ import annotations

import pytest

from bhyvesim import KernelPanic, Machine, Refused
from bhyvesim.errors import BadValue
from bhyvesim.kernel.check import problems
from bhyvesim.kernel.memory import APIC_SPAN
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.vm.life import lost_pages, present_pages

APIC = APIC_SPAN.start
OLD = ("13932", "14042")


def intel(gpt: str, **keys) -> Machine:
    return Machine(gpt, npt="ept", apicv=True, **keys)


def with_ram_beside(gpt: str, **keys) -> Machine:
    """A memmap from the page after the APIC access page on, in the same leaf."""
    machine = intel(gpt, **keys)
    machine.alloc_memseg(0, 0x2000)
    machine.mmap_memseg(APIC + 0x1000, 0, 0, 0x2000, 7)
    machine.access(APIC + 0x1000, 2, 2)
    return machine


@pytest.mark.parametrize("gpt", REVISIONS)
@pytest.mark.parametrize("many", [False, True], ids=["one", "batch"])
def test_a_vcpu_maps_it_once_and_hardware_marks_nothing(gpt, many):
    machine = intel(gpt, track_dirty=True)
    if many:
        assert machine.access_batch([APIC, APIC], 2).mapped == 1
    else:
        assert machine.access(APIC, 1, 2).mapped == 1
        assert machine.access(APIC, 1, 1).mapped == 0
    assert machine.dump()["ptes"] == [[APIC, 1, 0xFFFFF003]]
    assert machine.access(APIC, 1, 4).fault == "FC_PROT"
    assert machine.dump()["memmap"] == []
    assert problems(machine) == []


@pytest.mark.parametrize("gpt", REVISIONS)
def test_tables_come_with_it_from_the_vmspace_on(gpt):
    leaves = [row for row in intel(gpt).dump()["nodes"] if row[0] == 1]
    count = {"13896": 0}.get(gpt, 1)
    assert leaves == ([] if gpt in OLD else [[1, APIC, 1, count, 0]])


@pytest.mark.parametrize("gpt", REVISIONS)
def test_a_memmap_over_it_is_refused(gpt):
    machine = intel(gpt)
    machine.alloc_memseg(0, 0x2000)
    with pytest.raises(Refused, match="EFAULT"):
        machine.mmap_memseg(APIC - 0x1000, 0, 0, 0x2000, 7)


@pytest.mark.parametrize("gpt", REVISIONS)
def test_a_device_reaches_it_only_by_a_hold(gpt):
    access = intel(gpt).access(APIC, 1, 3, by="device")
    assert (access.ok, access.mapped) == ((0, 0) if gpt in OLD else (1, 1))


@pytest.mark.parametrize("gpt", REVISIONS)
def test_a_reinit_takes_it_away_and_brings_it_back(gpt):
    machine = intel(gpt)
    machine.access(APIC, 1, 2)
    assert lost_pages(machine, machine.reinit) == ()
    assert present_pages(machine) == 0
    assert machine.access(APIC, 1, 2).mapped == 1
    assert machine.destroy() == 0


@pytest.mark.parametrize("gpt", ["13932", "14042", "13896"])
def test_its_unmapping_panics_over_what_shares_its_leaf(gpt):
    with pytest.raises(KernelPanic, match=r"ptes\[i\] == 0") as caught:
        with_ram_beside(gpt).reinit()
    functions = [frame.function for frame in caught.value.stack]
    assert functions[-11:-8] == ["vm_unmap_mmio", "vmx_vmcleanup", "vm_cleanup"]


@pytest.mark.parametrize("gpt", ["13932", "14042", "13896"])
def test_its_unmapping_loses_what_shares_its_leaf_on_production(gpt):
    machine = with_ram_beside(gpt, debug=False)
    assert lost_pages(machine, machine.reinit) == ((APIC + 0x1000, 2),)


@pytest.mark.parametrize("gpt", ["14367", "15844", "2025"])
def test_counted_leaves_keep_what_shares_it(gpt):
    machine = with_ram_beside(gpt)
    assert lost_pages(machine, machine.reinit) == ()


def test_it_is_intels():
    with pytest.raises(BadValue, match="apicv"):
        Machine("2025", apicv=True)
