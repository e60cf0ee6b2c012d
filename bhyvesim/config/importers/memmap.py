"""Pasted output of ``bhyvectl --get-memmap``, with or without ``--get-memseg``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from bhyvesim.config.importers.draft import Draft, Found
from bhyvesim.config.importers.source import ImportProblem, Source
from bhyvesim.kernel.memory import Memmap
from bhyvesim.prot import parse_prot
from bhyvesim.units import PAGE_SIZE, shorten
from bhyvesim.vm.layouts import LAYOUTS, Layout
from bhyvesim.vm.spec import SegmentSpec

MAP_HEADER = ("Address", "Length", "Segment", "Offset", "Prot", "Flags")
SEG_HEADER = ("ID", "Length", "Name")
_LENGTH = re.compile(r"(\d{1,6})([KMGTPE]?)B?", re.ASCII)
_UNITS = {unit: 1 << (10 * power) for power, unit in enumerate(("", "K", "M", "G", "T", "P", "E"))}
_ROW = re.compile(
    r"(?P<gpa>[0-9A-F]{1,16})\s+(?P<length>\S+)\s+(?P<rest>\S.*?)\s*"
    r"(?P<prot>[R-][W-][X-])(\s+(?P<flags>\S*))?",
    re.ASCII,
)
_SEG_ROW = re.compile(r"(?P<id>\d+)\s+(?P<length>\S+)\s+(?P<name>\S.*)", re.ASCII)
_MAX_SEGIDS = 5
_MAX_ROW = 500  # characters; bhyvectl's have under 200


class Row(NamedTuple):
    """A memmap as it was printed: *length* as rounded, *least* the shortest that prints so."""

    line: int
    gpa: int
    length: int
    name: str
    offset: int
    prot: int
    wired: bool
    least: int


class Listing(NamedTuple):
    """What is printed of a VM: memmaps, segments (length and name by id), and other lines."""

    rows: list[Row]
    segs: dict[int, tuple[int, str]]
    ignored: list[str]


def looks_like(source: Source) -> bool:
    """Whether one of its lines is the head of a memory map."""
    return any(tuple(line.split()) == MAP_HEADER for line in source.lines)


def read(source: Source) -> list[Found]:
    """The one VM of *source*."""
    return [Found(1, lambda: _read(source.lines, source.name))]


def _read(lines: list[str], source: str) -> Draft:
    """The VM with that memory map. Raises ImportProblem."""
    draft = Draft(source, "bhyvectl --get-memmap")
    described(enumerate(lines, start=1), draft)
    return draft


def listing(lines: list[str], source: str) -> Listing:
    """What is printed there. Raises ImportProblem."""
    return listing_of(enumerate(lines, start=1), source)


def described(numbered: Iterable[tuple[int, str]], draft: Draft) -> None:
    """Put the VM whose map is printed there into *draft*. Raises ImportProblem."""
    rows, segs, ignored = listing_of(numbered, draft.source)
    draft.ignored += ignored
    _check_overlaps(rows, draft.source)
    _arrange(draft, rows, segs)


def listing_of(numbered: Iterable[tuple[int, str]], source: str) -> Listing:
    """What is printed in lines that have their numbers. Raises ImportProblem.

    What stands before a head, or after the rows that follow it, is other output: it is
    named as ignored.
    """
    rows: list[Row] = []
    segs: dict[int, tuple[int, str]] = {}
    ignored: list[str] = []
    section = ""
    number = 1
    for number, line in numbered:
        words = tuple(line.split())
        if words == MAP_HEADER:
            section = "map"
        elif words == SEG_HEADER:
            section = "seg"
        elif not words:
            continue
        elif section == "map" and re.match(r"[0-9A-Fa-f]+\s", line):
            rows.append(_map_row(line, number, source, [name for _, name in segs.values()]))
        elif section == "seg" and line[0].isdigit():
            segid, length, name = _seg_row(line, number, source)
            segs[segid] = (length, name)
        else:
            section = ""
            ignored.append(f"line {number}: {line.strip()}")
    if not rows:
        raise ImportProblem(source, number, "a memory map without rows", "at least one")
    return Listing(rows, segs, ignored)


def _map_row(line: str, number: int, source: str, names: list[str]) -> Row:
    match = _ROW.fullmatch(line.rstrip()) if len(line) < _MAX_ROW else None
    if match is None:
        raise ImportProblem(
            source, number, shorten(line), "Address Length Segment Offset Prot Flags"
        )
    length = _length(match["length"], number, source)
    name, offset = _name_and_offset(line, match, number, source, names)
    gpa = int(match["gpa"], 16)
    if match["prot"] == "---":
        raise ImportProblem(source, number, "a map without protection", "one or more of R, W, X")
    flags = [flag for flag in re.split(r"[/\0]", match["flags"] or "") if flag]
    for flag in flags:
        if flag not in ("wired", "iommu"):
            raise ImportProblem(source, number, f"the flag {shorten(flag)}", "wired or iommu")
    if gpa % PAGE_SIZE or length % PAGE_SIZE or offset % PAGE_SIZE or not length:
        raise ImportProblem(
            source, number, "numbers that are not page-aligned", "multiples of 4096"
        )
    prot, least = parse_prot(match["prot"]), _least(match["length"])
    return Row(number, gpa, length, name, offset, prot, "wired" in flags, least)


def _name_and_offset(
    line: str, match: re.Match[str], number: int, source: str, names: list[str]
) -> tuple[str, int]:
    """A name of twelve characters or more runs into the offset; known names tell them apart."""
    rest = match["rest"]
    name, _, offset = rest.rpartition(" ")
    if not name.strip():
        joined = rest
        fitting = [n for n in names if joined.startswith(n) and len(n) >= 12]
        if not fitting:
            raise ImportProblem(
                source,
                number,
                f"{shorten(joined)}: the name runs into the offset",
                "the output of --get-memseg before it, which has the names",
            )
        name = max(fitting, key=len)
        offset = joined[len(name) :]
    if not re.fullmatch(r"[0-9A-F]{1,16}", offset):
        raise ImportProblem(source, number, f"the offset {shorten(offset)}", "a hex number")
    return name.strip(), int(offset, 16)


def _seg_row(line: str, number: int, source: str) -> tuple[int, int, str]:
    match = _SEG_ROW.fullmatch(line.rstrip())
    if match is None or int(match["id"][:9]) >= _MAX_SEGIDS:
        raise ImportProblem(source, number, shorten(line), "ID Length Name")
    return int(match["id"]), _length(match["length"], number, source), match["name"]


def _length(text: str, number: int, source: str) -> int:
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise ImportProblem(source, number, f"the length {shorten(text)}", "such as 3072MB")
    return int(match[1]) * _UNITS[match[2]]


def _least(text: str) -> int:
    """The fewest bytes, of whole pages, that are printed as *text*: the last digit is rounded."""
    match = _LENGTH.fullmatch(text)
    assert match is not None
    unit = _UNITS[match[2]]
    return -(-(int(match[1]) * unit - unit // 2) // PAGE_SIZE) * PAGE_SIZE


def _check_overlaps(rows: list[Row], source: str) -> None:
    rows.sort(key=lambda row: row.gpa)
    for before, row in pairwise(rows):
        if before.gpa + before.length > row.gpa:
            raise ImportProblem(
                source, row.line, f"a map at {row.gpa:#x}", f"one past that of line {before.line}"
            )


def _arrange(draft: Draft, rows: list[Row], segs: dict[int, tuple[int, str]]) -> None:
    """A VMM's own layout where the rows are one, else segments one by one."""
    draft.notes.append("bhyvectl rounds lengths; they are taken as printed.")
    shown = [(r.gpa, r.length, r.name, r.offset, r.prot, r.wired) for r in rows]
    memory = sum(row.length for row in rows if row.name == "sysmem")
    bootrom = sum(row.length for row in rows if row.name == "bootrom")
    for vmm in ("propolis", "bhyve"):
        if not memory:
            break
        layout = LAYOUTS[vmm](memory, bootrom, {})
        if _rows_of(layout) == shown and _segs_fit(layout, segs):
            draft.vmm, draft.memory, draft.bootrom = vmm, memory, bootrom
            lines = [str(row.line) for row in rows if row.name == "sysmem"]
            draft.memory_line = min(row.line for row in rows if row.name == "sysmem")
            draft.memory_origin = f"the sysmem rows, line {' and '.join(lines)}"
            draft.bootrom_origin = "the bootrom row" if bootrom else "no bootrom row"
            return
    draft.notes.append("The map does not tell slot order: mappings are by address.")
    draft.memory_line = rows[0].line
    draft.layout = _explicit(rows, segs, draft)
    draft.layout_origins = [f"line {row.line}" for row in rows]


