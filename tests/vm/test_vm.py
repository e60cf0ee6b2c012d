"""The public Python interface."""

from __future__ import annotations

import pytest

import bhyvesim
from bhyvesim import Machine, Refused, Span, Vm, load
from bhyvesim.config.document import ConfigError
from bhyvesim.errors import BadValue
from bhyvesim.vm.life import touching
from bhyvesim.vm.spec import TouchSpec


@pytest.fixture
def vm(config):
    return load(config("testvm")).boot()


def test_a_description_becomes_a_vm_that_lives(vm):
    assert vm.spec.name == "testvm"
    assert vm.resident == 2097664
    assert vm.reboot().lost == ()
    assert vm.destroy() == 0


def test_what_is_written_is_read_and_is_dirty(config):
    vm = load(config("testvm"))
    assert vm.dirty == []
    assert vm.write(0xFFE, b"across").ok == 2
    assert vm.read(0xFFE, 6) == b"across"
    assert vm.access(0x100000000, 3, "w").mapped == 3
    assert vm.dirty == [(0, 2), (0x100000000, 3)]
    assert vm.read(0xBFFFFFFE, 4) == b"\0\0"  # the rest is a hole


def test_a_fork_of_a_vm_is_a_vm(vm):
    fork = vm.fork()
    assert isinstance(fork, Vm)
    fork.write(0, b"x")
    assert (vm.read(0, 1), fork.read(0, 1)) == (b"\0", b"x")
    assert Machine.restored(vm.snapshot()).dump() == vm.dump()


@pytest.mark.parametrize(
    ("gpa", "length", "pages"),
    [(0, 4096, 1), (0, 4097, 2), (4095, 2, 2), (4096, 1, 1), (1, 4095, 1)],
)
def test_a_touch_is_of_every_page_that_holds_a_byte_of_it(gpa, length, pages):
    access = touching(TouchSpec(gpa, length, 2))
    assert (access.gpa >> 12, access.npages) == (gpa >> 12, pages)


def test_protections_are_masks_or_letters():
    machine = Machine()
    machine.alloc_memseg(0, 0x2000)
    machine.mmap_memseg(0, 0, 0, 0x1000, "r-x")
    assert machine.memmaps[0].prot == 5
    assert machine.access(0, 1, "w").fault == "FC_PROT"
    assert machine.access(0, 1, "rx").ok == machine.access(0, 1, 5).ok == 1
    assert machine.access_batch([0], "x").ok == 1
    assert machine.hold(0, "r").id == 1
    with pytest.raises(BadValue):
        machine.access(0, 1, "z")
    with pytest.raises(Refused, match="EINVAL"):
        machine.mmap_memseg(0x1000, 0, 0, 0x1000, 8)


def test_what_is_wrong_with_a_file(tmp_path, config):
    path = tmp_path / "vm.yaml"
    path.write_text("name: x\nmemory: lots\n")
    with pytest.raises(ConfigError, match=r"vm\.yaml:2:9: memory: 'lots' is not a size"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.yaml")


def test_every_public_name_is_there():
    for name in bhyvesim.__all__:
        assert getattr(bhyvesim, name) is not None
    assert set(bhyvesim.__all__) == {*bhyvesim._HOMES, "__version__"}
    assert Span(0, 1).last == 0
