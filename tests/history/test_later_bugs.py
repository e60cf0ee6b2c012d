"""The panics of the other revisions, and the counter that drifts."""

from __future__ import annotations

import pytest

from bhyvesim import KernelHang, KernelPanic, Machine, NotRunning, Refused
from bhyvesim.vm import life
from bhyvesim.vm.layouts import propolis
from bhyvesim.vm.spec import KernelSpec, VmSpec

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


def beside_a_hole(gpt: str, **kwargs) -> Machine:
    """One memmap of a page; the rest of its leaf is a hole."""
    machine = Machine(gpt, **kwargs)
    machine.alloc_memseg(0, 0x1000)
    machine.mmap_memseg(0, 0, 0, 0x1000, 7)
    return machine


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("gpt", ALL)
def test_a_vcpu_in_a_hole_is_mmio_and_panics_no_kernel(gpt, debug):
    machine = beside_a_hole(gpt, debug=debug)
    access = machine.access(0x1000, 1, 1)
    assert (access.ok, access.mapped, access.fault, access.gpa) == (0, 0, "FC_NOMAP", 0x1000)
    assert machine.destroy() == 0


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(
    ("reach", "path"),
    [
        (
            lambda machine: machine.access(0x1000, 1, 1, by="device"),
            [
                "vmm_drv_gpa2kva",
                "viona_hold_page",
                "vq_map_desc_bufs",
                "vq_popchain",
                "viona_tx",
                "viona_worker_tx",
                "viona_worker",
                "thread_start",
            ],
        ),
        (
            lambda machine: machine.hold(0x1000, 3),
            ["segvmm_fault_space", "segvmm_fault", "as_fault", "pagefault", "trap", "cmntrap"],
        ),
    ],
    ids=["device", "mapping"],
)
def test_13896_panics_when_a_hole_is_held(debug, reach, path):
    machine = beside_a_hole("13896", debug=debug)
    with pytest.raises(KernelPanic, match="vmsm != NULL") as caught:
        reach(machine)
    functions = [frame.function for frame in caught.value.stack]
    assert functions == ["vmspace_lookup_map", "vmc_hold", *path]


@pytest.mark.parametrize("gpt", [name for name in ALL if name != "13896"])
def test_other_kernels_find_no_page_in_a_hole(gpt):
    access = beside_a_hole(gpt).access(0x1000, 1, 1, by="device")
    assert (access.fault, access.gpa) == ("FC_NOMAP", 0x1000)


def unreadable(gpt: str, **kwargs) -> Machine:
    """A memmap that may be written, and not read."""
    machine = Machine(gpt, **kwargs)
    machine.alloc_memseg(0, 0x3000)
    machine.mmap_memseg(0, 0, 0, 0x3000, 2)
    return machine


@pytest.mark.parametrize("gpt", ["13932", "14042"])
def test_an_unreadable_page_panics_a_debug_kernel_on_amd(gpt):
    machine = unreadable(gpt)
    assert machine.access(0, 1, 2, by="device").ok == 1  # looks at the memmap alone
    with pytest.raises(KernelPanic) as caught:
        machine.access(0x1000, 1, 2)
    assert caught.value.message == (
        "assertion failed: (prot & PROT_READ) != 0, "
        "file: ../../i86pc/io/vmm/vmm_sol_rvi.c, line: 221"
    )
    functions = [frame.function for frame in caught.value.stack]
    assert functions[:4] == ["rvi_ops_map", "vm_fault", "vm_handle_paging", "vm_run"]
    assert machine.dump()["nodes"] == [[4, 0, 1, 0, 0]]


@pytest.mark.parametrize("gpt", ["13932", "14042"])
def test_wiring_an_unreadable_memmap_panics_and_leaves_no_memmap(gpt):
    machine = Machine(gpt)
    machine.alloc_memseg(0, 0x3000)
    with pytest.raises(KernelPanic, match="PROT_READ") as caught:
        machine.mmap_memseg(0, 0, 0, 0x3000, 4, wired=True)
    functions = [frame.function for frame in caught.value.stack]
    assert functions[:3] == ["rvi_ops_map", "vm_map_wire", "vm_mmap_memseg"]
    assert machine.dump()["memmap"] == []


