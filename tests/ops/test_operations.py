"""Operations as values: their JSON form comes back, and means the same."""

from __future__ import annotations

import json
import pickle

import pytest

from bhyvesim import Machine
from bhyvesim.errors import BadValue
from bhyvesim.ops.operations import OPERATIONS, Access, Create, MmapMemseg, NptOp
from bhyvesim.ops.replay import Replayer, read_operation, result_of
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
    assert seen == OPERATIONS.keys() - {"access_batch"}


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


def test_operations_survive_pickling():
    for record in TRACES[0]["ops"]:
        operation = read_operation(record)
        assert pickle.loads(pickle.dumps(operation)) == operation


def test_made_from_python_they_do_the_same():
    machine = Create("2025", debug=True, npt="rvi").machine()
    assert result_of(MmapMemseg(0, 0, 0, 4096, 7), machine) == {"error": "EINVAL"}
    replayer = Replayer()
    replayer.machine = Machine()
    assert replayer.run({"op": "stats"}) == {"ok": 0, "resident_bytes": 0, "wired_bytes": None}


@pytest.mark.parametrize(
    "record",
    [
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
