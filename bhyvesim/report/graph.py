"""The guest's address space as a picture: bars to scale, gaps folded, small maps enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bhyvesim.kernel.memory import Memmap, Memseg
from bhyvesim.prot import format_prot
from bhyvesim.span import Span
from bhyvesim.text import clean
from bhyvesim.units import format_size

_GAP_CELLS = 3
_FEWEST_CELLS = 8
_LONGEST_NAME = 14
_ALIKE = 8  # times as large, at most, are two maps that share a window


class Marks(NamedTuple):
    """What bars are drawn with: memory, a gap, what goes on to the left and to the right."""

    memory: str
    gap: str
    before: str
    after: str


ASCII = Marks("#", ".", "<", ">")
BLOCKS = Marks("█", "·", "◀", "▶")


class _Part(NamedTuple):
    """A span and what to say of it: a memmap, or a gap; whether it goes on past the picture."""

    span: Span
    label: str
    free: bool = False
    from_before: bool = False
    goes_on: bool = False


def memory_graph(
    segs: Sequence[Memseg], memmaps: Sequence[Memmap], width: int, marks: Marks
) -> list[str]:
    """Every memmap and gap by address, in lines of at most *width*; then the small ones enlarged.

    Where *width* is too narrow for bars of eight cells, lines are as long as those need.
    """
    names = {seg.segid: seg.label for seg in segs}
    maps = [
        _Part(m.span, f"{_short(names[m.segid])} {format_size(m.length)} {format_prot(m.prot)}")
        for m in sorted(memmaps, key=lambda m: m.gpa)
    ]
    if not maps:
        return ["nothing is mapped"]
    end = maps[-1].span.end
    parts = _inside(maps, Span(0, end))
    gaps = len(parts) - len(maps)
    cells = max(_FEWEST_CELLS, _cells(parts, width) - _GAP_CELLS * gaps - len(maps))
    scale = sum(part.span.length for part in maps) / cells
    lines = [f"{marks.memory} is {_about(scale)}; gaps ({marks.gap}) are not to scale"]
    lines += [*_drawn(parts, scale, _GAP_CELLS, marks), f"{end:#x}"]
    for window in _windows(maps, scale):
        lines += ["", *_enlarged(maps, window, width, marks)]
    return lines


def _enlarged(maps: Sequence[_Part], window: Span, width: int, marks: Marks) -> list[str]:
    """Everything in *window*, gaps to scale too."""
    parts = _inside(maps, window)
    scale = window.length / (_cells(parts, width) - len(parts))
    head = f"{window.start:#x} to {window.end:#x} enlarged, {marks.memory} is {_about(scale)}"
    return [head, *_drawn(parts, scale, None, marks)]


def _windows(maps: Sequence[_Part], scale: float) -> list[Span]:
    """The surroundings of memmaps too small for the scale; alike ones that are near share one."""
    windows: list[Span] = []
    last = 0
    for length, span in ((part.span.length, part.span) for part in maps):
        if length >= scale:
            continue
        wide = Span(max(0, span.start - length), span.end + length)
        alike = last <= length * _ALIKE and length <= last * _ALIKE
        if windows and alike and windows[-1].end >= wide.start:
            wide = Span(windows.pop().start, wide.end)
        windows.append(wide)
        last = length
    return windows


def _inside(maps: Sequence[_Part], window: Span) -> list[_Part]:
    """What of *maps* is in *window*, and the gaps there, by address."""
    parts: list[_Part] = []
    at = window.start
    for part in maps:
        start, end = max(part.span.start, window.start), min(part.span.end, window.end)
        if start >= end:
            continue
        if at < start:
            parts.append(_gap(at, start))
        more = part.span.start < start, part.span.end > end
        parts.append(_Part(Span(start, end), part.label, False, *more))
        at = end
    return [*parts, _gap(at, window.end)] if at < window.end else parts


def _gap(start: int, end: int) -> _Part:
    return _Part(Span(start, end), f"free {format_size(end - start)}", free=True)


def _drawn(parts: Sequence[_Part], scale: float, gap_cells: int | None, marks: Marks) -> list[str]:
    """A line a part, each bar where the one before ended; gaps of *gap_cells*, None: to scale."""
    bars = []
    at = 0
    for part in parts:
        cells = max(1, round(part.span.length / scale))
        if part.free and gap_cells is not None:
            cells = gap_cells
        bars.append(" " * at + _bar(part, cells, marks))
        at += cells
    left = _address_width(parts)
    return [
        f"{part.span.start:#x}".ljust(left) + f" {bar.ljust(at)} {part.label}"
        for part, bar in zip(parts, bars, strict=True)
    ]


def _bar(part: _Part, cells: int, marks: Marks) -> str:
    """So many cells; the first and the last say whether the memmap goes on."""
    bar = [marks.gap if part.free else marks.memory] * cells
    if part.from_before:
        bar[0] = marks.before
    if part.goes_on:
        bar[-1] = marks.after
    return "".join(bar)


def _cells(parts: Sequence[_Part], width: int) -> int:
    """How many cells bars can have beside addresses and labels."""
    right = max(len(part.label) for part in parts)
    return max(_FEWEST_CELLS + len(parts), width - _address_width(parts) - right - 2)


def _address_width(parts: Sequence[_Part]) -> int:
    return max(len(f"{part.span.start:#x}") for part in parts)


def _short(name: str) -> str:
    name = clean(name)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 2]}.."


def _about(size: float) -> str:
    """A size in three digits."""
    for power, unit in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
        if size >= 1 << 10 * power:
            return f"{size / (1 << 10 * power):.3g}{unit}"
    return f"{size:.3g}B"
