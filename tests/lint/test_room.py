"""Whether a host has room for a VM: up to the very last byte."""

from __future__ import annotations

import pytest

from bhyvesim.kernel.memory import Memmap
from bhyvesim.kernel.reservoir import HostMemory
from bhyvesim.lint.room import Room
from bhyvesim.vm.spec import KernelSpec, SegmentSpec, VmSpec

GIB = 1 << 30
PAGE = 4096


def vm(length, gpa=0, *, reservoir=False):
    segment, memmap = SegmentSpec(0, "", length), Memmap(gpa, length, 0, 0)
    return VmSpec("x", KernelSpec(), "amd", (segment,), (memmap,), (), reservoir=reservoir)


def codes(room, spec):
    return [finding.rule.code for finding in room.findings(spec, [])]


def test_addresses_are_taken_to_the_last_byte():
    room = Room(HostMemory(None), phys_bits=32)
    assert codes(room, vm(GIB, 3 * GIB)) == ["BV118"]
    assert codes(room, vm(GIB, 3 * GIB + PAGE)) == ["BV117", "BV118"]


@pytest.mark.parametrize("reservoir", [True, False])
def test_memory_is_taken_to_the_last_byte(reservoir):
    room = Room(HostMemory(6 * GIB, free=3 * GIB), None)
    assert codes(room, vm(3 * GIB, reservoir=reservoir)) == ["BV118"]
    assert codes(room, vm(3 * GIB + PAGE, reservoir=reservoir)) == ["BV116", "BV118"]


@pytest.mark.parametrize(("reservoir", "where"), [(True, "the reservoir"), (False, "the host")])
def test_what_each_has_they_may_lack_together(reservoir, where):
    room = Room(HostMemory(6 * GIB, free=3 * GIB), None)
    one = vm(2 * GIB, reservoir=reservoir)
    assert room.together([one]) is None
    short = f"{where} is short by 1G: 4G asked, 3G free"
    assert room.together([one, one]) == f"Together: {short} (ENOMEM)."
    assert room.together([one, vm(3 * GIB, reservoir=not reservoir)]) is None
