"""A crash dump: what stopped the kernel, and the machine as it was at that moment.

One value and one codec: a row of the state file and a dump in a file are the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bhyvesim import limits
from bhyvesim.errors import NONSENSE, BadValue, Frame, KernelHang, KernelStop
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.plain import from_plain, to_plain
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.kernel.snapshot import Snapshot
from bhyvesim.span import Span
from bhyvesim.text import clean
from bhyvesim.units import shorten

VERSION = 1
_MAGIC = b"bhyvesim crash dump"
_HEAD = 200  # the first line is shorter


class BadDump(BadValue):
    """Bytes that are no dump, a damaged one, or one of a later version."""


@dataclass(frozen=True, slots=True)
class CrashDump:
    """One panic or hang of the simulated kernel under one VM.

    *stack* is innermost first and begins in the function that holds the assertion, or that
    loops; *facts* are the numbers of the case; *locks* are what a thread that hangs holds:
    its dump was forced. *time_ns* is since the epoch.
    """

    vm: str
    operation: str
    time_ns: int
    uuid: str
    message: str
    stack: tuple[Frame, ...]
    facts: Mapping[str, int | str]
    locks: tuple[str, ...]
    snapshot: Snapshot

    @classmethod
    def of(
        cls,
        stopped: KernelStop,
        machine: Machine,
        *,
        vm: str,
        operation: str,
        time_ns: int,
        uuid: str,
    ) -> CrashDump:
        """The dump of *machine*, which *stopped* during *operation*."""
        locks = stopped.locks if isinstance(stopped, KernelHang) else ()
        return cls(
            vm,
            operation,
            time_ns,
            uuid,
            clean(stopped.message),  # which a revision from a file may have made
            stopped.stack,
            stopped.facts,
            locks,
            machine.snapshot(),
        )

    @property
    def hung(self) -> bool:
        return bool(self.locks)

    @property
    def function(self) -> str:
        """Where the kernel stopped."""
        return self.stack[0].function

    @property
    def letter(self) -> str | None:
        """By which people know the panic; None for one that they do not, and for a hang."""
        revision = REVISIONS.get(self.gpt)
        stops = () if self.hung or revision is None else revision.stops
        return next((stop.letter for stop in stops if stop.function == self.function), None)

    @property
    def gpt(self) -> str:
        return self.snapshot.gpt

    @property
    def debug(self) -> bool:
        return self.snapshot.debug

    @property
    def npt(self) -> str:
        return self.snapshot.npt

    def machine(self) -> Machine:
        """The machine as it stopped, to be looked at."""
        return Machine.restored(self.snapshot)

    def called(self, function: str) -> bool:
        """Whether *function* was under way."""
        return any(frame.function == function for frame in self.stack)

    def arguments(self, *functions: str) -> dict[str, int]:
        """The arguments of the innermost of *functions* that was under way with some."""
        return next(f.named() for f in self.stack if f.function in functions and f.args)

    def span(self, *functions: str) -> Span:
        """The range that the innermost of *functions* was asked for."""
        span = span_of(self.arguments(*functions))
        assert span is not None, functions
        return span


def encode(dump: CrashDump) -> bytes:
    """*dump* as a line that names format, version and checksum, and packed JSON."""
    record = {
        "vm": dump.vm,
        "operation": dump.operation,
        "time_ns": dump.time_ns,
        "uuid": dump.uuid,
        "message": dump.message,
        "stack": [[frame.function, frame.named()] for frame in dump.stack],
        "facts": dict(dump.facts),
        "locks": list(dump.locks),
        "snapshot": to_plain(dump.snapshot),
    }
    body = zlib.compress(json.dumps(record, separators=(",", ":")).encode())
    return b"%s %d %s\n%s" % (_MAGIC, VERSION, _checksum(body), body)


def decode(data: bytes) -> CrashDump:
    """The inverse of :func:`encode`. Raises BadDump."""
    head, newline, body = data[:_HEAD].partition(b"\n")
    if not newline or not head.startswith(_MAGIC + b" "):
        raise BadDump("not a crash dump", "what 'bhyvesim crash export' writes")
    version, _, checksum = head[len(_MAGIC) + 1 :].partition(b" ")
    if version != b"%d" % VERSION:
        shown = version[:20].decode("ascii", "replace")
        raise BadDump(f"a dump of version {shown!r}", f"version {VERSION}: use a newer bhyvesim")
    body = data[len(head) + 1 :]
    if checksum != _checksum(body):
        raise BadDump("a damaged crash dump", "the whole of it, unchanged")
    try:
        return _from_record(json.loads(_unpacked(body)))
    except NONSENSE as error:
        raise BadDump(f"a crash dump that makes no sense ({error})", "one of bhyvesim's") from None


def span_of(arguments: Mapping[str, int]) -> Span | None:
    """The range that a function with these arguments was asked for."""
    if "end" in arguments:
        return Span(arguments["start"], arguments["end"])
    if "len" in arguments and "addr" in arguments:
        return Span.sized(arguments["addr"], arguments["len"])
    return None


def _frame(function: Any, args: dict[Any, Any]) -> Frame:
    return Frame(str(function), tuple(map(int, args.values())), tuple(map(str, args)))


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _unpacked(body: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(body, limits.DUMP_UNPACKED.most)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not unpacker.eof:
        raise ValueError("cut off, or too large")
    return text


def _from_record(record: dict[str, Any]) -> CrashDump:
    texts = [record[name] for name in ("vm", "operation", "uuid", "message")]
    stack = tuple(_frame(function, args) for function, args in record["stack"])
    if not all(isinstance(text, str) for text in (*texts, *record["locks"])) or not stack:
        raise ValueError("its head is incomplete")
    if not all(isinstance(value, (int, str)) for value in record["facts"].values()):
        raise ValueError("its facts are no numbers")
    vm, operation, uuid, message = texts
    dump = CrashDump(
        vm,
        operation,
        int(record["time_ns"]),
        uuid,
        message,
        stack,
        record["facts"],
        tuple(record["locks"]),
        from_plain(record["snapshot"]),
    )
    check_texts(dump)
    return dump


def check_texts(dump: CrashDump) -> None:
    """Raises ValueError for a text that is more than a line of printable characters.

    They are shown in many places, among lines of ours; in no dump of ours is there another.
    """
    texts = [dump.vm, dump.operation, dump.uuid, dump.message, *dump.locks]
    texts += [*dump.facts, *(value for value in dump.facts.values() if isinstance(value, str))]
    for frame in dump.stack:
        texts += [frame.function, *frame.names]
    for text in texts:
        if not text.isprintable():
            raise ValueError(f"{shorten(text)} is not printable")
