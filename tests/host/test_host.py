"""A host used from Python: VMs by name, without a command line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bhyvesim.config.vm import load
from bhyvesim.errors import BadValue, Refused
from bhyvesim.host.host import Host, Stopped
from bhyvesim.ops.ioctls import Access, Hold, Release
from bhyvesim.store.store import Store
from bhyvesim.vm.spec import empty_vm

NOW = 1630143825 * 10**9


@pytest.fixture
def host(tmp_path):
    return Host(Store(str(tmp_path / "state")), lambda: NOW)


@pytest.fixture
def testvm(config):
    with open(config("testvm"), "rb") as file:
        return load(file.read(), "testvm")


def test_a_life(host, testvm):
    assert host.create(testvm).booted.accessed == 2097664
    assert host.reboot("testvm").result.lost == ()
    done = host.perform("testvm", "touch", Access(0, 1, 1))
    assert (done.values[0].ok, done.lost, done.warnings) == (1, (), ())
    assert host.machine("testvm").resident == 2097664
    destroyed = host.destroy("testvm")
    assert (destroyed.leaked, destroyed.ended) == (0, None)
    with pytest.raises(Refused, match="ENOENT"):
        host.reboot("testvm")


def test_a_panic_is_stored_and_said_by_value(host, testvm):
    spec = replace(testvm, kernel=replace(testvm.kernel, gpt="13932"))
    host.create(spec)
    with pytest.raises(Stopped) as caught:
        host.reboot("testvm")
    stopped = caught.value
    assert (stopped.state, stopped.crash_id, stopped.dump.operation) == ("panicked", 1, "reboot")
    assert stopped.dump.machine().dump() == host.machine("testvm").dump()
    with pytest.raises(Refused, match="PANICKED"):
        host.reboot("testvm")
    assert host.destroy("testvm").ended == "panicked"


def test_a_dry_host_keeps_nothing(tmp_path, testvm):
    dry = Host(Store(str(tmp_path / "state")), lambda: NOW, keep=False)
    assert dry.create(testvm).booted.mapped == 2097664
    assert not (tmp_path / "state").exists()


def test_power_and_memory(host):
    host.create(empty_vm("x"))
    with pytest.raises(BadValue):
        host.set_memory("x", 0)
    host.set_memory("x", 3)
    assert [m.length for m in host.machine("x").memmaps] == [4 << 20]
    host.power_off("x")
    for again in (lambda: host.power_off("x"), lambda: host.perform("x", "touch", Access(0, 1, 1))):
        with pytest.raises(Refused, match=r"EALREADY|EBUSY"):
            again()
    assert host.perform("x", "hold", Hold(0, 3)).values[0].id == 1
    host.perform("x", "release", Release(1))
    host.reboot("x")
    assert host.perform("x", "touch", Access(0, 1, 1)).values[0].ok == 1


def test_all_are_destroyed_though_one_panics(host, testvm):
    host.create(replace(testvm, name="a"))
    host.create(replace(testvm, name="b", kernel=replace(testvm.kernel, gpt="13932")))
    outcomes = host.destroy_all()
    assert [(o.name, o.leaked, o.stopped is not None) for o in outcomes] == [
        ("a", 0, False),
        ("b", None, True),
    ]
