"""Crash dumps as bytes: whole again, also after destroy; and nothing else is taken for one."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bhyvesim import KernelHang, KernelPanic, Machine, limits
from bhyvesim.crash.codec import BadDump, decode, encode
from bhyvesim.crash.dump import CrashDump
from bhyvesim.errors import Frame, KernelStop
from bhyvesim.kernel.plain import from_plain, to_plain
from bhyvesim.kernel.revisions import UnknownRevision
from bhyvesim.kernel.vmspace import Hold

UUID = "6b3c1a52-0000-4000-8000-0123456789ab"


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
    keys = {"vm": "x", "operation": "reboot", "time_ns": 1 << 60, "uuid": UUID}
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
    keys = {"vm": "x", "operation": "touch", "time_ns": 0, "uuid": UUID}
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


def sealed(body: bytes) -> bytes:
    """*body* with a right checksum: what a hostile dump would have."""
    return b"bhyvesim crash dump 1 %s\n%s" % (hashlib.sha256(body).hexdigest().encode(), body)


def packed(record, *rows, pages: bytes = b"") -> bytes:
    """A sealed dump of *record*, rows of leaves, and packed pages."""
    lines = [json.dumps(value).encode() + b"\n" for value in (record, *rows)]
    return sealed(zlib.compress(b"".join(lines)) + pages)


def page(pfn: int, content: bytes | None) -> bytes:
    """A page as it stands in a dump; None: as the one before."""
    if content is None:
        return struct.pack(">QH", pfn, 0)
    packer = zlib.compressobj(wbits=-15)
    data = packer.compress(content) + packer.flush()
    return struct.pack(">QH", pfn, len(data)) + data


UNPACKER = zlib.decompressobj()
LINES = UNPACKER.decompress(BYTES.partition(b"\n")[2]).splitlines()
WHOLE = json.loads(LINES[0])
ROWS = [json.loads(line) for line in LINES[1:]]
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
        machine = decode(packed(record, *ROWS)).machine()
    except (BadDump, UnknownRevision):
        return
    assert machine.dump()["nodes"]


@given(st.integers(0, 6), st.integers(0, len(ROWS) - 1), JUNK)
def test_rows_that_cannot_be_are_refused(at, row, junk):
    rows = json.loads(json.dumps(ROWS))
    rows[row][at % len(rows[row])] = junk
    try:
        machine = decode(packed(WHOLE, *rows)).machine()
    except BadDump:
        return
    assert machine.dump()["nodes"]


def test_leaves_that_are_not_in_order_are_refused():
    with pytest.raises(BadDump, match="not ascending"):
        decode(packed(WHOLE, *reversed(ROWS)))


ZEROS = bytes(4096)


def test_pages_come_back_alike_ones_as_one():
    contents = ((1, ZEROS), (2, ZEROS), (9, b"\1" * 4096), (1 << 39, b"\1" * 4096))
    dump = replace(DUMP, snapshot=replace(DUMP.snapshot, contents=contents))
    data = encode(dump)
    assert data.endswith(page(1 << 39, None))
    again = decode(data).snapshot.contents
    assert again == contents
    assert again[0][1] is again[1][1]


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        (page(1, ZEROS)[:5], "cut off in a page"),
        (page(1, ZEROS)[:-1], "not 4096 bytes"),
        (page(1, None), "not in order"),
        (page(2, ZEROS) + page(2, None), "not in order"),
        (page(1 << 40, ZEROS), "not in order"),
        (page(1, bytes(4095)), "not 4096 bytes"),
        (page(1, bytes(1 << 20)), "not 4096 bytes"),
        (struct.pack(">QH", 1, 1) + b"\xff", "invalid block type"),
        (struct.pack(">QH", 1, 9999), "not 4096 bytes"),
    ],
)
def test_pages_that_cannot_be_are_refused(pages, message):
    with pytest.raises(BadDump, match=message):
        decode(packed(WHOLE, *ROWS, pages=pages))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b"0" * (1 << 26), "a line is too large"),
        (b"\n" * (1 << 26), "Expecting value"),
        (b"\n".join(LINES), "cut off in a line"),
        (b"", "makes no sense"),
    ],
)
def test_a_bomb_is_refused(lines, message):
    with pytest.raises(BadDump, match=message):
        decode(sealed(zlib.compress(lines, 1)))


def test_a_dump_of_too_many_lines_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "DUMP_UNPACKED", limits.Limit(len(LINES[0]), "bytes", "A dump"))
    with pytest.raises(BadDump, match="too large"):
        decode(BYTES)


def pages_of_a_mebibyte() -> bytes:
    """Pages of which none is another, as small as they go."""
    pages, room = [], (1 << 20) - 4000
    while room > 0:
        pages.append(page(len(pages), b"%04x" % len(pages) * 1024))
        room -= len(pages[-1])
    return b"".join(pages)


def rows_of(classes: int, count: int):
    """Leaves that differ in the class of one entry."""
    middle = [n for i in range(classes) for n in (1000 + i, 1 << i)]
    return ([at, at + 1, 9, *middle, 10_000_000 + at, 1 << classes] for at in range(count))


FREE = {**WHOLE, "holds": 0}
SMALL = {  # below 1 MiB, and the worst of its kind
    "pages": lambda: packed(FREE, pages=pages_of_a_mebibyte()),
    "leaves": lambda: packed(FREE, *([at, at + 1, 1, at, 1] for at in range(140_000))),
    "leaves of many classes": lambda: packed(FREE, *rows_of(60, 70_000)),
    "leaves of more classes": lambda: packed(FREE, *rows_of(150, 25_000)),
    "holds": lambda: packed({**WHOLE, "holds": 250_000}, *([7, 0, 3] for _ in range(250_000))),
    "holds that are not taken": lambda: packed(FREE, *([7, 0, 3] for _ in range(1 << 20))),
    "a list of lists": lambda: packed({**FREE, "facts": [[]] * 250_000}),
    "lists in lists": lambda: packed({**FREE, "facts": [nested(450)] * 1_100}),
    "a longer head": lambda: packed({**FREE, "facts": [[]] * 1_300_000}),
}

TAKEN = ("pages", "leaves")
CROWDED = ("leaves of many classes", "leaves of more classes", "holds")


def nested(depth: int):
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("kind", SMALL)
def test_a_small_dump_takes_little_memory(kind):
    data = SMALL[kind]()
    assert len(data) < 1 << 20
    script = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (200 << 20, 200 << 20))
from bhyvesim.crash.codec import BadDump, decode
try:
    dump = decode(sys.stdin.buffer.read())
    print("read", len(dump.snapshot.contents), len(dump.snapshot.leaves))
except BadDump as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], input=data, capture_output=True, check=True
    )
    told = done.stdout.decode()
    assert told.startswith("read " if kind in TAKEN else "a crash dump that makes no sense (")
    assert ("too many rows" in told) == (kind in CROWDED)


@pytest.mark.parametrize("name", list(to_plain(DUMP.snapshot)))
def test_a_snapshot_lacks_nothing(name):
    plain = to_plain(DUMP.snapshot)
    assert from_plain(json.loads(json.dumps(plain))) == DUMP.snapshot
    del plain[name]
    with pytest.raises(ValueError, match=f"{name} is missing"):
        from_plain(plain)


def test_a_message_of_somebodys_own_revision_is_one_line():
    stopped = KernelPanic("a\n\x1b[31mb", (Frame("f"),))
    told = {"vm": "v", "operation": "reboot", "time_ns": 0, "uuid": UUID}
    dump = CrashDump.of(stopped, Machine("2025", debug=False), **told)
    assert dump.message == "a\\n\\e[31mb"
    assert decode(encode(dump)) == dump


def test_a_gib_of_one_byte_is_not_too_much():
    contents = tuple((pfn, ZEROS) for pfn in range(1 << 18))
    dump = replace(DUMP, snapshot=replace(DUMP.snapshot, contents=contents))
    data = encode(dump)
    assert len(data) < 3 << 20
    assert decode(data) == dump


def test_holds_that_no_line_would_hold():
    holds = tuple((number, Hold(number << 12, 3)) for number in range(1, 100_001))
    dump = replace(DUMP, snapshot=DUMP.snapshot.but(holds=holds, last_hold=100_000))
    assert decode(encode(dump)) == dump


@pytest.mark.parametrize("uuid", ["", "u", "zz3c1a52-0000-4000-8000-0123456789ab", UUID + "0"])
def test_what_is_no_uuid_is_no_dump(uuid):
    with pytest.raises(BadDump, match="is no UUID"):
        decode(packed({**WHOLE, "uuid": uuid}, *ROWS))
