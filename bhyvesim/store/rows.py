"""Rows of the state file, as values; their parts are still encoded."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import NamedTuple

from bhyvesim.errors import StateError

Column = str | int | bytes | None


def checksum(*columns: Column) -> int:
    """What stands in a row's column ``sum``: it finds damage, not malice."""
    total = 0
    for column in columns:
        data = column if isinstance(column, bytes) else str(column).encode("utf-8", "surrogatepass")
        total = zlib.crc32(data, zlib.crc32(b"%d:" % len(data), total))
    return total


class Damaged(StateError):
    """A row that is not as it was written."""

    def __init__(self, what: str, problem: object) -> None:
        super().__init__(
            f"the state of {what} is damaged ({problem}); nothing was written: "
            "see 'bhyvesim state check'"
        )
        self.what, self.problem = what, str(problem)


class Moment(NamedTuple):
    """A machine at one moment, but for its parts. *spec* is the digest of its description."""

    state: str  # running, off, panicked, hung, destroyed
    spec: str
    maps: str
    outline: bytes
    resident: int
    parts: int  # a checksum of their list
    crash: int | None = None

    @property
    def stopped(self) -> bool:
        """Whether its kernel is gone: panicked or hung."""
        return self.state in ("panicked", "hung")


class VmRow(NamedTuple):
    """A stored VM: the moment that it is at. *stamp* is another after every change."""

    name: str
    life: int
    seq: int
    stamp: int
    moment: Moment
    spec: str  # its description, encoded

    @property
    def state(self) -> str:
        return self.moment.state

    @property
    def stopped(self) -> bool:
        return self.moment.stopped


class PartRow(NamedTuple):
    """A part of a machine: its kind and place, entries set in it, and the hash of its body."""

    kind: int
    first: int
    end: int
    entries: int
    hash: bytes
    id: int  # its row


class NewPart(NamedTuple):
    """A part to be stored."""

    kind: int
    first: int
    end: int
    entries: int
    hash: bytes
    body: bytes


class Change(NamedTuple):
    """The parts that came and went with a moment."""

    moment: Moment
    gone: tuple[PartRow | NewPart, ...]
    come: tuple[NewPart, ...]


class EventRow(NamedTuple):
    """One event of a life: what was asked, what it came to, and the moments it led through.

    *stages*: names, with the moment after each; *digest* is of the state at the end.
    """

    life: int
    number: int
    time_ns: int
    action: str
    result: str
    stages: tuple[tuple[str, int], ...]
    digest: str
    crash: int | None


class CrashRow(NamedTuple):
    """A stored crash dump: its number, and what a list of them shows, as JSON."""

    id: int
    vm: str
    time_ns: int
    head: str


def checksum_of(parts: Iterable[PartRow | NewPart]) -> int:
    """What stands in a moment of its *parts*, which are sorted."""
    return zlib.crc32(b"".join(b"%d %d %d %d %b" % part[:5] for part in parts))
