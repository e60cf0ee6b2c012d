"""Dirty tracking of a guest range: read and clear, read, set, reset.

Source: vmm.c, vm_npt_do_operation() and vm_track_dirty_pages().
"""

from __future__ import annotations

from bhyvesim.errors import Refused
from bhyvesim.gpt import dirty as bits
from bhyvesim.gpt.levels import REACH
from bhyvesim.machine.vm import Machine
from bhyvesim.span import Span
from bhyvesim.units import U64_END, is_page_aligned


def get_dirty(machine: Machine, gpa: int, length: int) -> int:
    """A bitmap of the dirty pages: bit 0 is the page at *gpa*.

    Raises Refused: EINVAL for an address or length that is not page-aligned, EOVERFLOW
    for a range past 2^64.
    """
    return bits.dirty_bitmap(machine.space.gpt, _pages(machine, gpa, length))


def set_dirty(machine: Machine, gpa: int, length: int, bitmap: int) -> None:
    """Set the dirty bits of the mapped pages of *bitmap*. Raises as :func:`get_dirty`."""
    bits.mark(machine.space.gpt, _pages(machine, gpa, length), bitmap, dirty=True)


def reset_dirty(machine: Machine, gpa: int, length: int, bitmap: int | None = None) -> int:
    """Clear the dirty bits of *bitmap*, or of the whole range; returns what was dirty of it.

    Raises as :func:`get_dirty`.
    """
    pages = _pages(machine, gpa, length)
    was = bits.dirty_bitmap(machine.space.gpt, pages)
    if bitmap is not None:
        was &= bitmap
    bits.mark(machine.space.gpt, pages, was, dirty=False)
    return was


def _pages(machine: Machine, gpa: int, length: int) -> range:
    machine.check_running()
    if not (is_page_aligned(gpa) and is_page_aligned(length)) or gpa < 0 or length < 0:
        raise Refused("EINVAL", f"{gpa:#x} and {length:#x} are not both page-aligned")
    if gpa + length > U64_END:
        raise Refused("EOVERFLOW", f"{gpa:#x} and {length:#x} reach past 2^64")
    reachable = Span(min(gpa, REACH), min(gpa + length, REACH))
    return reachable.pages
