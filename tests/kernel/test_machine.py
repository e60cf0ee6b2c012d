"""Refusals: each errno, and that nothing changes with it."""

from __future__ import annotations

import pytest

from bhyvesim import KernelPanic, Machine, NotRunning, Refused
from bhyvesim.errors import BadValue
from bhyvesim.kernel.check import problems

MIB = 1 << 20


@pytest.fixture
def machine():
    vm = Machine("2025")
    vm.alloc_memseg(0, 4 * MIB)
    vm.alloc_memseg(1, MIB, "bootrom")
    vm.mmap_memseg(0, 0, 0, 2 * MIB, 7)
    vm.access(0, 10, 2)
    return vm


@pytest.mark.parametrize(
    ("errno", "args"),
    [
        ("EINVAL", (-1, MIB)),
        ("EINVAL", (5, MIB)),
        ("EINVAL", (2, 0)),
        ("EINVAL", (2, 4097)),
        ("EINVAL", (2, -4096)),
        ("ENOMEM", (2, 1 << 64)),
        ("ENOMEM", (2, 4096, "", 1 << 40)),
        ("EEXIST", (0, 4 * MIB)),
        ("EINVAL", (0, 2 * MIB)),
        ("EINVAL", (0, 4 * MIB, "rom")),
        ("EEXIST", (1, MIB, "another")),
    ],
)
def test_alloc_refusals(machine, errno, args):
    before = machine.dump(), dict(machine.segs), machine.next_host_pfn
    with pytest.raises(Refused) as refused:
        machine.alloc_memseg(*args)
    assert refused.value.errno_name == errno
    assert (machine.dump(), dict(machine.segs), machine.next_host_pfn) == before


@pytest.mark.parametrize(
    ("errno", "args"),
    [
        ("EINVAL", (0, 0, 0, 4096, 0)),
        ("EINVAL", (0, 0, 0, 4096, 8)),
        ("EINVAL", (0, 0, 0, 4096, -1)),
        ("EINVAL", (8 * MIB, 3, 0, 4096, 7)),
        ("EINVAL", (8 * MIB, 0, -4096, 8192, 7)),
        ("EINVAL", (8 * MIB, 0, 0, 0, 7)),
        ("EINVAL", (8 * MIB, 0, 0, -4096, 7)),
        ("EINVAL", (8 * MIB, 0, 0, 1 << 65, 7)),
        ("EINVAL", (8 * MIB, 0, 4 * MIB, 4096, 7)),
        ("EINVAL", (8 * MIB + 1, 0, 0, 4096, 7)),
        ("EINVAL", (8 * MIB, 0, 1, 4096, 7)),
        ("EINVAL", (8 * MIB, 0, 0, 4097, 7)),
        ("EFAULT", (MIB, 0, 0, 4096, 7)),
        ("EFAULT", (2 * MIB - 4096, 0, 0, 8192, 7)),
        ("EFAULT", (-4096, 0, 0, 4096, 7)),
        ("EFAULT", (1 << 46, 0, 0, 4096, 7)),
        ("EFAULT", ((1 << 64) - 4096, 0, 0, 4096, 7)),
        ("EFAULT", (1 << 70, 0, 0, 4096, 7)),
    ],
)
@pytest.mark.parametrize("gpt", ["13932", "13896", "2025"])
def test_mmap_refusals(gpt, errno, args):
    machine = Machine(gpt)
    machine.alloc_memseg(0, 4 * MIB)
    machine.mmap_memseg(0, 0, 0, 2 * MIB, 7)
    machine.access(0, 10, 2)
    before = machine.dump()
    with pytest.raises(Refused) as refused:
        machine.mmap_memseg(*args)
    assert refused.value.errno_name == errno
    assert machine.dump() == before
    assert problems(machine) == []


def test_the_ninth_memmap_finds_no_slot(machine):
    for i in range(7):
        machine.mmap_memseg((8 + i) * MIB, 0, 0, 4096, 7)
    with pytest.raises(Refused, match="ENOSPC"):
        machine.mmap_memseg(64 * MIB, 0, 0, 4096, 7)


