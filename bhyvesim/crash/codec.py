"""Crash dumps as bytes, and back, believing nothing: docs/reference/dump-file.md has the format.

What a dump can unpack to follows from its size, and so does the memory that reading one takes:
tables and holds are read row by row, each number once, and so many for each byte; no page costs
fewer bytes than its frame and what it holds, packed.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from struct import Struct
from typing import Any

from bhyvesim import limits
from bhyvesim.crash.dump import CrashDump, check_texts
from bhyvesim.errors import NONSENSE, BadValue, Frame
from bhyvesim.kernel.plain import from_plain, leaves_from_plain, to_plain
from bhyvesim.kernel.pte.format import PFN_BITS
from bhyvesim.kernel.snapshot import Snapshot
from bhyvesim.units import PAGE_SIZE

VERSION = 1
_MAGIC = b"bhyvesim crash dump"
_HEAD = 200  # the first line is shorter
_STEP = 1 << 12  # packed bytes that are unpacked at once: to a thousand times as many at most
_PAGE = Struct(">QH")  # a page frame, and the length of what follows; 0: as the page before
_DEFLATE = -zlib.MAX_WBITS  # without head and checksum: the whole has one


class BadDump(BadValue):
    """Bytes that are no dump, a damaged one, or one of a later version."""


def encode(dump: CrashDump) -> bytes:
    """*dump* as a line that names format, version and checksum, and what it has."""
    record = {
        "vm": dump.vm,
        "operation": dump.operation,
        "time_ns": dump.time_ns,
        "uuid": dump.uuid,
        "message": dump.message,
        "stack": [[frame.function, frame.named()] for frame in dump.stack],
        "facts": dict(dump.facts),
        "locks": list(dump.locks),
        "holds": len(dump.snapshot.holds),
        "snapshot": to_plain(dump.snapshot.but(holds=(), leaves=(), contents=())),
    }
    holds = ([hold_id, *held] for hold_id, held in dump.snapshot.holds)
    leaves = ([first, end, *leaf] for first, end, leaf in dump.snapshot.leaves)
    packer = zlib.compressobj()
    parts = [packer.compress(_line(value)) for value in chain([record], holds, leaves)]
    parts += [packer.flush(), *_packed_pages(dump.snapshot)]
    body = b"".join(parts)
    return b"%s %d %s\n%s" % (_MAGIC, VERSION, _checksum(body), body)


def decode(data: bytes) -> CrashDump:
    """The inverse of :func:`encode`. Raises BadDump."""
    head, newline, _ = data[:_HEAD].partition(b"\n")
    if not newline or not head.startswith(_MAGIC + b" "):
        raise BadDump("not a crash dump", "what 'bhyvesim crash export' writes")
    version, _, checksum = head[len(_MAGIC) + 1 :].partition(b" ")
    if version != b"%d" % VERSION:
        shown = version[:20].decode("ascii", "replace")
        raise BadDump(f"a dump of version {shown!r}", f"version {VERSION}: use a newer bhyvesim")
    body = memoryview(data)[len(head) + 1 :]
    if checksum != _checksum(body):
        raise BadDump("a damaged crash dump", "the whole of it, unchanged")
    try:
        return _dump_of(_Stream(body))
    except NONSENSE as error:
        raise BadDump(f"a crash dump that makes no sense ({error})", "one of bhyvesim's") from None


class _Stream:
    """The lines of the zlib stream that *body* begins with; *rest* is what stands after it."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self.size = len(body)
        self.rest = body[:0]

    def lines(self) -> Iterator[bytes]:
        """The lines. Raises ValueError for one that is too long, and a stream that is cut off."""
        begun = b""
        for piece in self._pieces():
            *whole, begun = (begun + piece).split(b"\n")
            for line in (*whole, begun):
                if len(line) > limits.DUMP_LINE.most:
                    raise ValueError("a line is too large")
            yield from whole
        if begun:
            raise ValueError("cut off in a line")

    def _pieces(self) -> Iterator[bytes]:
        unpacker = zlib.decompressobj()
        left = limits.DUMP_UNPACKED.most
        for at in range(0, len(self._body), _STEP):
            try:
                piece = unpacker.decompress(self._body[at : at + _STEP])
            except zlib.error as error:
                raise ValueError(str(error)) from None
            left -= len(piece)
            if left < 0:
                raise ValueError("too large")
            yield piece
            if unpacker.eof:
                self.rest = self._body[
                    min(at + _STEP, len(self._body)) - len(unpacker.unused_data) :
                ]
                return
        raise ValueError("cut off")


