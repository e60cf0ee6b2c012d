"""The parts of a report as HTML that says all of it without a script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bhyvesim.kernel.gpt.fold import EntryRun
from bhyvesim.kernel.look.areas import Area, over
from bhyvesim.kernel.memory import Memseg
from bhyvesim.kernel.pte.format import PteFormat, pfn_of
from bhyvesim.prot import format_prot
from bhyvesim.report.html.data import Document, Stopped
from bhyvesim.report.html.drawing import Entries
from bhyvesim.report.html.ladders import Ladder, Rung
from bhyvesim.report.html.markup import Html, join, lines, tag
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT, format_size

COLOURS = 6  # of segments; more begin again


def facts(document: Document) -> Html:
    """The numbers of the machine, a name and a value each."""
    pairs = (tag("div", tag("dt", name), tag("dd", value)) for name, value in document.facts)
    return tag("dl", *pairs, class_="facts")


def crash(stopped: Stopped | None) -> Html:
    """What happened: the story, and the console's report."""
    if stopped is None:
        return Html()
    story = [tag("p", stopped.story, class_="story")]
    if stopped.mended:
        story.append(tag("p", stopped.mended, class_="mended" if stopped.mended_in else "unmended"))
    console = tag(
        "details",
        tag("summary", "On the console"),
        tag("pre", lines(stopped.console.rstrip()), class_="console", tabindex=0),
        open=True,
    )
    return tag(
        "section",
        tag("h2", "Why it hung" if stopped.hung else "Why it panicked"),
        tag("div", tag("div", *story), console, class_="beside"),
        id="crash",
    )


def ladders(found: Sequence[Ladder], npt: PteFormat) -> Html:
    """The pages at each boundary."""
    if not found:
        return tag("p", "Nothing is mapped, so there are none.", class_="quiet")
    return tag("div", *(_ladder(ladder, npt) for ladder in found), class_="ladders")


def _ladder(ladder: Ladder, npt: PteFormat) -> Html:
    rungs = [_rung(rung, npt, rung.gpa == ladder.gpa) for rung in ladder.rungs]
    noted = any(rung.note for rung in ladder.rungs)
    heading = tag(
        "h3", place(ladder.gpa, ladder.gpa + 1), " ", tag("span", ladder.title, class_="quiet")
    )
    return tag(
        "article",
        heading,
        tag("ol", *rungs),
        class_="ladder noted" if noted else "ladder",
    )


def _rung(rung: Rung, npt: PteFormat, edge: bool) -> Html:
    bits = npt.flags(rung.entry)
    marks = "".join(bit[0].upper() for bit in ("accessed", "dirty") if bit in bits)
    if rung.entry:
        value = f"{format_prot(npt.prot(rung.entry))} {marks} → {pfn_of(rung.entry):#x}"
    else:
        value = "no entry"
    classes = [colour(rung.area)]
    classes += ["edge"] * edge + ["absent"] * (not rung.entry) + ["noted"] * bool(rung.note)
    parts = [
        tag("code", f"{rung.gpa:#x}"),
        tag("span", "nothing" if rung.area is None else rung.area.name, class_="name"),
        tag("code", value, class_="entry", title=" ".join(bits) or None),
    ]
    if rung.note:
        parts.append(tag("strong", rung.note))
    return tag("li", *parts, class_=" ".join(classes))


def colour(area: Area | None) -> str:
    """The class that colours what belongs to the segment of *area*."""
    if area is None:
        return "segment-none"
    return "segment-apic" if area.segid is None else f"segment-{area.segid % COLOURS}"


def place(start: int, end: int, shown: str = "") -> Html:
    """An address as a link: the script shows ``[start, end)`` on the map when it is followed."""
    return tag("a", shown or f"{start:#x}", href="#map", data_start=start, data_end=end)


def memory_maps(found: Sequence[Area]) -> Html:
    """What is mapped where."""
    rows = [
        (
            place(*area.span),
            f"{area.span.end:#x}",
            size(area.span),
            tag("span", area.name, class_=f"swatch {colour(area)}"),
            "" if area.segoff is None else f"{area.segoff:#x}",
            format_prot(area.prot),
            "wired" if area.wired else "",
        )
        for area in found
    ]
    names = ("From", "To (exclusive)", "Length", "Segment", "Offset", "Rights", "")
    return table("Memmaps", names, rows, "nothing is mapped")


def segments(found: Sequence[Memseg]) -> Html:
    """The memory segments, by id."""
    rows = [
        (str(seg.segid), seg.label, format_size(seg.length), f"{seg.host_pfn:#x}") for seg in found
    ]
    return table("Segments", ("Id", "Name", "Length", "First host page"), rows, "no segments")


def entries(found: Entries, mapped: Sequence[Area], npt: PteFormat) -> Html:
    """The first runs of entries."""
    rows = [_entries(run, mapped, npt) for run in found.first]
    more = found.runs - len(found.first)
    names = ("From", "Pages", "Rights", "Host page", "Bits", "In")
    return table("Entries, as runs", names, rows, "no entries", more)


def _entries(run: EntryRun, mapped: Sequence[Area], npt: PteFormat) -> tuple[str, ...]:
    area = over(mapped, run.gpa)
    times = f" × {run.times:,}, every 2M" if run.times > 1 else ""
    return (
        place(run.gpa, run.gpa + (run.npages << PAGE_SHIFT)),
        f"{run.npages:,}{times}",
        format_prot(npt.prot(run.pte)),
        f"{pfn_of(run.pte):#x}",
        " ".join(npt.flags(run.pte)),
        "no memmap" if area is None else area.name,
    )


def table(
    caption: str,
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    empty: str,
    more: int = 0,
) -> Html:
    """A table that scrolls by itself where it is too wide; *more* rows are only counted."""
    if not rows:
        return join(tag("h3", caption), tag("p", empty, class_="quiet"))
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in names)))
    body = tag("tbody", *(tag("tr", *(tag("td", cell) for cell in row)) for row in rows))
    whole = tag("table", tag("caption", caption), head, body)
    return join(
        tag("div", whole, class_="wide", tabindex=0, role="region", aria_label=caption),
        *left_out(more),
    )


def left_out(more: int, what: str = "row") -> Iterable[Html]:
    """That there are *more*, if there are."""
    if more:
        yield tag("p", f"{more:,} more {what}{'s' * (more != 1)} not shown.", class_="quiet")


def size(span: Span) -> str:
    """The length of *span*, for people."""
    return format_size(span.length)
