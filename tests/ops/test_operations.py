"""Operations as values: their JSON form comes back, and means the same."""

from __future__ import annotations

import json
import pickle

import pytest

from bhyvesim import Machine, limits
from bhyvesim.errors import BadValue
from bhyvesim.ops.contents import Fill, Read, Write
from bhyvesim.ops.ioctls import Access, Create, MmapMemseg, NptOp
from bhyvesim.ops.operations import OPERATIONS, read_operation
from bhyvesim.ops.replay import Replayer
from tests.conformance.traces import TRACES


def test_every_recorded_operation_comes_back_from_its_json():
    seen = set()
    for trace in TRACES:
        for record in trace["ops"]:
            operation = read_operation(record)
            again = read_operation(json.loads(json.dumps(operation.record())))
            assert again == operation
            assert hash(again) == hash(operation)
            seen.add(operation.op)
    assert seen == OPERATIONS.keys() - {"access_batch", "read", "write", "fill", "pause", "resume"}


def test_what_is_at_its_default_is_left_out():
    record = {"op": "access", "gpa": "1M", "npages": 2, "prot": "rw", "by": "vcpu"}
    assert read_operation(record) == Access(1 << 20, 2, 3)
    assert read_operation(record).record() == {
        "op": "access",
        "gpa": 1 << 20,
        "npages": 2,
        "prot": 3,
    }
    npt = NptOp(0, 4096, 1 << 30 | 3, b"\x01")
    assert npt.record()["bitmap"] == "01"


@pytest.mark.parametrize(
    "keys", [{"length": 0}, {"length": limits.WRITTEN.most + 1}, {"byte": 256}, {"byte": -1}]
)
def test_a_fill_is_bounded_however_it_is_made(keys):
    with pytest.raises(BadValue, match="expected"):
        Fill(segid=0, **keys)
    assert Fill(segid=0, length=limits.WRITTEN.most, byte=255).byte == 255


def test_operations_survive_pickling():
    for record in TRACES[0]["ops"]:
        operation = read_operation(record)
        assert pickle.loads(pickle.dumps(operation)) == operation


def test_made_from_python_they_do_the_same():
    machine = Create("2025", debug=True, npt="rvi").machine()
    assert MmapMemseg(0, 0, 0, 4096, 7).apply(machine) == {"error": "EINVAL"}
    replayer = Replayer()
    replayer.machine = Machine()
    assert replayer.run({"op": "stats"}) == {"ok": 0, "resident_bytes": 0, "wired_bytes": None}


def test_bytes_go_in_by_one_way_and_come_out_by_the_other():
    replayer = Replayer()
    for record, result in (
        ({"op": "create", "gpt": "2025", "debug": True, "npt": "rvi"}, {"ok": 0}),
        ({"op": "alloc_memseg", "segid": 0, "len": "16K", "name": ""}, {"ok": 0}),
        (
            {"op": "mmap_memseg", "gpa": "1M", "segid": 0, "segoff": 0, "len": "16K", "prot": 3},
            {"ok": 0},
        ),
        ({"op": "write", "gpa": 0x100FFE, "data": "01020304"}, {"ok": 2, "mapped": 2}),
        ({"op": "read", "segid": 0, "segoff": 0xFFF, "len": 2}, {"ok": 0, "data": "0203"}),
        ({"op": "fill", "segid": 0, "segoff": 4096, "len": 8192, "byte": 7}, {"ok": 0}),
        ({"op": "read", "gpa": 0x100FFF, "len": 2}, {"ok": 2, "mapped": 0, "data": "0207"}),
        (
            {"op": "fill", "gpa": 0x103000, "len": 4097, "byte": 1},
            {"ok": 1, "mapped": 1, "fault": "FC_NOMAP", "gpa": 0x104000},
        ),
        ({"op": "read", "segid": 0, "segoff": 16383, "len": 1}, {"ok": 0, "data": "01"}),
        ({"op": "read", "segid": 0, "segoff": 16384, "len": 1}, {"error": "EINVAL"}),
    ):
        assert replayer.run(record) == result, record


@pytest.mark.parametrize(
    "operation",
    [Read(gpa=5, length=9), Write(segid=1, segoff=4, data=b"ab"), Fill(gpa=0, length=2, byte=9)],
)
def test_operations_on_bytes_come_back_too(operation):
    assert read_operation(json.loads(json.dumps(operation.record()))) == operation


@pytest.mark.parametrize(
    "record",
    [
        {"op": "read", "len": 1},
        {"op": "read", "gpa": 0, "segid": 0, "len": 1},
        {"op": "read", "gpa": 0, "segoff": 1, "len": 1},
        {"op": "read", "gpa": 0, "len": 0},
        {"op": "read", "gpa": 0, "len": "257M"},
        {"op": "write", "gpa": 0, "data": ""},
        {"op": "fill", "gpa": 0, "len": 1, "byte": 256},
        {"op": "access", "gpa": 0, "npages": 1, "prot": 4, "by": "device"},
        {"op": "hold", "gpa": 0, "prot": "x"},
        {"op": "npt_op", "gpa": 0, "len": 0, "operation": 1 << 32},
        {"op": "npt_op", "gpa": 0, "len": 0, "operation": 3, "bitmap": "0 "},
        {"op": "npt_op", "gpa": 0, "len": 0, "operation": 3, "bitmap": "012"},
        {"op": "release", "id": True},
        {"op": "create", "gpt": "2025", "debug": True, "npt": "rvi", "apicv": True},
    ],
)
def test_malformed_operations(record):
    with pytest.raises(BadValue):
        Replayer().run(record)
