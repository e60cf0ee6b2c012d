"""Bug 14042: shown by 13932, gone in every later revision."""

from __future__ import annotations

import pytest

from bhyvesim import KernelPanic, Machine
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.vm import life
from bhyvesim.vm.layouts import propolis
from bhyvesim.vm.spec import KernelSpec, VmSpec

GIB = 1 << 30
PANICSTR = (
    "assertion failed: ptes[i] == 0 (0xe23cd7067 == 0x0), "
    "file: ../../i86pc/io/vmm/vmm_gpt.c, line: 441"
)


def report_vm(gpt: str, **kernel) -> VmSpec:
    segments, mappings = propolis(8 * GIB, 2 << 20, {"highmem": 0xE23CD6})
    return VmSpec("testvm", KernelSpec(gpt, **kernel), "amd", segments, mappings)


def booted(gpt: str, **kernel) -> tuple[VmSpec, Machine]:
    spec = report_vm(gpt, **kernel)
    machine = life.build(spec)
    life.boot(machine, spec)
    return spec, machine


def test_13932_panics_on_reboot_as_in_the_report():
    spec, machine = booted("13932")
    with pytest.raises(KernelPanic) as caught:
        life.reboot(machine, spec)
    assert caught.value.message == PANICSTR
    assert caught.value.facts == {
        "gpa": 0x100001000,
        "level": 1,
        "index": 1,
        "pte": 0xE23CD7067,
    }
    # The page after the ROM is gone already; its 511 neighbours are what the ASSERT met.
    assert [0x100001000, 1310719, 0xE23CD7067] in machine.dump()["ptes"]
    assert machine.resident == 2097664 - 512 - 1


def test_13932_panics_on_destroy_with_the_stack_of_the_report():
    _, machine = booted("13932")
    with pytest.raises(KernelPanic) as caught:
        machine.destroy()
    assert [frame.function for frame in caught.value.stack] == [
        "vmm_gpt_vacate_entry",
        "vmm_gpt_vacate_region",
        "rvi_ops_unmap",
        "vm_map_remove",
        "vm_free_memmap",
        "vm_cleanup",
        "vm_destroy",
        "vmm_do_vm_destroy_locked",
        "vmmdev_do_vm_destroy",
        "vmm_ctl_ioctl",
        "vmm_ioctl",
        "cdev_ioctl",
        "spec_ioctl",
        "fop_ioctl",
        "ioctl",
        "brand_sys_syscall",
    ]
    by_name = {frame.function: frame.args for frame in caught.value.stack}
    assert by_name["vm_map_remove"] == (0xFFE00000, 0x100000000)
    assert by_name["vmm_gpt_vacate_entry"] == (0x100000000,)


def test_13932_production_loses_a_page_and_a_leaf():
    spec, machine = booted("13932", debug=False)
    rebooted = life.reboot(machine, spec)
    assert rebooted.lost == ((0x100000000, 512),)
    assert rebooted.resident - rebooted.present == 511


def test_13932_warns_511_times_when_assertions_only_warn():
    spec, machine = booted("13932", assertions="warn")
    life.reboot(machine, spec)
    warnings = machine.kernel.warnings
    assert [w.facts["index"] for w in warnings] == list(range(1, 512))
    assert warnings[0].message == PANICSTR


@pytest.mark.parametrize("gpt", [name for name in REVISIONS if name != "13932"])
@pytest.mark.parametrize("debug", [True, False])
def test_later_kernels_reboot_twenty_times(gpt, debug):
    spec, machine = booted(gpt, debug=debug)
    for _ in range(20):
        rebooted = life.reboot(machine, spec)
        assert rebooted.lost == ()
        assert rebooted.present == 2097664
    assert machine.destroy() == 0


@pytest.mark.parametrize("gpt", ["13932", "14042"])
def test_bhyve_destroys_highmem_first_and_survives(gpt):
    """In bhyve's slot order the RAM above the ROM is gone before the ROM is unmapped."""
    from bhyvesim.vm.layouts import bhyve

    segments, mappings = bhyve(8 * GIB, 2 << 20, {})
    spec = VmSpec("vm", KernelSpec(gpt), "intel", segments, mappings)
    machine = life.build(spec)
    life.boot(machine, spec)
    assert machine.destroy() == 0
