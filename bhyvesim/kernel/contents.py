"""What is in memory: bytes of host pages, through the guest and through a segment.

Kept by host page frame, so that all ways to a page find the same bytes. Pages that were
never written read as zeros and take no room.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bhyvesim.errors import Refused
from bhyvesim.kernel.gpt.access import Access
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import Memseg
from bhyvesim.kernel.pte.format import pfn_of
from bhyvesim.prot import READ, WRITE
from bhyvesim.units import PAGE_SHIFT, PAGE_SIZE


class GuestRead(NamedTuple):
    """Bytes read through the guest; *data* ends at the page where *access* failed."""

    data: bytes
    access: Access


def read_guest(machine: Machine, gpa: int, size: int) -> GuestRead:
    """The guest reads *size* bytes at *gpa*, page after page, up to the first fault."""
    access = _access(machine, gpa, size, READ)
    data = b"".join(
        machine.contents[pfn][start:end]
        for pfn, start, end in _guest_pages(machine, gpa, size, access.ok)
    )
    return GuestRead(data, access)


def write_guest(machine: Machine, gpa: int, data: bytes) -> Access:
    """The guest writes *data* at *gpa*, page after page, up to the first fault."""
    access = _access(machine, gpa, len(data), WRITE)
    at = 0
    for pfn, start, end in _guest_pages(machine, gpa, len(data), access.ok):
        _write(machine, pfn, start, data[at : at + end - start])
        at += end - start
    return access


def read_segment(machine: Machine, segid: int, offset: int, size: int) -> bytes:
    """*size* bytes of a segment at *offset*, as the VMM sees them through its own mapping.

    Raises Refused (EINVAL) past the segment's end. No page-table entry is looked at.
    """
    seg = _segment(machine, segid, offset, size)
    return b"".join(
        machine.contents[seg.host_pfn + page][start:end]
        for page, start, end in _pages(offset, size)
    )


def write_segment(machine: Machine, segid: int, offset: int, data: bytes) -> None:
    """Write *data* to a segment at *offset*. Raises Refused (EINVAL) past its end."""
    seg = _segment(machine, segid, offset, len(data))
    at = 0
    for page, start, end in _pages(offset, len(data)):
        _write(machine, seg.host_pfn + page, start, data[at : at + end - start])
        at += end - start


def fill_guest(machine: Machine, gpa: int, size: int, byte: int) -> Access:
    """The guest writes *size* times *byte* at *gpa*, page after page, up to the first fault."""
    access = _access(machine, gpa, size, WRITE)
    page = bytes([byte]) * PAGE_SIZE
    for pfn, start, end in _guest_pages(machine, gpa, size, access.ok):
        _write(machine, pfn, start, page[: end - start])
    return access


def fill_segment(machine: Machine, segid: int, offset: int, size: int, byte: int) -> None:
    """Write *size* times *byte* to a segment at *offset*. Raises Refused (EINVAL) past its end."""
    seg = _segment(machine, segid, offset, size)
    whole = bytes([byte]) * PAGE_SIZE
    for page, start, end in _pages(offset, size):
        _write(machine, seg.host_pfn + page, start, whole[: end - start])


def _access(machine: Machine, gpa: int, size: int, prot: int) -> Access:
    npages = ((gpa + size - 1) >> PAGE_SHIFT) - (gpa >> PAGE_SHIFT) + 1
    return machine.access(gpa, npages, prot)


def _guest_pages(
    machine: Machine, gpa: int, size: int, pages: int
) -> Iterator[tuple[int, int, int]]:
    """``(pfn, start, end)`` of the first *pages* of the range, as the entries lead."""
    for number, (page, start, end) in enumerate(_pages(gpa, size)):
        if number == pages:
            return
        yield pfn_of(machine.space.gpt.entry(page)), start, end


def _pages(start: int, size: int) -> Iterator[tuple[int, int, int]]:
    """``(page number, first byte, end byte)`` of each page of a range, bytes within the page."""
    end = start + size
    while start < end:
        page = start >> PAGE_SHIFT
        stop = min(end, (page + 1) << PAGE_SHIFT)
        yield page, start & (PAGE_SIZE - 1), stop - (page << PAGE_SHIFT)
        start = stop


def _write(machine: Machine, pfn: int, start: int, data: bytes) -> None:
    if len(data) == PAGE_SIZE:
        machine.contents[pfn] = data  # pages that are written alike share it
        return
    page = machine.contents[pfn]
    machine.contents[pfn] = page[:start] + data + page[start + len(data) :]


def _segment(machine: Machine, segid: int, offset: int, size: int) -> Memseg:
    seg = machine.segs.get(segid)
    if seg is None:
        raise Refused("EINVAL", f"there is no segment {segid}")
    if offset < 0 or offset + size > seg.length:
        raise Refused("EINVAL", f"offset {offset:#x} and {size} bytes are past segment {segid}")
    return seg