def _rows_of(layout: Layout) -> list[tuple[int, int, str, int, int, bool]]:
    names = {segment.segid: segment.name or "sysmem" for segment in layout.segments}
    rows = [(m.gpa, m.length, names[m.segid], m.segoff, m.prot, m.wired) for m in layout.mappings]
    return sorted(rows)


def _segs_fit(layout: Layout, segs: dict[int, tuple[int, str]]) -> bool:
    made = {s.segid: (s.length, s.name or "sysmem") for s in layout.segments}
    return not segs or segs == made


def _explicit(rows: list[Row], segs: dict[int, tuple[int, str]], draft: Draft) -> Layout:
    """Device segments by name, a segment for each row of sysmem, ids as --get-memseg has them."""
    free = dict(segs)
    sizes: dict[int, tuple[str, int]] = {}
    by_name: dict[str, int] = {}
    mappings = []
    for row in rows:
        end = row.offset + row.length
        segid = by_name.get(row.name) if row.name != "sysmem" else None
        if segid is None:
            fitting = [i for i, (n, name) in free.items() if name == row.name and n >= end]
            unused = [i for i in range(_MAX_SEGIDS) if i not in sizes and i not in segs]
            if not fitting and not unused:
                raise ImportProblem(
                    draft.source, row.line, "one segment too many", f"at most {_MAX_SEGIDS}"
                )
            segid = fitting[0] if fitting else unused[0]
            length, _ = free.pop(segid, (end, ""))
            sizes[segid] = (row.name, length)
            by_name[row.name] = segid
        name, length = sizes[segid]
        sizes[segid] = (name, max(length, end))
        mappings.append(Memmap(row.gpa, row.length, segid, row.offset, row.prot, row.wired))
    for segid, (length, name) in free.items():
        sizes[segid] = (name, length)
    segments = tuple(
        SegmentSpec(segid, "" if name == "sysmem" else name, length)
        for segid, (name, length) in sorted(sizes.items())
    )
    return Layout(segments, tuple(mappings))
