"""Dirty tracking as the VMM asks for it: VM_NPT_OPERATION and VM_TRACK_DIRTY_PAGES.

Bitmaps are bytes: bit 0 of the first byte is the page at the range's gpa.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bhyvesim.errors import BadValue, Refused
from bhyvesim.kernel.gpt import dirty as bits
from bhyvesim.kernel.gpt.levels import REACH
from bhyvesim.kernel.machine import Machine
from bhyvesim.prot import WRITE
from bhyvesim.span import Span
from bhyvesim.units import (
    GIB,
    PAGE_SHIFT,
    PAGE_SIZE,
    U64_END,
    is_page_aligned,
    parse_size,
    shorten,
)

# An operation is a number, not a set of bits; two flags stand beside it.
OPERATIONS = {
    "RESET_DIRTY": 1,
    "SET_DIRTY": 2,
    "GET_DIRTY": 3,
    "GET_TRACK_DIRTY": 0x20,
    "EN_TRACK_DIRTY": 0x21,
    "DIS_TRACK_DIRTY": 0x22,
}
FLAGS = {"BITMAP_IN": 1 << 30, "BITMAP_OUT": 1 << 31}
_IN, _OUT = FLAGS["BITMAP_IN"], FLAGS["BITMAP_OUT"]
_RESET, _SET, _GET, _GET_TRACK, _EN_TRACK, _DIS_TRACK = OPERATIONS.values()

MAX_BITMAP_BYTES = 8 * PAGE_SIZE
MAX_TRACKED = GIB
SWEPT_AT_ONCE = PAGE_SIZE << (PAGE_SHIFT + 3)  # bytes of guest that a bitmap of one page is for


class NptResult(NamedTuple):
    """What VM_NPT_OPERATION returned, and the bitmap that it wrote back, if one was asked for."""

    value: int
    bitmap: bytes | None


def bitmap_bytes(length: int) -> int:
    """How many bytes the bitmap of *length* bytes of guest memory has."""
    return ((length >> PAGE_SHIFT) + 7) // 8


# What scenarios and commands call those on dirty bits.
DIRTY_WORDS = {"get": "GET_DIRTY", "set": "SET_DIRTY", "reset": "RESET_DIRTY"}


def parse_operation(text: str, raw: Callable[[str], int] = parse_size) -> int:
    """A raw number, or names or'ed as C does: ``GET_DIRTY|BITMAP_OUT``. Raises BadValue.

    *raw* reads the number.
    """
    if text[:1].isdigit():
        number = raw(text)
    else:
        number = 0
        known = {**OPERATIONS, **FLAGS}
        for name in map(str.strip, text.split("|")):
            if name not in known:
                raise BadValue(f"{shorten(name)} is not known", f"one of {', '.join(known)}")
            number |= known[name]
    if number >> 32:
        raise BadValue(f"{number:#x} is too large", "a number of 32 bits")
    return number


def dirty_operation(name: str, length: int, pages: int | None) -> tuple[int, bytes | None]:
    """The number of GET_DIRTY, SET_DIRTY or RESET_DIRTY of a range, and the bitmap to go with it.

    *pages* is a bitmap; None stands for all. The answer is asked for where there can be one.
    """
    operation = OPERATIONS[name]
    size = max(0, bitmap_bytes(length))
    given = None
    if pages is not None:
        operation |= _IN
        taken = min(size, MAX_BITMAP_BYTES)  # of a longer one not a byte is read: E2BIG
        given = (pages & ((1 << 8 * taken) - 1)).to_bytes(taken, "little")
    if given is not None or name == "GET_DIRTY" or size <= MAX_BITMAP_BYTES:
        operation |= _OUT
    return operation, given


def npt_operation(
    machine: Machine, gpa: int, length: int, operation: int, bitmap: bytes | None = None
) -> NptResult:
    """Do *operation* (the raw number, flags included) on ``[gpa, gpa + length)``.

    *bitmap* is read with BITMAP_IN only; missing or short it is a buffer that cannot be
    read. Raises Refused: ENOTTY before 2025, then in the kernel's order EINVAL (alignment),
    EOVERFLOW, EINVAL (no length), E2BIG, EFAULT, EINVAL (unknown operation). Source: vmm.c,
    vm_npt_do_operation().
    """
    machine.check_offered(machine.revision.ioctls.npt_operation, "VM_NPT_OPERATION")
    with machine.ioctl("vm_npt_do_operation", {"gpa": gpa, "len": length, "oper": operation}):
        return _do_operation(machine, gpa, length, operation, bitmap)


def _do_operation(
    machine: Machine, gpa: int, length: int, operation: int, bitmap: bytes | None
) -> NptResult:
    _check_aligned(gpa, length)
    if gpa + length >= U64_END:
        raise Refused("EOVERFLOW", f"{gpa:#x} and {length:#x} reach 2^64")
    given = _read_bitmap(length, operation, bitmap)
    number = operation & ~(_IN | _OUT)
    pages = _reachable(gpa, length)
    wanted = given if operation & _IN else None
    value = out = 0
    if number in (_RESET, _SET, _GET):
        out = _on_dirty_bits(machine, number, pages, wanted, answer=bool(operation & _OUT))
    elif number == _GET_TRACK:
        value, out = int(machine.space.gpt.tracking), given
    elif number in (_EN_TRACK, _DIS_TRACK):
        machine.space.gpt.track(number == _EN_TRACK)
        out = given
    else:
        raise Refused("EINVAL", f"{number:#x} is no operation")
    if not operation & _OUT:
        return NptResult(value, None)
    return NptResult(value, out.to_bytes(bitmap_bytes(length), "little"))


def track_dirty_pages(machine: Machine, gpa: int, length: int) -> bytes:
    """Read and clear the dirty bits of ``[gpa, gpa + length)``: a bitmap.

    Raises Refused: ENOTTY before 14367; EINVAL (alignment, more than 1 GiB), EPERM without
    tracking from 15844 on. A length of 0 succeeds before most of these are looked at.
    Source: vmm.c, vm_track_dirty_pages().
    """
    ioctls = machine.revision.ioctls
    machine.check_offered(ioctls.track_dirty_pages, "VM_TRACK_DIRTY_PAGES")
    with machine.ioctl("vm_track_dirty_pages", {"gpa": gpa, "len": length}):
        return _track(machine, gpa, length)


def sweep_dirty(machine: Machine, span: Span, *, reset: bool = True) -> list[tuple[int, int, int]]:
    """The dirty bits of all of *span*, asked for 128 MiB at a time, as a migrating VMM does.

    As runs of leaf tables that are dirty alike, ``(first, end, entries)`` by index: of a guest
    of any size it costs what is there to tell. By VM_TRACK_DIRTY_PAGES, which clears them;
    with *reset* false by GET_DIRTY. Raises Refused as these do.
    """
    times = -(-span.length // SWEPT_AT_ONCE)
    values = {"gpa": span.start, "len": min(span.length, SWEPT_AT_ONCE), "oper": _GET | _OUT}
    ioctls = machine.revision.ioctls
    if reset:
        machine.check_offered(ioctls.track_dirty_pages, "VM_TRACK_DIRTY_PAGES")
        function = "vm_track_dirty_pages"
    else:
        machine.check_offered(ioctls.npt_operation, "VM_NPT_OPERATION")
        function = "vm_npt_do_operation"
    pages = _reachable(span.start, span.length)
    with machine.ioctl(function, values, times, SWEPT_AT_ONCE if times > 1 else 0):
        if reset:
            _check_tracking(machine)
        runs = list(bits.dirty_runs(machine.space.gpt, pages))
        if reset:
            bits.clear(machine.space.gpt, pages)
    return runs


def _track(machine: Machine, gpa: int, length: int) -> bytes:
    if not is_page_aligned(gpa):
        raise Refused("EINVAL", f"{gpa:#x} is not page-aligned")
    if length == 0:
        return b""
    _check_aligned(gpa, length)
    if length > MAX_TRACKED:
        raise Refused("EINVAL", f"{length:#x} bytes are more than 1 GiB")
    _check_tracking(machine)
    pages = _reachable(gpa, length)
    was = bits.dirty_bitmap(machine.space.gpt, pages)
    bits.clear(machine.space.gpt, pages)
    return was.to_bytes(bitmap_bytes(length), "little")


def _check_tracking(machine: Machine) -> None:
    if machine.revision.ioctls.tracking_needed and not machine.space.gpt.tracking:
        raise Refused("EPERM", "the VM does not track dirty pages")


def _read_bitmap(length: int, operation: int, bitmap: bytes | None) -> int:
    """The bitmap that comes with *operation*; 0 without one."""
    if not operation & (_IN | _OUT):
        return 0
    if length == 0:
        raise Refused("EINVAL", "a bitmap of no pages")
    size = bitmap_bytes(length)
    if size > MAX_BITMAP_BYTES:
        raise Refused("E2BIG", f"a bitmap of {size} bytes; at most {MAX_BITMAP_BYTES} are taken")
    if not operation & _IN:
        return 0
    if bitmap is None or len(bitmap) < size:
        raise Refused("EFAULT", f"the bitmap cannot be read: {size} bytes are wanted")
    return int.from_bytes(bitmap[:size], "little")


def _on_dirty_bits(
    machine: Machine, number: int, pages: range, wanted: int | None, *, answer: bool
) -> int:
    """RESET, SET or GET of *pages*, or of those of *wanted*; the bitmap, if one is to *answer*.

    Pages without a leaf table are never visited: their bits come back as they were given.
    """
    gpt = machine.space.gpt
    before = bits.dirty_bitmap(gpt, pages) if answer else 0
    visited = bits.with_tables(gpt, pages) if answer and wanted is not None else 0
    if number == _RESET:
        bits.clear(gpt, pages, wanted)
    elif number == _SET:
        _set(machine, pages, wanted)
    if not answer:
        return 0
    result = bits.dirty_bitmap(gpt, pages) & ~before if number == _SET else before
    return result if wanted is None else wanted & ~visited | result & wanted


def _set(machine: Machine, pages: range, wanted: int | None) -> None:
    """Set dirty bits; a page that is absent is mapped where it may be written."""
    gpt = machine.space.gpt
    for part, mapping in machine.space.extents(pages):
        backing = None if mapping is None else mapping.backing
        if wanted is None:
            gpt.access_each(part, WRITE, backing, gpt.dirty_setter)
            continue
        for piece in gpt.pieces(part):
            for index in range(piece.first, piece.end):
                mask = piece.mask & bits.selected(wanted, index, pages)
                if mask:
                    gpt.access_entries(index, mask, WRITE, backing, gpt.dirty_setter)


def _check_aligned(gpa: int, length: int) -> None:
    if not (is_page_aligned(gpa) and is_page_aligned(length)) or gpa < 0 or length < 0:
        raise Refused("EINVAL", f"{gpa:#x} and {length:#x} are not both page-aligned")


def _reachable(gpa: int, length: int) -> range:
    """The pages of a range, as far as four levels of tables reach."""
    return Span(min(gpa, REACH), min(gpa + length, REACH)).pages
