"""Two who change one VM: the work is done again where somebody came between."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bhyvesim.errors import Refused
from bhyvesim.host.host import Host
from bhyvesim.kernel import contents
from bhyvesim.ops.contents import Write
from bhyvesim.ops.ioctls import Access, MmapMemseg, Stats
from bhyvesim.store.codec import encode_host
from bhyvesim.store.store import Store
from bhyvesim.vm.host_memory import HostSpec
from bhyvesim.vm.migration.plan import Plan
from bhyvesim.vm.spec import KernelSpec
from tests.stress import description, run

PAGE = 4096
NOW = 1630143825 * 10**9


class Interrupted(Store):
    """Before it writes, somebody else does something, as often as *times*."""

    def __init__(self, folder, times, what):
        super().__init__(folder)
        self.times, self.what = times, what
        self.seen = []

    @contextmanager
    def writing(self):
        self.seen.append("writing")
        if len(self.seen) <= self.times:
            self.what(len(self.seen))
        with super().writing() as transaction:
            yield transaction


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "state")


@pytest.fixture
def host(folder):
    host = Host(Store(folder), lambda: NOW)
    host.create(description("x", 1))
    return host


def test_memory_of_the_host_is_taken_by_one_alone(folder):
    """What is left of it is looked at when nobody else can take it any more."""
    spec = description("first", 1)
    host = Host(Store(folder), lambda: NOW)
    with host.store.writing() as transaction:
        transaction.set_host(encode_host(HostSpec(limit=spec.asked_of_host)))
    ours = Host(Interrupted(folder, 1, lambda n: host.create(spec)), lambda: NOW)
    with pytest.raises(Refused, match="ENOMEM"):
        ours.create(replace(spec, name="second"))
    assert host.names() == ["first"]


def test_who_records_does_nothing_twice(folder, host):
    """What was recorded cannot be taken back where the race is lost."""
    heard = []
    ours = Host(Interrupted(folder, 1, lambda n: touch(host, n)), lambda: NOW)
    ours.recorder = heard.append
    assert touch(ours, 9) == 1
    assert [type(operation) for operation in heard] == [Access]


def touch(host, page):
    (access,), *_ = host.perform("x", "touch", Access(page * PAGE, 1, 2))
    return access.mapped


def pages(host):
    rows = host.machine("x").dump()["ptes"]
    return {gpa // PAGE + i for gpa, n, _ in rows for i in range(n)}


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_both_changes_stay(folder, host, times):
    store = Interrupted(folder, times, lambda turn: touch(host, 100 + turn))
    assert touch(Host(store, lambda: NOW), 5) == 1
    assert pages(host) == {5, *range(101, 101 + times)}
    assert len(store.seen) == times + 1
    with host.store.reading() as transaction:
        row = transaction.vm("x")
        assert len(transaction.events("x", row.life)) == times + 2


def tracked(host):
    host.create(replace(description("m", 1), kernel=KernelSpec("2025"), track_dirty=True))


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_a_migration_takes_along_what_was_written_meanwhile(folder, host, times):
    tracked(host)

    def write(turn):
        host.perform("m", "poke", Write(turn * PAGE, data=b"meanwhile"))

    store = Interrupted(folder, times, write)
    came = Host(store, lambda: NOW).migrate("m", "n", Plan(writes=0))
    assert (came.leaked, came.rehearsed.lost) == (0, 0)
    assert host.names() == ["n", "x"]
    there = host.machine("n")
    assert [contents.read_guest(there, turn * PAGE, 9).data for turn in range(1, times + 1)] == [
        b"meanwhile"
    ] * times


def test_a_migration_whose_target_came_meanwhile_changes_nothing(folder, host):
    tracked(host)
    store = Interrupted(folder, 1, lambda _: host.create(description("n", 1)))
    with pytest.raises(Refused, match="EEXIST"):
        Host(store, lambda: NOW).migrate("m", "n", Plan())
    assert host.names() == ["m", "n", "x"]


def test_a_migration_whose_source_went_meanwhile_leaves_no_target(folder, host):
    tracked(host)
    store = Interrupted(folder, 1, lambda _: host.destroy("m"))
    with pytest.raises(Refused, match="ENOENT"):
        Host(store, lambda: NOW).migrate("m", "n", Plan())
    assert host.names() == ["x"]


def test_a_vm_that_went_meanwhile_is_gone(folder, host):
    other = Host(Interrupted(folder, 1, lambda _: host.destroy("x")), lambda: NOW)
    with pytest.raises(Refused, match="ENOENT"):
        touch(other, 5)


def test_a_vm_that_was_made_anew_meanwhile_is_another(folder, host):
    def anew(_):
        host.destroy("x")
        host.create(description("x", 1))

    touch(Host(Interrupted(folder, 1, anew), lambda: NOW), 5)
    assert pages(host) == {5}


def test_a_name_that_was_taken_meanwhile_is_taken(folder, host):
    other = Host(Interrupted(folder, 1, lambda _: host.create(description("y", 1))), lambda: NOW)
    with pytest.raises(Refused, match="EEXIST"):
        other.create(description("y", 1))


def test_an_unchanged_vm_is_not_written(folder, host):
    touch(host, 5)
    file = Path(host.store.path)
    before = file.stat().st_mtime_ns, file.read_bytes()
    (access,), *_ = host.perform("x", "touch", Access(5 * PAGE, 1, 2))
    assert (access.ok, access.mapped) == (1, 0)
    host.perform("x", "stats", Stats())
    with pytest.raises(Refused, match="EFAULT"):
        host.perform("x", "map", Access(9 * PAGE, 1, 2), MmapMemseg(0, 0, 0, PAGE, 7))
    assert (file.stat().st_mtime_ns, file.read_bytes()) == before


@pytest.mark.parametrize("vms", [1, 4])
def test_writers_in_many_processes_lose_nothing(vms):
    told = run(writers=4, vms=vms, amount=6, seconds=60)
    assert [one.changes for one in told] == [6] * 4
