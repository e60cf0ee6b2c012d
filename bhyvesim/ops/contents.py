"""What is in memory, as operations: read, write and fill, through the guest or a segment."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from bhyvesim.errors import BadValue
from bhyvesim.kernel import contents
from bhyvesim.kernel.gpt.access import Access
from bhyvesim.kernel.machine import Machine
from bhyvesim.ops import keys as k
from bhyvesim.ops.ioctls import shown_access
from bhyvesim.ops.keys import Key
from bhyvesim.ops.operation import Operation, Result

_WHERE = (
    Key.of("gpa", k.number, None),
    Key.of("segid", k.number, None),
    Key.of("segoff", k.number, 0),
)


class Bytes(NamedTuple):
    """What was read or written: *data* of a read; *access* of the guest, None of a segment."""

    data: bytes
    access: Access | None


class _Contents(Operation):
    """At *gpa* through the guest, or at *segoff* of the segment *segid*."""

    gpa: int | None = None
    segid: int | None = None
    segoff: int = 0

    def check(self) -> None:
        if (self.gpa is None) == (self.segid is None) or (self.gpa is not None and self.segoff):
            raise BadValue(f"{self.op} of no one place", "gpa, or segid and segoff")

    @property
    def guest(self) -> bool:
        return self.gpa is not None

    def shown(self, value: Bytes) -> Result:
        return {"ok": 0} if value.access is None else shown_access(value.access)


class Read(_Contents):
    """Read *length* bytes."""

    length: int = 1

    op: ClassVar[str] = "read"
    keys: ClassVar[tuple[Key, ...]] = (*_WHERE, Key("len", "length", k.read_length))

    def check(self) -> None:
        super().check()
        k.read_length(self.length)

    def perform(self, machine: Machine) -> Bytes:
        if self.gpa is not None:
            return Bytes(*contents.read_guest(machine, self.gpa, self.length))
        assert self.segid is not None
        return Bytes(contents.read_segment(machine, self.segid, self.segoff, self.length), None)

    def shown(self, value: Bytes) -> Result:
        return {**super().shown(value), "data": value.data.hex()}


class Write(_Contents):
    """Write *data*."""

    data: bytes = b""

    op: ClassVar[str] = "write"
    keys: ClassVar[tuple[Key, ...]] = (*_WHERE, Key("data", "data", k.data, write=bytes.hex))

    def perform(self, machine: Machine) -> Bytes:
        if self.gpa is not None:
            return Bytes(b"", contents.write_guest(machine, self.gpa, self.data))
        assert self.segid is not None
        contents.write_segment(machine, self.segid, self.segoff, self.data)
        return Bytes(b"", None)


class Fill(_Contents):
    """Write *length* bytes of the value *byte*."""

    length: int = 1
    byte: int = 0

    op: ClassVar[str] = "fill"
    keys: ClassVar[tuple[Key, ...]] = (
        *_WHERE,
        Key("len", "length", k.written_length),
        Key.of("byte", k.byte),
    )

    def check(self) -> None:
        super().check()
        k.written_length(self.length)
        k.byte(self.byte)

    def perform(self, machine: Machine) -> Bytes:
        if self.gpa is not None:
            return Bytes(b"", contents.fill_guest(machine, self.gpa, self.length, self.byte))
        assert self.segid is not None
        contents.fill_segment(machine, self.segid, self.segoff, self.length, self.byte)
        return Bytes(b"", None)
