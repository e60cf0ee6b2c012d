"""VM_PAUSE and VM_RESUME, and what the VMM sees of an access that fails."""

from __future__ import annotations

import pytest

from bhyvesim.errors import KernelPanic, Refused
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.npt import track_dirty_pages
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.kernel.vmrun import vm_run_sees

PAUSING = ("15844", "2025")


def machine(gpt, **more):
    vm = Machine(gpt=gpt, **more)
    vm.alloc_memseg(0, 0x200000)
    vm.mmap_memseg(0, 0, 0, 0x200000, 7)
    vm.alloc_memseg(1, 0x200000, "bootrom")
    vm.mmap_memseg(0xFFE00000, 1, 0, 0x200000, 5)
    return vm


@pytest.mark.parametrize("gpt", REVISIONS)
def test_only_kernels_from_15844_on_pause(gpt):
    vm = machine(gpt)
    if gpt in PAUSING:
        vm.pause()
        vm.resume()
        return
    for ask in (vm.pause, vm.resume):
        with pytest.raises(Refused) as refused:
            ask()
        assert refused.value.errno_name == "ENOTTY"


@pytest.mark.parametrize("gpt", PAUSING)
def test_what_is_so_already_is_refused(gpt):
    vm = machine(gpt)
    for ask in (vm.resume, vm.pause, vm.pause):
        if ask == vm.pause and vm.state.value == "running":
            ask()
            continue
        with pytest.raises(Refused) as refused:
            ask()
        assert refused.value.errno_name == "EALREADY"


@pytest.mark.parametrize("gpt", PAUSING)
def test_no_vcpu_runs_while_devices_and_ioctls_go_on(gpt):
    vm = machine(gpt, track_dirty=True)
    vm.pause()
    for access in (lambda: vm.access(0, 1, "w"), lambda: vm.access_batch([0], "w")):
        with pytest.raises(Refused) as refused:
            access()
        assert refused.value.errno_name == "EBUSY"
    assert vm.access(0x1000, 1, "w", by="device").ok == 1
    assert track_dirty_pages(vm, 0, 0x200000)[0] == 0b10
    vm.munmap_memseg(0xFFE00000, 0x200000)
    assert vm.destroy() == 0


@pytest.mark.parametrize("gpt", PAUSING)
def test_a_reinit_leaves_it_paused(gpt):
    vm = machine(gpt)
    vm.pause()
    vm.reinit()
    assert vm.state.value == "paused"
    vm.resume()
    assert vm.access(0, 1, "w").ok == 1


@pytest.mark.parametrize("gpt", PAUSING)
def test_snapshots_and_forks_are_paused_too(gpt):
    vm = machine(gpt)
    vm.pause()
    for other in (vm.fork(), Machine.restored(vm.snapshot())):
        with pytest.raises(Refused):
            other.access(0)
        other.resume()
    assert vm.state.value == "paused"


def test_a_paused_vm_panics_as_any_other():
    vm = Machine(gpt="15844")
    vm.alloc_memseg(0, 1 << 40)
    vm.pause()
    with pytest.raises(KernelPanic):
        vm.mmap_memseg(0, 0, 0, 1 << 40, 7)
    assert vm.state.value == "panicked"


@pytest.mark.parametrize("gpt", REVISIONS)
def test_vm_run_fails_or_returns_a_paging_exit(gpt):
    vm = machine(gpt)
    write_to_rom = vm.access(0xFFE00000, 1, "w")
    assert write_to_rom.fault == "FC_PROT"
    assert vm_run_sees(vm, write_to_rom) == ("paging" if gpt in PAUSING else "EFAULT")
    assert vm_run_sees(vm, vm.access(0, 2, "w")) is None


@pytest.mark.parametrize("gpt", REVISIONS)
def test_a_hole_is_mmio(gpt):
    vm = machine(gpt)
    assert vm_run_sees(vm, vm.access(0x200000, 1, "r")) == "mmio"


def test_the_apic_page_is_no_hole():
    vm = machine("2025", npt="ept", apicv=True)
    assert vm_run_sees(vm, vm.access(0xFEE00000, 1, "x")) == "paging"
    assert vm_run_sees(vm, vm.access(0xFEE01000, 1, "x")) == "mmio"
