"""The table of operations, by the word that stands for them in JSON."""

from __future__ import annotations

import json
from typing import Any

from bhyvesim.errors import BadValue
from bhyvesim.ops import contents, ioctls
from bhyvesim.ops.keys import MISSING
from bhyvesim.ops.operation import Operation
from bhyvesim.units import shorten

_CLASSES: tuple[type[Operation], ...] = (
    ioctls.Create,
    ioctls.AllocMemseg,
    ioctls.MmapMemseg,
    ioctls.MunmapMemseg,
    ioctls.Access,
    ioctls.AccessBatch,
    ioctls.Hold,
    ioctls.Release,
    ioctls.NptOp,
    ioctls.TrackDirtyPages,
    ioctls.Stats,
    ioctls.Pause,
    ioctls.Resume,
    ioctls.Reinit,
    ioctls.Destroy,
    ioctls.Dump,
    contents.Read,
    contents.Write,
    contents.Fill,
)
OPERATIONS: dict[str, type[Operation]] = {cls.op: cls for cls in _CLASSES}


def read_operation(record: dict[str, Any]) -> Operation:
    """The operation that *record* is. Raises BadValue where it is malformed."""
    name = record.get("op", MISSING)
    if name is MISSING:
        raise BadValue('the key "op" is missing', f"one of {', '.join(OPERATIONS)}")
    cls = OPERATIONS.get(name) if isinstance(name, str) else None
    if cls is None:
        raise BadValue(f"unknown op {shorten(json.dumps(name))}", f"one of {', '.join(OPERATIONS)}")
    return cls.of(record)