def test_an_unreadable_page_is_mapped_elsewhere():
    for gpt, keys in (("13932", {"debug": False}), ("13932", {"npt": "ept"}), ("13896", {})):
        assert unreadable(gpt, **keys).access(0, 3, 2).mapped == 3


def test_a_warning_kernel_says_how_many_pages_may_not_be_read():
    machine = unreadable("14042", assertions="warn")
    assert machine.access(0, 1, 2).mapped == 1
    assert machine.access(0, 3, 2).mapped == 2
    assert [(w.facts["gpa"], w.times) for w in machine.kernel.warnings] == [(0, 1), (0x1000, 2)]
    assert machine.access(0, 1, 1).ok == 1  # readable after all
    other = unreadable("14042", assertions="warn")
    other.access(0, 1, 2)
    assert other.access(0, 3, 4).fault == "FC_PROT"  # at the present page: no other is mapped
    assert (other.resident, len(other.kernel.warnings)) == (1, 1)
    fresh = unreadable("14042", assertions="warn")
    assert fresh.access(0, 3, 4).fault == "FC_PROT"  # the first is mapped, and stops it
    assert [w.times for w in fresh.kernel.warnings] == [1]


HOLDING = ("13896", "14367", "15844", "2025")


@pytest.mark.parametrize("gpt", HOLDING)
@pytest.mark.parametrize(
    ("unmap", "path"),
    [
        (lambda m: m.munmap_memseg(0x200000, 0x1000), ["vm_free_memmap", "vm_munmap_memseg"]),
        (lambda m: m.reinit(), ["vm_free_memmap", "vm_cleanup", "vm_reinit"]),
        (lambda m: m.destroy(), ["vm_free_memmap", "vm_cleanup", "vm_destroy"]),
    ],
    ids=["munmap", "reinit", "destroy"],
)
def test_unmapping_while_a_page_is_held_never_ends(gpt, unmap, path):
    machine = beside_a_hole(gpt)
    machine.alloc_memseg(1, 0x1000, "bootrom")
    machine.mmap_memseg(0x200000, 1, 0, 0x1000, 5)
    assert machine.hold(0, 3).id == 1
    before = machine.dump()
    with pytest.raises(KernelHang) as caught:
        unmap(machine)
    functions = [frame.function for frame in caught.value.stack]
    assert functions[: 2 + len(path)] == ["vmc_space_unmap", "vmspace_unmap", *path]
    assert machine.dump() == before == caught.value.state
    assert len(caught.value.locks) == 2
    with pytest.raises(NotRunning, match="HUNG"):
        machine.access(0)


@pytest.mark.parametrize("gpt", HOLDING)
def test_a_released_hold_hangs_nothing(gpt):
    machine = beside_a_hole(gpt)
    held = machine.hold(0, 3)
    assert machine.release(held.id) is False
    with pytest.raises(Refused, match="EINVAL"):
        machine.release(held.id)
    assert machine.destroy() == 0


@pytest.mark.parametrize("gpt", ["13932", "14042"])
def test_before_the_vmspace_nothing_can_be_held(gpt):
    with pytest.raises(Refused, match="ENOTTY"):
        beside_a_hole(gpt).hold(0)


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
    machine.access(line + 0x1000, 1, 2)
    with pytest.raises(KernelPanic, match="end <= vmm_gpt_node_end"):
        machine.mmap_memseg(line - 0x1000, 1, 0, 0x2000, 7)
    assert [(step.level, bool(step.entry)) for step in machine.walk(line + 0x1000)] == [
        (4, True),
        (3, True),
        (2, True),
        (1, False),  # the new table, which is empty
    ]
    assert machine.dump()["ptes"] == []
    nodes = machine.dump()["nodes"]
    assert [1, line, 1, 0, 0] in nodes
    assert [1, line, 1, 1, 1] in nodes
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
        assert machine.access(end - 0x1000, 1, 1).ok == 1
        assert machine.access(end, 1, 1).fault == "FC_NOMAP"  # nothing is looked up there
        machine.destroy()
    else:
        with pytest.raises(Refused, match="EFAULT"):
            machine.mmap_memseg(end - 0x1000, 0, 0, 0x1000, 7)
        machine.mmap_memseg(end - 0x2000, 0, 0, 0x1000, 7)
    with pytest.raises(Refused, match=r"EFAULT|ENOENT"):
        machine.mmap_memseg(end, 0, 0, 0x1000, 7)
