"""The events of a VM, a line each; and who changed an entry."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bhyvesim.errors import Frame
from bhyvesim.host.history import History
from bhyvesim.kernel.pte.format import PteFormat, pfn_of
from bhyvesim.report.fit import Page, paragraph, table
from bhyvesim.report.model import Column
from bhyvesim.report.tones import BAD
from bhyvesim.store.rows import EventRow
from bhyvesim.values import Value

if TYPE_CHECKING:
    from bhyvesim.host.rerun import Cause


def _tone(came: str) -> str | None:
    """Of what an event came to: bad where the kernel ended."""
    return BAD if came.startswith(("panicked", "hung")) else None


_COLUMNS = (
    Column("EVENT", True),
    Column("TIME"),
    Column("ACTION"),
    Column("STEPS"),
    Column("CAME TO", tone=_tone),
)


class LogEvent(Value):
    """One event: when, what was asked, the names of its steps, and what it came to.

    ``time`` is in seconds since the epoch, ``digest`` that of the state at its end (SHA-256;
    empty where the VM, whose kernel was gone, was only forgotten).
    """

    event: int
    time: int
    action: dict[str, Any]
    steps: tuple[str, ...]
    result: dict[str, Any]
    digest: str
    crash: int | None


class Log(Value):
    """`bhyvesim log`: the events of a VM that are kept, oldest first."""

    vm: str
    events: tuple[LogEvent, ...]


def log(history: History) -> Page:
    """The events of *history*."""
    events = tuple(logged(history, event) for event in history.events)
    rows = [
        (
            str(event.event),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.time)),
            said_of_action(event.action),
            ", ".join(event.steps),
            came_to(event.result, event.crash),
        )
        for event in events
    ]
    record = Log(history.name, events)
    if not rows:
        return Page(record, lambda width: paragraph(f"{history.name} has no events", width))
    return Page(record, lambda width: table(_COLUMNS, rows, width))


def logged(history: History, event: EventRow) -> LogEvent:
    """One event of *history*, as the log has it."""
    return LogEvent(
        event.number,
        event.time_ns // 10**9,
        history.action(event).record(),
        tuple(stage for stage, _ in event.stages),
        history.result(event),
        event.digest,
        event.crash,
    )


def said_of_action(record: dict[str, Any]) -> str:
    """An action in a few words: its name, and where, if it is one operation."""
    ops = record.get("ops", [])
    words = [str(record["action"])]
    if len(ops) == 1:
        op = ops[0]
        words += [f"{key} {_number(key, op[key])}" for key in ("gpa", "segid", "id") if key in op]
        words += [f"+{op[key]:#x}" for key in ("len",) if key in op]
        if "npages" in op:
            words.append(f"{op['npages']} page{'s' * (op['npages'] != 1)}")
    words += [f"{key} {record[key]}" for key in ("from", "to") if key in record]
    if "mebibytes" in record:
        words.append(f"{record['mebibytes']}M")
    return " ".join(words)


def _number(key: str, value: int) -> str:
    return f"{value:#x}" if key == "gpa" else str(value)


def came_to(result: dict[str, Any], crash: int | None) -> str:
    """A result in a line."""
    if "stopped" in result:
        letter = result["stopped"]
        what = f"panicked ({letter})" if letter else "hung"
        return f"{what} in {result['function']}, crash {crash}"
    if "forgotten" in result:
        return f"forgotten: it had {result['forgotten']}"
    if "leaked" in result:
        return f"leaked {result['leaked']} tables" if result["leaked"] else "nothing leaked"
    parts = []
    if "accessed" in result:
        parts.append(f"touched {result['accessed']} pages, {result['mapped']} newly mapped")
    elif "mapped" in result:
        parts.append(f"{result['ok']} accessed, {result['mapped']} newly mapped")
    if result.get("faults"):
        parts.append(f"{result['faults']} faults")
    if "fault" in result:
        parts.append(f"{result['fault']} at {result['gpa']:#x}")
    if "sent" in result:
        parts.append(f"sent {result['sent']} pages")
    if result.get("lost"):
        parts.append(f"lost {result['lost']} pages")
    return ", ".join(parts) or "ok"


class WhyCall(Value):
    """A simulated function, with those of its arguments that are known."""

    function: str
    args: dict[str, int]


class WhyCause(Value):
    """One change: in which event and step, by which function, and who called it, innermost first.

    ``before`` and ``after`` are the entry, 0x0: none; ``table``: was there a leaf table.
    """

    event: int
    step: int
    stage: str
    action: str
    what: str
    function: WhyCall
    callers: tuple[WhyCall, ...]
    before: str
    after: str
    table: tuple[bool, bool]


class Why(Value):
    """`bhyvesim why`: the changes of one entry or of its leaf table, newest first."""

    vm: str
    gpa: int
    entry: str
    table: bool
    causes: tuple[WhyCause, ...]
    complete: bool


def why(
    history: History,
    gpa: int,
    now: tuple[bool, int],
    npt: PteFormat,
    causes: Sequence[Cause],
    complete: bool,
) -> Page:
    """*causes* of the entry of *gpa*, which is *now* (is there a table; the entry)."""
    record = Why(
        history.name,
        gpa,
        f"{now[1]:#x}",
        now[0],
        tuple(_cause(history, causes, i) for i in range(len(causes))),
        complete,
    )
    return Page(record, lambda width: list(_why_lines(record, npt, width)))


def _cause(history: History, causes: Sequence[Cause], i: int) -> WhyCause:
    cause = causes[i]
    earlier = any(other.after for other in causes[i + 1 :])
    return WhyCause(
        cause.event.number,
        cause.step,
        cause.stage,
        history.action(cause.event).word,
        _what(cause, again=earlier),
        _call(cause.culprit),
        tuple(map(_call, cause.callers)),
        f"{cause.before:#x}",
        f"{cause.after:#x}",
        cause.table,
    )


def _call(frame: Frame) -> WhyCall:
    return WhyCall(frame.function, frame.named())


def _what(cause: Cause, *, again: bool) -> str:
    """The change in words."""
    had, has = cause.table
    if had and not has:
        lost = ", its entry with it" if cause.before else ""
        return f"{cause.culprit.function} freed its leaf table{lost}{_asked(cause)}"
    if cause.before and not cause.after:
        return f"{cause.culprit.function} zeroed its entry{_asked(cause)}"
    if not cause.before and cause.after:
        mapped = "mapped again" if again else "mapped"
        return f"{mapped} {_by(cause)}{_alike(cause)}"
    if cause.before != cause.after:
        return f"{cause.culprit.function} changed its bits"
    return f"{cause.culprit.function} made its leaf table{_asked(cause)}"


def _by(cause: Cause) -> str:
    if cause.called("vm_handle_paging"):
        return "by a fault"
    if cause.called("vm_map_wire") or cause.called("vmspace_populate"):
        return "by wiring"
    if any(cause.called(holder) for holder in ("vmc_hold", "vm_gpa_hold")):
        return "by a hold"
    return f"by {cause.culprit.function}"


def _alike(cause: Cause) -> str:
    return f", one of {cause.alike} pages alike" if cause.alike > 1 else ""


def _asked(cause: Cause) -> str:
    asked = cause.asked
    if asked is None:
        return ""
    return f", asked for by {_shown(asked.function, asked.named())}"


def _shown(function: str, args: dict[str, int]) -> str:
    shown = ", ".join(f"{name} {value:#x}" for name, value in args.items())
    return f"{function}({shown})"


def _why_lines(record: Why, npt: PteFormat, width: int | None) -> Iterator[str]:
    yield from paragraph(f"{record.vm}, page {record.gpa:#x}: {_state(record, npt)}", width)
    for cause in record.causes:
        head = f"event {cause.event} step {cause.step} ({cause.action}: {cause.stage}): "
        yield from paragraph(f"{head}{cause.what}", width, "", "    ")
        yield from paragraph(f"{cause.before} -> {cause.after}", width, "    ", "    ")
        calls = [call for call in (cause.function, *cause.callers) if call.args]
        for call in calls:
            yield from paragraph(_shown(call.function, call.args), width, "    ", "      ")
    if not record.causes:
        yield from paragraph("no event that is kept changed it", width)
    if not record.complete:
        yield "there are earlier changes: --all"


def _state(record: Why, npt: PteFormat) -> str:
    pte = int(record.entry, 16)
    if pte:
        return f"entry {record.entry}, PFN {pfn_of(pte):#x}, {' '.join(npt.flags(pte))}"
    return "no entry" if record.table else "no entry, and no leaf table"
