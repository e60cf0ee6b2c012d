"""Snapshots, forks and stored forms of machines in every state that the recordings reach."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from bhyvesim import Machine
from bhyvesim.errors import KernelStop
from bhyvesim.kernel import contents
from bhyvesim.kernel.check import problems
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.ops.replay import Replayer
from bhyvesim.store.codec import encode_spec
from bhyvesim.store.lives import Recorder, load_moment
from bhyvesim.store.schema import statements
from bhyvesim.store.transaction import Transaction
from bhyvesim.vm.spec import empty_vm
from tests.conformance.traces import TRACES


def restored(machine):
    return Machine.restored(machine.snapshot())


def stored(machine):
    """Through the rows that the state file holds."""
    with closing(sqlite3.connect(":memory:")) as db:
        for statement in statements():
            db.execute(statement)
        transaction = Transaction(db, eager=True)
        change = Recorder(machine).take("digest", machine.state.value)
        transaction.add_spec("digest", encode_spec(empty_vm("x")))
        transaction.add_moment(1, 1, change)
        moment, spec = transaction.moment("x", 1, 1)
        return load_moment(transaction, "x", 1, 1, moment, spec).machine


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("again", [Machine.fork, restored, stored])
def test_the_recordings_go_on_from_a_machine_made_again(revision, again):
    """After every fifth operation the machine is replaced by its copy; no result may differ."""
    for trace in TRACES:
        if trace["ops"][0]["gpt"] != revision:
            continue
        replayer = Replayer()
        for i, (op, expected) in enumerate(zip(trace["ops"], trace["results"], strict=True)):
            assert replayer.run(op) == expected, (trace["id"], i)
            machine = replayer.machine
            if i % 5 == trace["id"] % 5 and machine.state.value != "destroyed":
                replayer.machine = again(machine)
                assert replayer.machine.snapshot() == machine.snapshot()
                assert problems(replayer.machine) == problems(machine)


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_happens_to_a_fork_is_nothing_to_the_other(revision):
    for trace in TRACES[::3]:
        if trace["ops"][0]["gpt"] != revision:
            continue
        half = len(trace["ops"]) // 2
        replayer, other = Replayer(), Replayer()
        for op in trace["ops"][:half]:
            replayer.run(op)
        if replayer.machine.state.value == "destroyed":
            continue
        before = replayer.machine.snapshot()
        other.machine = replayer.machine.fork()
        results = [other.run(op) for op in trace["ops"][half:]]
        assert results == trace["results"][half:]
        assert replayer.machine.snapshot() == before


def test_contents_are_forked_too():
    machine = Machine()
    machine.alloc_memseg(0, 0x2000)
    machine.mmap_memseg(0, 0, 0, 0x2000, 7)
    contents.write_guest(machine, 0xFF0, b"before" * 5)
    fork = machine.fork()
    contents.write_guest(fork, 0xFF0, b"after")
    assert contents.read_guest(machine, 0xFF0, 30).data == b"before" * 5
    assert contents.read_guest(fork, 0xFF0, 8).data == b"afterebe"
    assert contents.read_guest(stored(fork), 0xFF0, 8).data == b"afterebe"


def test_equal_histories_are_equal_snapshots_and_others_are_not():
    def lived(writes):
        machine = Machine("2025")
        machine.alloc_memseg(0, 0x400000)
        machine.mmap_memseg(0, 0, 0, 0x400000, 7)
        for gpa in writes:
            machine.access(gpa, 1, 2)
        return machine.snapshot()

    assert lived([0, 0x1000]) == lived([0x1000, 0])
    assert hash(lived([0])) == hash(lived([0]))
    assert lived([0]) != lived([0x1000])


def test_a_stopped_machine_stays_stopped():
    machine = Machine("13896")
    machine.alloc_memseg(0, 0x1000)
    machine.mmap_memseg(0, 0, 0, 0x1000, 7)
    with pytest.raises(KernelStop):
        machine.access(0x1000, by="device")
    assert restored(machine).dump() == machine.dump()
    assert restored(machine).state is machine.state
