"""The host's memory: what a segment takes, what is refused, and in which order."""

from __future__ import annotations

import pytest

from bhyvesim.errors import Refused
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.reservoir import HostMemory, Share, limit_of
from bhyvesim.kernel.revisions import REVISIONS

G = 1 << 30


def errno(call, *args, **named):
    with pytest.raises(Refused) as refused:
        call(*args, **named)
    return refused.value.errno_name


def test_the_limit_is_the_kernels():
    pages, locked = 1000, 70
    assert limit_of(pages * 4096, locked * 4096) == (pages * 10 - locked * 12) * 4096 // 10
    assert limit_of(1 << 40) == 1 << 40


def test_the_reservoir_gives_what_is_free_in_it():
    host = HostMemory(limit=None, free=4 * G)
    host.take(3 * G, reserved=True)
    assert errno(host.take, G + 4096, reserved=True) == "ENOMEM"
    host.take(G, reserved=True)
    assert (host.free, host.allocated, host.transient) == (0, 4 * G, 0)


def test_transient_memory_never_uses_the_reservoir_but_shares_the_limit():
    host = HostMemory(limit=8 * G, free=2 * G, allocated=3 * G)
    assert errno(host.take, 3 * G + 4096, reserved=False) == "ENOMEM"
    host.take(3 * G, reserved=False)
    assert (host.free, host.allocated, host.transient, host.left) == (2 * G, 3 * G, 3 * G, 0)
    assert errno(host.take, 4096, reserved=False) == "ENOMEM"
    host.take(2 * G, reserved=True)  # the limit counts what is free already


def test_a_refused_segment_takes_nothing():
    host = HostMemory(limit=8 * G, free=2 * G)
    before = host.copy()
    assert errno(host.take, 100 * G, reserved=True) == "ENOMEM"
    assert errno(host.take, 100 * G, reserved=False) == "ENOMEM"
    assert host == before


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        (4 * G + 1, "EINVAL"),
        ((1 << 64) - 1, "EINVAL"),
        (2 * G, "ENOSPC"),  # 3 G are allocated
        (7 * G + 4096, "ENOSPC"),  # past the limit, with 1 G of transient memory
        (5 * G, None),  # as it is
        (3 * G, None),
        (7 * G, None),
    ],
)
def test_resizing_the_reservoir(target, answer):
    host = HostMemory(limit=8 * G, free=2 * G, allocated=3 * G, transient=G)
    before = host.copy()
    if answer is not None:
        assert errno(host.resize, target) == answer
        assert host == before
        return
    host.resize(target)
    assert (host.reservoir, host.allocated, host.transient) == (target, 3 * G, G)


@pytest.mark.parametrize("gpt", REVISIONS)
def test_enomem_comes_last(gpt):
    vm = Machine(gpt=gpt)
    vm.host = Share(HostMemory(limit=0), reserved=True)
    assert errno(vm.alloc_memseg, 9, 4096) == "EINVAL"
    assert errno(vm.alloc_memseg, 0, 4097) == "EINVAL"
    assert errno(vm.alloc_memseg, 0, 4096) == "ENOMEM"
    vm.host = Share(HostMemory(limit=None, free=4096), reserved=True)
    vm.alloc_memseg(0, 4096)
    assert errno(vm.alloc_memseg, 0, 4096) == "EEXIST"
    assert errno(vm.alloc_memseg, 0, 8192) == "EINVAL"
    assert errno(vm.alloc_memseg, 1, 4096) == "ENOMEM"
    assert list(vm.segs) == [0]


def test_destroy_gives_all_back_and_reinit_nothing():
    memory = HostMemory(limit=None, free=G)
    vm = Machine()
    vm.host = Share(memory, reserved=True)
    vm.alloc_memseg(0, 0x200000)
    vm.alloc_memseg(1, 0x1000, "bootrom")
    vm.reinit()
    assert memory.allocated == 0x201000
    vm.destroy()
    assert memory == HostMemory(limit=None, free=G)


def test_what_happens_to_a_fork_is_nothing_to_the_host():
    memory = HostMemory(limit=None, free=G)
    vm = Machine()
    vm.host = Share(memory, reserved=True)
    vm.fork().alloc_memseg(0, G)
    vm.alloc_memseg(0, G)
    assert memory.free == 0
