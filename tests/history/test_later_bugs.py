"""The panics of the other revisions, and the counter that drifts."""

from __future__ import annotations

import pytest

from bhyvesim import KernelPanic, Machine, Refused
from bhyvesim.vmm import life
from bhyvesim.vmm.layouts import propolis
from bhyvesim.vmm.spec import KernelSpec, VmSpec

GIB = 1 << 30
ALL = ("13932", "14042", "13896", "14367", "15844", "2025")


def shared_leaf(gpt: str, **kwargs) -> Machine:
    """Two memmaps of half a leaf each, both touched."""
    machine = Machine(gpt, **kwargs)
    for segid, gpa in ((0, 0), (1, 0x100000)):
        machine.alloc_memseg(segid, 0x100000)
        machine.mmap_memseg(gpa, segid, 0, 0x100000, 7)
        machine.access(gpa, 256, 2)
    return machine


@pytest.mark.parametrize("gpt", ["13932", "14042", "13896"])
def test_a_shared_leaf_panics_where_leaves_are_not_counted(gpt):
    machine = shared_leaf(gpt)
    with pytest.raises(KernelPanic, match=r"ptes\[i\] == 0"):
        machine.munmap_memseg(0, 0x100000)


@pytest.mark.parametrize("gpt", ["13932", "14042", "13896"])
def test_a_shared_leaf_is_lost_on_production_kernels(gpt):
    machine = shared_leaf(gpt, debug=False)
    machine.munmap_memseg(0, 0x100000)
    assert machine.dump()["ptes"] == []
    assert machine.resident > 0


@pytest.mark.parametrize("gpt", ["14367", "15844", "2025"])
def test_a_shared_leaf_stays_where_leaves_are_counted(gpt):
    machine = shared_leaf(gpt)
    machine.munmap_memseg(0, 0x100000)
    assert [row[:2] for row in machine.dump()["ptes"]] == [[0x100000, 256]]
    assert machine.access(0, 1, 1).fault == "FC_NOMAP"


@pytest.mark.parametrize("debug", [True, False])
def test_13896_panics_when_a_guest_touches_beside_a_small_memmap(debug):
    machine = Machine("13896", debug=debug)
    machine.alloc_memseg(0, 0x1000)
    machine.mmap_memseg(0, 0, 0, 0x1000, 7)
    with pytest.raises(KernelPanic) as caught:
        machine.access(0x1000, 1, 1)
    assert [frame.function for frame in caught.value.stack] == [
        "vmspace_lookup_map",
        "vmc_fault",
        "vm_handle_paging",
        "vm_run",
        "vmmdev_do_ioctl",
        "vmm_ioctl",
        "cdev_ioctl",
        "spec_ioctl",
        "fop_ioctl",
        "ioctl",
        "brand_sys_syscall",
    ]


@pytest.mark.parametrize("memory", [756 * GIB, 1024 * GIB])
@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("gpt", ALL)
def test_large_guests(gpt, memory, debug):
    """Highmem from 4 GiB crosses 512 GiB: fatal on 15844, nothing special elsewhere."""
    segments, mappings = propolis(memory, 2 << 20, {})
    spec = VmSpec("large", KernelSpec(gpt, debug), "amd", segments, mappings)
    machine = life.new_machine(spec)
    if gpt == "15844":
        with pytest.raises(KernelPanic) as caught:
            life.allocate(machine, spec)
        assert caught.value.function == "vmm_gpt_populate_region"
        end = 4 * GIB + memory - 3 * GIB
        assert f"({end:#x} <= 0x8000000000)" in caught.value.message
        return
    life.allocate(machine, spec)
    life.boot(machine, spec)
    if gpt == "13932" and debug:
        with pytest.raises(KernelPanic):
            life.reboot(machine, spec)
        return
    rebooted = life.reboot(machine, spec)
    assert rebooted.present == (memory >> 12) + 512
    assert machine.destroy() == 0


def test_15844_adds_a_table_twice():
    machine = Machine("15844")
    for segid in (0, 1):
        machine.alloc_memseg(segid, 0x400000)
    line = 512 * GIB
    machine.mmap_memseg(line + 0x1000, 0, 0, 0x1000, 7)
    with pytest.raises(KernelPanic) as caught:
        machine.mmap_memseg(line - 0x1000, 1, 0, 0x2000, 7)
    assert caught.value.function == "vmm_gpt_node_add"
    assert "(0x8000000000 > 0x8000000000)" in caught.value.message


def test_15844_production_has_the_table_twice_when_it_panics():
    machine = Machine("15844", debug=False)
    for segid in (0, 1):
        machine.alloc_memseg(segid, 0x400000)
    line = 512 * GIB
    machine.mmap_memseg(line + 0x1000, 0, 0, 0x1000, 7)
    with pytest.raises(KernelPanic, match="end <= vmm_gpt_node_end"):
        machine.mmap_memseg(line - 0x1000, 1, 0, 0x2000, 7)
    nodes = machine.dump()["nodes"]
    assert [1, line, 1, 0, 0] in nodes
    assert [1, line, 1, 1, 0] in nodes
    assert [2, line, 1, 2, 1] in nodes


@pytest.mark.parametrize("gpt", ["13896", "14367", "15844", "2025"])
def test_the_page_counter_drifts_at_every_reboot(gpt):
    segments, mappings = propolis(8 * GIB, 2 << 20, {})
    spec = VmSpec("vm", KernelSpec(gpt), "amd", segments, mappings)
    machine = life.build(spec)
    life.boot(machine, spec)
    drifts = [life.reboot(machine, spec) for _ in range(3)]
    assert [r.resident - r.present for r in drifts] == [512, 1024, 1536]


@pytest.mark.parametrize("gpt", ALL)
def test_the_last_page_of_the_vmspace(gpt):
    end = 1 << 46
    machine = Machine(gpt)
    machine.alloc_memseg(0, 0x2000)
    if gpt in ("13932", "14042"):
        machine.mmap_memseg(end - 0x1000, 0, 0, 0x2000, 7)
        assert machine.access(end, 1, 1).ok == 1
        machine.destroy()
    else:
        with pytest.raises(Refused, match="EFAULT"):
            machine.mmap_memseg(end - 0x1000, 0, 0, 0x1000, 7)
        machine.mmap_memseg(end - 0x2000, 0, 0, 0x1000, 7)
    with pytest.raises(Refused, match=r"EFAULT|ENOENT"):
        machine.mmap_memseg(end, 0, 0, 0x1000, 7)