def test_a_freed_slot_is_the_next_taken(machine):
    machine.mmap_memseg(8 * MIB, 0, 0, 4096, 7)
    machine.munmap_memseg(0, 2 * MIB)
    machine.mmap_memseg(9 * MIB, 0, 0, 4096, 7)
    assert [m and m.gpa // MIB for m in machine.slots[:3]] == [9, 8, None]


def test_munmap_wants_an_exact_memmap(machine):
    for gpa, length in ((0, MIB), (4096, 2 * MIB), (0, -1), (1 << 64, 4096)):
        with pytest.raises(Refused, match="EINVAL"):
            machine.munmap_memseg(gpa, length)


def test_munmap_of_nothing_matches_an_empty_slot(machine):
    machine.munmap_memseg(0, 0)
    for i in range(7):
        machine.mmap_memseg((8 + i) * MIB, 0, 0, 4096, 7)
    with pytest.raises(Refused, match="EINVAL"):
        machine.munmap_memseg(0, 0)


@pytest.mark.parametrize("gpa", [-4096, 1 << 48, 1 << 64, 3 * MIB])
def test_accesses_out_of_reach_find_nothing(machine, gpa):
    access = machine.access(gpa, 1, 1)
    assert (access.ok, access.fault, access.gpa) == (0, "FC_NOMAP", gpa)
    assert machine.access(gpa, 3, 1) == access
    assert machine.access_batch([gpa], 1).faults == ((gpa, "FC_NOMAP"),)


def test_an_access_names_what_it_wants(machine):
    for prot in (0, 8, -1):
        with pytest.raises(BadValue):
            machine.access(0, 1, prot)


def test_unknown_kernels():
    with pytest.raises(BadValue, match="14043"):
        Machine("14043")
    with pytest.raises(BadValue, match="sv39"):
        Machine(npt="sv39")


def test_after_a_panic_only_the_dump_answers():
    machine = Machine("13896")
    machine.alloc_memseg(0, 4096)
    machine.mmap_memseg(0, 0, 0, 4096, 7)
    with pytest.raises(KernelPanic) as caught:
        machine.access(4096, by="device")
    assert caught.value.state == machine.dump()
    for operation in (
        lambda: machine.alloc_memseg(1, 4096),
        lambda: machine.mmap_memseg(0, 0, 0, 4096, 7),
        lambda: machine.munmap_memseg(0, 4096),
        lambda: machine.access(0),
        lambda: machine.access_batch([0]),
        lambda: machine.access(0, by="device"),
        lambda: machine.hold(0),
        lambda: machine.release(1),
        machine.stats,
        machine.reinit,
        machine.destroy,
    ):
        with pytest.raises(NotRunning, match="PANICKED"):
            operation()


def test_after_destroy_nothing_answers(machine):
    assert machine.destroy() == 0
    for operation in (machine.dump, machine.reinit, lambda: machine.access(0)):
        with pytest.raises(NotRunning, match="ENOENT"):
            operation()


def test_batch_stops_where_the_fault_handler_panics():
    one, many = Machine("13932"), Machine("13932")
    for machine in (one, many):
        machine.alloc_memseg(0, 0x6000)
        machine.mmap_memseg(0x2000, 0, 0, 0x3000, 7)
        machine.mmap_memseg(0x9000, 0, 0x3000, 0x3000, 2)  # may not be read
    gpas = [0x2000, 0x400000, 0x3000, 0x9000, 0x4000]
    for gpa in gpas[:3]:
        one.access(gpa, 1, 2)
    with pytest.raises(KernelPanic) as slow:
        one.access(gpas[3], 1, 2)
    with pytest.raises(KernelPanic) as fast:
        many.access_batch(gpas, 2)
    assert fast.value.state == slow.value.state
    assert fast.value.stack == slow.value.stack
    assert fast.value.facts == {"gpa": 0x9000}
