"""What is in memory, as hex dumps show it; and dirty bitmaps as runs of pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bhyvesim.kernel.gpt.leaf import runs_of
from bhyvesim.ops.contents import Bytes
from bhyvesim.report.lifecycle import Fault
from bhyvesim.report.model import Column, Report
from bhyvesim.units import PAGE_SHIFT

_ROW = 16


class Peeked(NamedTuple):
    """`bhyvesim peek`: bytes from an address, or an offset, on; and how a read past them failed."""

    address: int
    data: str
    fault: Fault | None


class PageRun(NamedTuple):
    """Neighbouring pages."""

    gpa: int
    pages: int


class Bitmap(NamedTuple):
    """`bhyvesim dirty`, `npt` and `track-dirty`: what the ioctl returned, and its bitmap.

    ``value`` is null but for `npt`; ``bitmap`` is in hex, the first byte first.
    """

    value: int | None
    bitmap: str | None
    pages: tuple[PageRun, ...]


def peeked(start: int, got: Bytes) -> Report:
    """Bytes from *start* on, sixteen a row, as ``hexdump -C`` does it; equal rows are one ``*``."""
    rows = tuple(_rows(start, got.data))
    columns = (Column("ADDRESS"), Column("BYTES"), Column("TEXT"))
    fault = None if got.access is None else got.access.fault
    exact = "".join(f"{at}  {shown:<48} {text}".rstrip() + "\n" for at, shown, text in rows)
    record = Peeked(start, got.data.hex(), fault)
    return Report(columns, rows, record, exact, empty="nothing could be read")


def _rows(start: int, data: bytes) -> Iterator[tuple[str, str, str]]:
    last = b""
    starred = False
    for at in range(0, len(data), _ROW):
        row = data[at : at + _ROW]
        if row == last and at + _ROW < len(data):
            if not starred:
                yield "*", "", ""
            starred = True
            continue
        last, starred = row, False
        shown = " ".join(f"{byte:02x}" for byte in row)
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"{start + at:016x}", shown, f"|{text}|"


def bitmap(gpa: int, given: bytes | None, value: int | None) -> Report:
    """The pages of a bitmap that begins at *gpa*, as runs; *value* is what the ioctl returned."""
    runs = [] if given is None else list(runs_of(int.from_bytes(given, "little")))
    rows = tuple((f"{gpa + (first << PAGE_SHIFT):#x}", str(end - first)) for first, end in runs)
    columns = (Column("ADDRESS"), Column("PAGES", True))
    record = Bitmap(
        value,
        None if given is None else given.hex(),
        tuple(PageRun(gpa + (first << PAGE_SHIFT), end - first) for first, end in runs),
    )
    if value is None:
        return Report(columns, rows, record, empty="no pages")
    returned = f"returned {value}"
    exact = "".join(f"{line}\n" for line in (returned, *(f"{at}  {n}" for at, n in rows)))
    return Report(columns, rows, record, exact, empty=returned, notes=(returned,))
