"""Machines and descriptions as text and bytes, and back, believing nothing.

JSON and not integer columns: entries are 64-bit words and classes signed sums of them,
both outside SQLite's 63 bits. Python's JSON integers have no limit.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bhyvesim.kernel.gpt.leaf import Leaf
from bhyvesim.kernel.gpt.windows import WINDOW, Run
from bhyvesim.kernel.memory import Memmap
from bhyvesim.kernel.pages import WINDOW_BITS, Window
from bhyvesim.kernel.plain import from_plain, leaf_from_plain, to_plain
from bhyvesim.kernel.snapshot import Snapshot
from bhyvesim.store.maps import decode_maps, encode_maps
from bhyvesim.units import PAGE_SIZE
from bhyvesim.vm.spec import KernelSpec, SegmentSpec, TouchSpec, VmSpec

if TYPE_CHECKING:
    from bhyvesim.vm.host_memory import HostSpec

_MAX_BODY = 64 << 20  # unpacked
_IN_MAPS = ("segs", "slots", "next_host_pfn")
_IN_PARTS = ("leaves", "contents")
_ELSEWHERE = (*_IN_MAPS, *_IN_PARTS, "state")


def digest_of(*parts: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(b"\n".join(parts)).hexdigest()


def hash_of(data: bytes) -> bytes:
    """What a part is known by."""
    return hashlib.sha256(data).digest()[:16]


def encode_spec(spec: VmSpec) -> str:
    """*spec* as JSON text."""
    plain = spec.named()
    plain["kernel"] = spec.kernel.named()
    plain["segments"] = [segment.named() for segment in spec.segments]
    plain["mappings"] = [m._asdict() for m in spec.mappings]
    if spec.touches is not None:
        plain["touches"] = [touch.named() for touch in spec.touches]
    if not spec.arrived:
        del plain["arrived"]  # as descriptions were stored before there was any
    return _dumps(plain)


def decode_spec(text: str) -> VmSpec:
    """The inverse of :func:`encode_spec`."""
    plain = json.loads(text)
    touches = plain["touches"]
    plain["kernel"] = KernelSpec(**plain["kernel"])
    plain["segments"] = tuple(SegmentSpec(**s) for s in plain["segments"])
    plain["mappings"] = tuple(Memmap(**m) for m in plain["mappings"])
    plain["touches"] = None if touches is None else tuple(TouchSpec(**t) for t in touches)
    return VmSpec(**plain)


def encode_host(host: HostSpec) -> str:
    """*host* as JSON text."""
    return _dumps(host.named())


def decode_host(text: str) -> HostSpec:
    """The inverse of :func:`encode_host`."""
    from bhyvesim.vm.host_memory import HostSpec

    return HostSpec(**json.loads(text))


def encode_outline(snapshot: Snapshot) -> tuple[str, bytes]:
    """The maps of *snapshot*, and the rest of it but its leaves and contents."""
    plain = to_plain(snapshot)
    rest = {key: value for key, value in plain.items() if key not in _ELSEWHERE}
    maps = encode_maps(snapshot.segs, snapshot.slots, snapshot.next_host_pfn)
    return maps, packed(_dumps(rest).encode())


def decode_outline(state: str, maps: str, outline: bytes) -> Snapshot:
    """The inverse of :func:`encode_outline`, without leaves and contents.

    Every value is looked at. Raises ValueError for one that cannot be, UnknownRevision for a
    revision that is not here.
    """
    segs, slots, next_host_pfn = decode_maps(maps)
    return from_plain(
        {
            **json.loads(unpacked(outline)),
            "leaves": [],
            "contents": [],
            "state": "running" if state == "off" else state,
            "segs": [list(seg) for seg in segs],
            "slots": [None if m is None else list(m) for m in slots],
            "next_host_pfn": next_host_pfn,
        }
    )


def encode_leaf(leaf: Leaf) -> bytes:
    """One leaf table."""
    return _dumps(leaf).encode()


def decode_leaf(body: bytes) -> Leaf:
    """The inverse of :func:`encode_leaf`. Raises ValueError."""
    return leaf_from_plain(json.loads(body))


def encode_window(first: int, runs: Iterable[Run]) -> bytes:
    """The leaf tables of a window that begins with leaf *first*."""
    rows = [[start - first, end - first, *leaf] for start, end, leaf in runs if leaf is not None]
    return _dumps(rows).encode()


def decode_window(first: int, body: bytes) -> list[Run]:
    """The inverse of :func:`encode_window`: runs without gaps. Raises ValueError."""
    runs: list[Run] = []
    at = 0
    for row in json.loads(body):
        start, end = row[:2]
        if not (type(start) is type(end) is int and at <= start < end <= WINDOW):
            raise ValueError("a window's runs are not ascending")
        if at < start:
            runs.append((first + at, first + start, None))
        runs.append((first + start, first + end, leaf_from_plain(row[2:])))
        at = end
    if at < WINDOW:
        runs.append((first + at, first + WINDOW, None))
    return runs


def encode_pages(window: Window) -> bytes:
    """The pages of a window of memory: of each the last bits of its frame, and its bytes."""
    mask = (1 << WINDOW_BITS) - 1
    return b"".join(b"%c%b" % (pfn & mask, window[pfn]) for pfn in sorted(window))


def decode_pages(number: int, data: bytes) -> Window:
    """The inverse of :func:`encode_pages`. Raises ValueError."""
    if len(data) % (PAGE_SIZE + 1):
        raise ValueError("a window's pages are incomplete")
    window = {}
    for at in range(0, len(data), PAGE_SIZE + 1):
        if data[at] >> WINDOW_BITS:
            raise ValueError("a page outside its window")
        window[number << WINDOW_BITS | data[at]] = data[at + 1 : at + 1 + PAGE_SIZE]
    return window


def packed(data: bytes) -> bytes:
    """*data* as it is stored."""
    return zlib.compress(data, 1)


def unpacked(body: bytes) -> bytes:
    """The inverse of :func:`packed`. Raises ValueError."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(body, _MAX_BODY)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not unpacker.eof:
        raise ValueError("cut off, or too large")
    return data


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
