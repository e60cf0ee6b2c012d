"""Bytes of host pages, by page frame: those never written are zeros, and take no room.

Kept in windows of 64 pages; a window that is not in memory yet is read when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bhyvesim.units import PAGE_SIZE

WINDOW_BITS = 6
ZEROS = bytes(PAGE_SIZE)

Window = dict[int, bytes]  # by page frame


class UnreadPages:
    """A window that is not in memory; *key* is whatever its owner knows it by."""

    __slots__ = ("key", "read")

    def __init__(self, read: Callable[[], Window], key: Any = None) -> None:
        self.read = read
        self.key = key


class Pages:
    """What is in the host pages of one machine."""

    __slots__ = ("_windows",)

    def __init__(self, pages: Iterable[tuple[int, bytes]] = ()) -> None:
        self._windows: dict[int, Window | UnreadPages] = {}
        for pfn, page in pages:
            self[pfn] = page

    @classmethod
    def unread(cls, windows: dict[int, Window | UnreadPages]) -> Pages:
        """Pages in windows by number (page frame >> 6)."""
        pages = cls()
        pages._windows = windows
        return pages

    def __getitem__(self, pfn: int) -> bytes:
        window = self._window(pfn >> WINDOW_BITS)
        return ZEROS if window is None else window.get(pfn, ZEROS)

    def __setitem__(self, pfn: int, page: bytes) -> None:
        window = self._window(pfn >> WINDOW_BITS)
        if window is None:
            self._windows[pfn >> WINDOW_BITS] = {pfn: page}
        else:
            window[pfn] = page

    def items(self) -> Iterator[tuple[int, bytes]]:
        """``(page frame, bytes)`` of all that were written, by page frame."""
        for number in sorted(self._windows):
            window = self._window(number)
            assert window is not None
            yield from sorted(window.items())

    def between(self, first: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Those of :meth:`items` whose frames are in ``[first, end)``; reads no other window."""
        lo, hi = first >> WINDOW_BITS, (end - 1 >> WINDOW_BITS) + 1
        if hi - lo < len(self._windows):
            numbers = [number for number in range(lo, hi) if number in self._windows]
        else:
            numbers = sorted(number for number in self._windows if lo <= number < hi)
        for number in numbers:
            window = self._window(number)
            assert window is not None
            yield from ((pfn, page) for pfn, page in sorted(window.items()) if first <= pfn < end)

    def windows(self) -> dict[int, Window | UnreadPages]:
        """The windows by number; reads nothing."""
        return self._windows

    def copy(self) -> Pages:
        """Others of the same bytes."""
        return Pages.unread(
            {
                number: window if isinstance(window, UnreadPages) else window.copy()
                for number, window in self._windows.items()
            }
        )

    def _window(self, number: int) -> Window | None:
        window = self._windows.get(number)
        if isinstance(window, UnreadPages):
            window = self._windows[number] = window.read()
        return window
