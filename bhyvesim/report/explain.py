"""A panic or hang in plain words, written from what was recorded of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bhyvesim.crash.dump import CrashDump, span_of
from bhyvesim.kernel.builds import build_name
from bhyvesim.kernel.memory import APIC_SPAN, Memmap
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.kernel.revisions.stops import NO_MEMMAP, Told
from bhyvesim.report.fit import joined, paragraph
from bhyvesim.report.tones import BAD, marked
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SIZE

_WIDEST = 100  # columns; prose in longer lines is hard to read
UNKNOWN = "This panic is not one that bhyvesim knows."


class DumpCase:
    """A crash dump, with what its addresses are (a :class:`~.stops.Case`)."""

    def __init__(self, dump: CrashDump) -> None:
        self.stack = dump.stack
        self.gpt, self.npt, self.function = dump.gpt, dump.npt, dump.function
        self.facts = dump.facts
        self.locks: Sequence[str] = dump.locks
        self.arguments, self.span, self.called = dump.arguments, dump.span, dump.called
        self.apicv = dump.snapshot.apicv
        self._names = {seg.segid: seg.label for seg in dump.snapshot.segs}
        self.memmaps: Sequence[Memmap] = dump.machine().memmaps

    def asked(self, span: Span) -> str:
        """The outermost function that was asked for *span*."""
        return next(f.function for f in reversed(self.stack) if span_of(f.named()) == span)

    def map_at(self, gpa: int) -> str:
        """The name and span of the memmap over *gpa*."""
        for m in self.memmaps:
            if m.span.start <= gpa < m.span.end:
                return f"{self._names[m.segid]} {m.span}"
        if self.apicv and gpa in range(*APIC_SPAN):
            return f"APIC access page {APIC_SPAN}"
        return NO_MEMMAP


class Explained(NamedTuple):
    """`bhyvesim explain`: a panic in plain words, with its numbers; no crash: a dump in a file."""

    crash: int | None
    vm: str
    function: str
    message: str
    facts: dict[str, Any]
    text: str


def explained(dump: CrashDump, number: int | None) -> Explained:
    """:func:`explain` as a record; *number* is the stored dump's."""
    return Explained(number, dump.vm, dump.function, dump.message, dict(dump.facts), explain(dump))


def explain(dump: CrashDump, number: int | None = None) -> str:
    """Cause, numbers, a picture of the addresses, and the revision that fixed it."""
    return joined(explain_lines(dump, number, None), colour=False)


def explain_lines(dump: CrashDump, number: int | None, width: int | None) -> list[str]:
    """:func:`explain` of the stored dump *number*; without a width, in the story's own lines."""
    if width is not None:
        width = min(width, _WIDEST)
    case = DumpCase(dump)
    told = tell(case)
    stored = "" if number is None else f"crash {number}: "
    head = paragraph(f"{stored}{headline(dump)}.", width)
    message = [marked(line, BAD) for line in paragraph(dump.message, width)]
    lines = [marked(head[0], BAD, dump.snapshot.state), *head[1:], "", *message]
    if told is None:
        return lines + paragraph(UNKNOWN, width)
    story = told.story if width is None else paragraph(" ".join(told.story), width)
    mended = paragraph(told.mended, width)
    return [*lines, "", *story, "", *_picture(told.marks, case, width), "", *mended]


def headline(dump: CrashDump) -> str:
    """What happened to whom, and on which kernel."""
    did = "hung" if dump.hung else "panicked"
    return f"{dump.vm} {did} during {dump.operation}, on kernel {dump.gpt} {build_name(dump.debug)}"


def tell(case: DumpCase) -> Told | None:
    """The story of *case*; None where its revision is not known to stop there."""
    stops = {stop.function: stop for stop in REVISIONS[case.gpt].stops}
    return stops[case.function].tell(case) if case.function in stops else None


def _map_name(case: DumpCase, gpa: int) -> str:
    name = case.map_at(gpa)
    return "-" if name == NO_MEMMAP else name.partition(" [")[0]


def _picture(marks: Mapping[int, str], case: DumpCase, room: int | None) -> list[str]:
    """The addresses that matter, in order, each with its memmap and what it is to the case."""
    lines: list[str] = []
    before: int | None = None
    width = max(len(f"{gpa:#x}") for gpa in marks)
    maps = {gpa: _map_name(case, gpa) for gpa in marks}
    map_width = max(len(name) for name in maps.values())
    for gpa in sorted(marks):
        if before is not None and gpa - before > PAGE_SIZE:
            lines.append(f"  {'':>{width}}   :")
        first = f"  {gpa:>#{width}x}   | {maps[gpa]:<{map_width}}   "
        lines += paragraph(marks[gpa], room, first, " " * (width + 5) + "| ".ljust(map_width + 5))
        before = gpa
    return lines