def _dump_of(stream: _Stream) -> CrashDump:
    lines = stream.lines()
    record = json.loads(next(lines, b""))
    texts = [record[name] for name in ("vm", "operation", "uuid", "message")]
    stack = tuple(_frame(function, args) for function, args in record["stack"])
    if not all(isinstance(text, str) for text in (*texts, *record["locks"])) or not stack:
        raise ValueError("its head is incomplete")
    if not all(isinstance(value, (int, str)) for value in record["facts"].values()):
        raise ValueError("its facts are no numbers")
    vm, operation, uuid, message = texts
    rows = _rows(lines, limits.DUMP_NUMBERS.most + 4 * stream.size)
    holds = list(islice(rows, record["holds"]))
    if len(holds) != record["holds"]:
        raise ValueError("some of its holds are missing")
    outline = {**record["snapshot"], "holds": holds, "leaves": [], "contents": []}
    dump = CrashDump(
        vm,
        operation,
        int(record["time_ns"]),
        uuid,
        message,
        stack,
        record["facts"],
        tuple(record["locks"]),
        from_plain(outline).but(
            leaves=leaves_from_plain(rows), contents=tuple(_pages(stream.rest))
        ),
    )
    check_texts(dump)
    return dump


def _rows(lines: Iterable[bytes], room: int) -> Iterator[list[Any]]:
    """The rows in *lines*, equal numbers as one; a row takes room for eight besides its own."""
    seen: dict[int, int] = {}
    for line in lines:
        row = json.loads(line)
        room -= 8 + len(row)
        if room < 0:
            raise ValueError("too many rows for its size")
        yield [seen.setdefault(n, n) if type(n) is int else n for n in row]


def _frame(function: Any, args: dict[Any, Any]) -> Frame:
    return Frame(str(function), tuple(map(int, args.values())), tuple(map(str, args)))


def _packed_pages(snapshot: Snapshot) -> Iterator[bytes]:
    before = None
    for pfn, page in snapshot.contents:
        if page == before:
            yield _PAGE.pack(pfn, 0)
            continue
        packer = zlib.compressobj(1, wbits=_DEFLATE)
        packed = packer.compress(page) + packer.flush()
        yield _PAGE.pack(pfn, len(packed)) + packed
        before = page


def _pages(data: memoryview) -> Iterator[tuple[int, bytes]]:
    page: bytes | None = None
    at, last = 0, -1
    while at < len(data):
        if at + _PAGE.size > len(data):
            raise ValueError("cut off in a page")
        pfn, length = _PAGE.unpack_from(data, at)
        at += _PAGE.size
        if length:
            page = _unpacked_page(data[at : at + length])
            at += length
        if page is None or at > len(data) or not last < pfn < 1 << PFN_BITS:
            raise ValueError("its pages are not in order")
        last = pfn
        yield pfn, page


def _unpacked_page(packed: memoryview) -> bytes:
    unpacker = zlib.decompressobj(_DEFLATE)
    try:
        page = unpacker.decompress(packed, PAGE_SIZE + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(page) != PAGE_SIZE or not unpacker.eof or unpacker.unused_data:
        raise ValueError(f"a page is not {PAGE_SIZE} bytes")
    return page


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _checksum(body: bytes | memoryview) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
