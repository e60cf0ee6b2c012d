"""Entries and returns of the simulated functions, for whoever listens."""

from __future__ import annotations

import pytest

from bhyvesim import Machine
from bhyvesim.errors import KernelPanic, Refused
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.kernel.stacks import RUN
from bhyvesim.ops.replay import Replayer
from tests.conformance.traces import TRACES

PAGE = 0x1000
MIB = 1 << 20
GIB = 1 << 30


def report_vm(gpt, **keys):
    """The guest of the report: RAM below and above 4 GiB, the boot ROM between."""
    vm = Machine(gpt, **keys)
    vm.alloc_memseg(0, 8 * GIB)
    vm.alloc_memseg(1, 2 * MIB, "bootrom")
    vm.mmap_memseg(0, 0, 0, 3 * GIB, 7)
    vm.mmap_memseg(0xFFE00000, 1, 0, 2 * MIB, 5)
    vm.mmap_memseg(1 << 32, 0, 3 * GIB, 5 * GIB, 7)
    return vm


def heard(vm, operation):
    """What is heard during *operation*, and what it raised."""
    firings = []
    vm.listen(firings.append)
    try:
        operation()
    except (Refused, KernelPanic) as raised:
        return firings, raised
    finally:
        vm.listen(None)
    return firings, None


def shown(firings, *functions):
    """Name, arguments and count of the entries of *functions*."""
    return [
        (f.frame.function, f.frame.named(), f.times)
        for f in firings
        if not f.returned and f.frame.function in functions
    ]


def test_the_one_liner_of_the_report():
    vm = report_vm("13932", debug=False)
    firings, _ = heard(vm, vm.reinit)
    asked = {"start": 0xFFE00000, "end": 0x1_0000_0000}
    assert shown(firings, "vm_map_remove") == [("vm_map_remove", asked, 1)]


@pytest.mark.parametrize("gpt", REVISIONS)
def test_a_guest_that_touches_all_its_memory_is_a_firing_a_run(gpt):
    vm = report_vm(gpt)
    firings, _ = heard(vm, lambda: vm.access(0, 3 * GIB // PAGE, "w"))
    assert shown(firings, "vmm_gpt_map") == [
        ("vmm_gpt_map", {"gpa": 0, "prot": 7}, 3 * GIB // PAGE)
    ]
    assert [f.step for f in firings if f.frame.function == "vmm_gpt_map"] == [PAGE, PAGE]
    firings, _ = heard(vm, lambda: vm.access(0, 512, "r"))
    assert [f.frame.function for f in firings if not f.returned] == list(RUN)


def test_pages_that_are_there_already_cut_a_run():
    vm = report_vm("14367")
    vm.access(5 * PAGE, 3, "w")
    firings, _ = heard(vm, lambda: vm.access(0, 1024, "w"))
    faults = [(values["gpa"], times) for _, values, times in shown(firings, "vmc_fault")]
    assert faults == [(0, 5), (8 * PAGE, 504), (2 * MIB, 512)]


def test_a_fault_that_is_refused_returns_its_code():
    vm = report_vm("2025")
    firings, _ = heard(vm, lambda: vm.access(0xFFE00000, 512, "w"))
    ends = {f.frame.function: f.result for f in firings if f.returned}
    assert (ends["vmc_fault"], ends["vmspace_lookup_map"], ends["vm_handle_paging"]) == (4, 4, None)
    assert shown(firings, "vmm_gpt_map") == []


def test_memory_that_nothing_maps_is_no_fault():
    vm = report_vm("2025")
    firings, _ = heard(vm, lambda: vm.access(64 * GIB, 1, "w"))
    assert shown(firings, "vm_handle_paging") == []


def test_an_ioctl_that_is_refused_returns_the_errno():
    vm = report_vm("2025")
    firings, raised = heard(vm, lambda: vm.mmap_memseg(PAGE, 0, 0, PAGE, 7))
    assert raised.errno_name == "EFAULT"
    ends = {f.frame.function: f.result for f in firings if f.returned}
    assert (ends["vmspace_map"], ends["vm_mmap_memseg"]) == (14, 14)


@pytest.mark.parametrize("gpt", [name for name, r in REVISIONS.items() if r.ioctls.holds])
def test_a_device_holds_and_releases(gpt):
    vm = report_vm(gpt)
    firings, _ = heard(vm, lambda: vm.access(0, 3, "w", by="device"))
    names = ("vmc_hold", "vmm_gpt_map", "vmp_release")
    assert [(name, times) for name, _, times in shown(firings, *names)] == [(n, 3) for n in names]
    firings, _ = heard(vm, lambda: vm.release(vm.hold(0, "w").id))
    assert [name for name, _, _ in shown(firings, *names)] == ["vmc_hold", "vmp_release"]


def test_a_panic_leaves_entries_without_returns():
    vm = report_vm("13932")
    vm.access(1 << 32, 3, "w")
    firings, panic = heard(vm, vm.reinit)
    under_way = []
    for firing in firings:
        if firing.returned:
            under_way.pop()
        else:
            under_way.append(firing.frame)
    assert tuple(reversed(under_way)) == panic.stack
    assert panic.stack[0].named() == {"gpa": 1 << 32}
    unmapped = next(f for f in firings if f.frame.function == "vmm_gpt_unmap_region" and f.returned)
    assert unmapped.result == 1


@pytest.mark.parametrize("revision", REVISIONS)
def test_recordings_come_out_alike_when_somebody_listens(revision):
    """And as many pages are heard to be mapped as the recordings say."""
    for trace in TRACES:
        if trace["ops"][0]["gpt"] != revision:
            continue
        replayer = Replayer()
        pages = 0

        def count(firing):
            nonlocal pages
            if firing.frame.function == "vmm_gpt_map" and firing.returned:
                pages += firing.times

        for op, expected in zip(trace["ops"], trace["results"], strict=True):
            pages = 0
            assert replayer.run(op) == expected
            if op["op"] == "create":
                replayer.machine.listen(count)
            elif op["op"] == "access":
                assert pages == expected.get("mapped", pages)


def test_every_function_of_a_path_is_known():
    for revision in REVISIONS.values():
        for npt in ("rvi", "ept"):
            paths = revision.paths[npt]
            for names in paths.values():
                assert set(names) <= set(revision.functions)
