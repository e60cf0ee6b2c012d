"""Snapshots as plain lists and numbers, fit for JSON; and back, believing nothing.

Entries are 64-bit words, classes signed sums of them, bit sets 512 bits wide: Python's JSON
integers have no limit, SQLite's and many others' do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bhyvesim.kernel.calls import Assertions
from bhyvesim.kernel.gpt.leaf import ALL_ENTRIES, Leaf
from bhyvesim.kernel.gpt.levels import ENTRIES, LEAVES, REACH
from bhyvesim.kernel.memory import MAX_MEMMAPS, Memmap, Memseg
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.pte.format import PFN_BITS
from bhyvesim.kernel.results import MachineState
from bhyvesim.kernel.revisions import REVISIONS, known
from bhyvesim.kernel.snapshot import Snapshot
from bhyvesim.kernel.vmspace import Hold
from bhyvesim.prot import ALL
from bhyvesim.units import PAGE_SHIFT, PAGE_SIZE, U64_END

_MAX_NAME = 4096
_PFNS = 1 << PFN_BITS
_CLASS = 1 << 65  # a PTE less the address of its page


def to_plain(snapshot: Snapshot) -> dict[str, Any]:
    """*snapshot* as dicts, lists, numbers and strings."""
    s = snapshot
    return {
        "gpt": s.gpt,
        "digest": s.digest,
        "debug": s.debug,
        "assertions": s.assertions,
        "npt": s.npt,
        "track_dirty": s.track_dirty,
        "apicv": s.apicv,
        "state": s.state,
        "segs": [list(seg) for seg in s.segs],
        "slots": [None if m is None else list(m) for m in s.slots],
        "next_host_pfn": s.next_host_pfn,
        "resident": s.resident,
        "leaves": [[first, end, *leaf] for first, end, leaf in s.leaves],
        "twins": list(s.twins),
        "tracking": s.tracking,
        "hardware_bits": s.hardware_bits,
        "holds": [[hold_id, *held] for hold_id, held in s.holds],
        "last_hold": s.last_hold,
        "contents": [[pfn, page.hex()] for pfn, page in s.contents],
    }


def from_plain(plain: Any) -> Snapshot:
    """The inverse of :func:`to_plain`.

    Raises ValueError that says what is wrong, UnknownRevision for one that is not here.
    """
    fields = _Fields(plain)
    gpt, digest = fields.text("gpt"), fields.text("digest")
    if digest or gpt not in REVISIONS:
        if len(digest) != 64 or not digest.isascii() or not digest.isalnum():
            raise ValueError("its revision is not known here")
        known(gpt, digest)
    segs = fields.list("segs", _seg)
    by_id = {seg.segid: seg for seg in segs}
    if len(by_id) != len(segs):
        raise ValueError("two segments have one id")
    slots = fields.list("slots", _slot)
    if len(slots) != MAX_MEMMAPS or any(m is not None and m.segid not in by_id for m in slots):
        raise ValueError("the memmap slots do not fit the segments")
    snapshot = Snapshot(
        gpt=gpt,
        digest=digest,
        debug=fields.flag("debug"),
        assertions=fields.word("assertions", [a.value for a in Assertions]),
        npt=fields.word("npt", FORMATS),
        track_dirty=fields.flag("track_dirty"),
        apicv=fields.flag("apicv"),
        state=fields.word("state", [s.value for s in MachineState]),
        segs=segs,
        slots=slots,
        next_host_pfn=fields.number("next_host_pfn", _PFNS + 1),
        resident=fields.number("resident"),
        leaves=fields.rows("leaves", leaves_from_plain),
        twins=fields.list("twins", lambda value: _number(value, LEAVES)),
        tracking=fields.flag("tracking"),
        hardware_bits=fields.flag("hardware_bits"),
        holds=fields.list("holds", _hold),
        last_hold=fields.number("last_hold"),
        contents=fields.list("contents", _page),
    )
    if snapshot.apicv and snapshot.npt != "ept":
        raise ValueError("apicv without ept")
    return snapshot


class _Fields:
    """The values of a snapshot, by name."""

    def __init__(self, plain: Any) -> None:
        if not isinstance(plain, dict):
            raise ValueError("no snapshot")
        self.plain = plain

    def value(self, name: str) -> Any:
        if name not in self.plain:
            raise ValueError(f"{name} is missing")
        return self.plain[name]

    def flag(self, name: str) -> bool:
        value = self.value(name)
        if not isinstance(value, bool):
            raise ValueError(f"{name} is neither true nor false")
        return value

    def word(self, name: str, known: Sequence[str] | dict[str, Any]) -> str:
        value = self.value(name)
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{name} is not known here")
        return value

    def text(self, name: str) -> str:
        value = self.value(name)
        if not isinstance(value, str) or len(value) > _MAX_NAME:
            raise ValueError(f"{name} is no text")
        return value

    def number(self, name: str, end: int = U64_END) -> int:
        try:
            return _number(self.value(name), end)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    def list(self, name: str, read: Callable[[Any], Any]) -> tuple[Any, ...]:
        return self.rows(name, lambda values: tuple(map(read, values)))

    def rows(self, name: str, read: Callable[[Any], tuple[Any, ...]]) -> tuple[Any, ...]:
        values = self.value(name)
        if not isinstance(values, list):
            raise ValueError(f"{name} is no list")
        try:
            return read(values)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def _number(value: Any, end: int = U64_END, first: int = 0) -> int:
    if type(value) is not int or not first <= value < end:
        raise ValueError("a number is out of range")
    return value


def _row(value: Any, length: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != length:
        raise ValueError(f"a row has not {length} values")
    return value


def _seg(value: Any) -> Memseg:
    segid, length, name, host_pfn = _row(value, 4)
    if not isinstance(name, str) or len(name) > _MAX_NAME:
        raise ValueError("a segment has no name")
    pages = _number(length, _PFNS << PAGE_SHIFT) >> PAGE_SHIFT
    return Memseg(_number(segid, 64), length, name, _number(host_pfn, _PFNS - pages + 1))


def _slot(value: Any) -> Memmap | None:
    if value is None:
        return None
    gpa, length, segid, segoff, prot, wired = _row(value, 6)
    if not isinstance(wired, bool):
        raise ValueError("a memmap is neither wired nor not")
    _number(gpa + length if type(gpa) is type(length) is int else gpa, REACH)
    for bytes_ in (gpa, length, segoff):
        if _number(bytes_) % PAGE_SIZE:
            raise ValueError("a memmap is not page-aligned")
    return Memmap(gpa, length, _number(segid, 64), segoff, _number(prot, ALL + 1, 1), wired)


def leaf_from_plain(value: Any) -> Leaf:
    """A leaf table from the list of its values. Raises ValueError."""
    if not isinstance(value, list) or len(value) % 2 == 0:
        raise ValueError("a leaf is incomplete")
    refcnt, *classes = value
    _number(refcnt, ENTRIES + 1)
    if len(classes) == 2:  # nearly all are like this
        cls, bits = classes
        return refcnt, _number(cls, _CLASS, 1 - _CLASS), _number(bits, ALL_ENTRIES + 1, 1)
    seen = 0
    last = -_CLASS
    for cls, bits in zip(classes[::2], classes[1::2], strict=True):
        last = _number(cls, _CLASS, last + 1)
        if seen & _number(bits, ALL_ENTRIES + 1, 1):
            raise ValueError("two classes claim one entry")
        seen |= bits
    return (refcnt, *classes)


def leaves_from_plain(rows: Iterable[Any]) -> tuple[tuple[int, int, Leaf], ...]:
    """Runs of leaf tables from their lists, equal tables as one value. Raises ValueError."""
    runs = []
    seen: dict[Leaf, Leaf] = {}
    at = 0
    for row in rows:
        if not isinstance(row, list) or len(row) < 3:
            raise ValueError("a run of leaves is incomplete")
        first, end, *plain = row
        if _number(first, LEAVES) < at:
            raise ValueError("the runs are not ascending")
        at = _number(end, LEAVES + 1, first + 1)
        leaf = leaf_from_plain(plain)
        runs.append((first, end, seen.setdefault(leaf, leaf)))
    return tuple(runs)


def _hold(value: Any) -> tuple[int, Hold]:
    hold_id, gpa, prot = _row(value, 3)
    return _number(hold_id, U64_END, 1), Hold(_number(gpa), _number(prot, ALL + 1, 1))


def _page(value: Any) -> tuple[int, bytes]:
    pfn, text = _row(value, 2)
    page = bytes.fromhex(text) if isinstance(text, str) else b""
    if len(page) != PAGE_SIZE:
        raise ValueError("a page is not 4096 bytes")
    return _number(pfn, _PFNS), page
