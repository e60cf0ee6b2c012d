"""Crash dumps as bytes: whole again, also after destroy; and nothing else is taken for one."""

from __future__ import annotations

import hashlib
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bhyvesim import KernelHang, KernelPanic, Machine
from bhyvesim.crash.dump import BadDump, CrashDump, decode, encode
from bhyvesim.errors import Frame, KernelStop
from bhyvesim.kernel.plain import from_plain, to_plain
from bhyvesim.kernel.revisions import UnknownRevision


def dump() -> CrashDump:
    machine = Machine("2025", npt="ept", apicv=True)
    machine.alloc_memseg(0, 0x400000)
    machine.alloc_memseg(3, 0x1000, "bootrom", host_pfn=(1 << 40) - 1)
    machine.mmap_memseg(0, 0, 0, 0x400000, 7)
    machine.mmap_memseg(0xFFFFF000, 3, 0, 0x1000, 5)
    machine.access(0x1000, 700, 2)
    machine.hold(0, 3)
    with pytest.raises(KernelHang) as caught:
        machine.reinit()
    keys = {"vm": "x", "operation": "reboot", "time_ns": 1 << 60, "uuid": "u"}
    return CrashDump.of(caught.value, machine, **keys)


DUMP = dump()
BYTES = encode(DUMP)


def test_a_dump_comes_back_whole():
    again = decode(BYTES)
    assert again == DUMP
    assert again.machine().dump() == DUMP.machine().dump()
    assert (again.hung, again.function, again.gpt) == (True, "vmc_space_unmap", "2025")
    assert again.called("vm_reinit")
    assert again.arguments("vmspace_unmap") == {"addr": 0xFEE00000, "len": 0x1000}


def test_a_panic_has_no_locks():
    machine = Machine("13932")
    machine.alloc_memseg(0, 0x1000)
    machine.mmap_memseg(0, 0, 0, 0x1000, 2)
    with pytest.raises(KernelStop) as caught:
        machine.access(0)
    keys = {"vm": "x", "operation": "touch", "time_ns": 0, "uuid": "u"}
    panic = decode(encode(CrashDump.of(caught.value, machine, **keys)))
    assert (panic.hung, panic.locks, panic.message) == (False, (), caught.value.message)


@given(st.integers(0, len(BYTES) - 1), st.integers(1, 255))
def test_every_flipped_byte_is_noticed(at, flip):
    damaged = BYTES[:at] + bytes([BYTES[at] ^ flip]) + BYTES[at + 1 :]
    with pytest.raises(BadDump):
        decode(damaged)


@given(st.integers(0, len(BYTES) - 1))
def test_a_dump_that_is_cut_off_is_refused(length):
    with pytest.raises(BadDump):
        decode(BYTES[:length])


def test_a_later_version_is_named():
    with pytest.raises(BadDump, match="version '2'"):
        decode(BYTES.replace(b"dump 1 ", b"dump 2 ", 1))


def sealed(record) -> bytes:
    """*record* with a right checksum: what a hostile dump would have."""
    body = zlib.compress(json.dumps(record).encode())
    return b"bhyvesim crash dump 1 %s\n%s" % (hashlib.sha256(body).hexdigest().encode(), body)


WHOLE = json.loads(zlib.decompress(BYTES.partition(b"\n")[2]))
PATHS = [(name,) for name in WHOLE] + [("snapshot", name) for name in WHOLE["snapshot"]]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 1 << 70),
    st.text(max_size=5),
    st.lists(st.integers(0, 5), max_size=3),
    st.lists(st.lists(st.integers(-1, 1 << 66), max_size=7), min_size=1, max_size=3),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)


@given(st.sampled_from(PATHS), JUNK)
def test_a_sealed_dump_is_refused_or_is_a_machine(path, junk):
    record = json.loads(json.dumps(WHOLE))
    place = record
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = junk
    try:
        machine = decode(sealed(record)).machine()
    except (BadDump, UnknownRevision):
        return
    assert machine.dump()["nodes"]


def test_a_bomb_is_refused():
    body = zlib.compress(b"0" * (1 << 31), 1)
    data = b"bhyvesim crash dump 1 %s\n%s" % (hashlib.sha256(body).hexdigest().encode(), body)
    with pytest.raises(BadDump, match="too large"):
        decode(data)


@pytest.mark.parametrize("name", list(to_plain(DUMP.snapshot)))
def test_a_snapshot_lacks_nothing(name):
    plain = to_plain(DUMP.snapshot)
    assert from_plain(json.loads(json.dumps(plain))) == DUMP.snapshot
    del plain[name]
    with pytest.raises(ValueError, match=f"{name} is missing"):
        from_plain(plain)


def test_a_message_of_somebodys_own_revision_is_one_line():
    stopped = KernelPanic("a\n\x1b[31mb", (Frame("f"),))
    told = {"vm": "v", "operation": "reboot", "time_ns": 0, "uuid": "u"}
    dump = CrashDump.of(stopped, Machine("2025", debug=False), **told)
    assert dump.message == "a\\n\\e[31mb"
    assert decode(encode(dump)) == dump
