"""A panic or hang on a terminal: the assertion and what broke it first, what to do next last."""

from __future__ import annotations

from bhyvesim.crash.dump import CrashDump
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.pte.format import pfn_of
from bhyvesim.report.crash import Crash, console
from bhyvesim.report.explain import DumpCase, tell
from bhyvesim.report.fit import named, paragraph
from bhyvesim.report.tones import BAD, HEADING, QUIET, Line, Part, marked
from bhyvesim.text import columns_of

_INDENT = "  "


def screen(crash: Crash, width: int | None) -> list[str]:
    """What the console shows, with what broke the assertion, in *width* columns.

    Without a width it is the console's own lines, and nothing else.
    """
    message, _, *stack = console(crash).splitlines()
    if width is None:
        return [marked(message, BAD), "", *(marked(line, QUIET) for line in stack)]
    lines: list[str] = [marked(line, BAD) for line in paragraph(message, width)]
    room = width - len(_INDENT)
    broken = [_INDENT + line for line in named(_broken_by(crash.dump), room)]
    lines += ["", *(marked(line, HEADING) for line in broken)] if broken else []
    return [*lines, "", *(marked(line, QUIET) for line in _stack(stack, room))]


def next_steps(number: int, width: int, *, shown: bool = False) -> list[str]:
    """What tells more of the stored dump *number*; *shown*: it is what 'crash show' shows."""
    commands = [(f"bhyvesim explain {number}", "what happened, in plain words")]
    if not shown:
        again = "this again; --format=mdb, fma or json for more"
        commands.append((f"bhyvesim crash show {number}", again))
    lines: list[str] = []
    for line in named(commands, width - len(_INDENT)):
        text = _INDENT + line
        end = text.find("  ", len(_INDENT))
        starts = text.startswith(f"{_INDENT}bhyvesim ")
        lines.append(Line(text, (Part(len(_INDENT), end, HEADING),) if starts else ()))
    return lines


def _broken_by(dump: CrashDump) -> list[tuple[str, str]]:
    """The page that the kernel stumbled over, with what is known of it, and its entry."""
    facts = dump.facts
    gpa, pte = facts.get("gpa", facts.get("held")), facts.get("pte")
    if not isinstance(gpa, int):
        return []
    told = tell(DumpCase(dump))
    mark = "" if told is None else told.marks.get(gpa, "")
    pairs = [("page", f"{gpa:#x}{': ' * bool(mark)}{mark}")]
    if isinstance(pte, int):
        flags = " ".join(FORMATS[dump.npt].flags(pte))
        pairs.append(("entry", f"{pte:#x}: PFN {pfn_of(pte):#x}, {flags}"))
    return pairs


def _stack(frames: list[str], room: int) -> list[str]:
    """The frames; without their pointers where these leave no room for the functions."""
    shown = [frame.split(" ", 1) for frame in frames if frame]
    lines = ["  ".join(frame) for frame in shown]
    if max(map(columns_of, lines), default=0) > room:
        lines = [function for _, function in shown]
    return [_INDENT + line for line in lines]
