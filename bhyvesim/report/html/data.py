"""Everything that a report shows, as values: of a machine, its past and its crash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bhyvesim.crash.dump import CrashDump
from bhyvesim.errors import Refused, UsageError
from bhyvesim.host.history import History, Through
from bhyvesim.kernel.builds import build_name
from bhyvesim.kernel.gpt.fold import table_runs
from bhyvesim.kernel.gpt.rows import NodeRow
from bhyvesim.kernel.look.areas import Area, areas
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import Memseg
from bhyvesim.kernel.revisions import NEWEST, REVISIONS
from bhyvesim.report.crash import Crash, console
from bhyvesim.report.explain import UNKNOWN, DumpCase, headline, tell
from bhyvesim.report.html.drawing import Entries, entries_of, leaf_stretches
from bhyvesim.report.html.ladders import Ladder, ladders
from bhyvesim.report.html.past import Past, TwoKernels, past_of, two_kernels
from bhyvesim.report.html.stretches import Stretch
from bhyvesim.units import format_size

_FIRST_RUNS = 150  # of entries, in the table


@dataclass(frozen=True, slots=True)
class Stopped:
    """A panic or hang: its console report, and its story; *marks* are its addresses.

    *mended_in* is the first revision that does it no more; None where there is none.
    """

    hung: bool
    console: str
    story: str
    marks: Mapping[int, str]
    mended: str
    mended_in: str | None


@dataclass(frozen=True, slots=True)
class Document:
    """The report. *missing* says why there is no past, or no comparison of two kernels."""

    title: str
    summary: str
    facts: tuple[tuple[str, str], ...]
    machine: Machine
    segments: tuple[Memseg, ...]
    areas: tuple[Area, ...]
    entries: Entries
    nodes: Sequence[NodeRow]
    tables: tuple[Stretch, ...]
    ladders: tuple[Ladder, ...]
    stopped: Stopped | None
    past: Past | None
    no_past: str
    kernels: TwoKernels | None
    no_kernels: str


def document(
    name: str,
    state: str,
    machine: Machine,
    when: str = "",
    dump: CrashDump | None = None,
    crash: int = 1,
    history: History | None = None,
    until: int | None = None,
    through: Through = iter,
) -> Document:
    """A report on *machine*, the VM *name* as it is or, at *when*, was.

    *dump* is what it stopped with, *crash* its number. *history* may be none, and is shown up
    to the moment *until*; goes *through* its events.
    """
    stopped = None if dump is None else _stopped(dump, crash)
    marks = {} if stopped is None else stopped.marks
    mapped = areas(machine)
    nodes = table_runs(machine.space.gpt)
    entries = entries_of(machine, _FIRST_RUNS)
    past, no_past = _past(history, until, through)
    kernels, no_kernels = _kernels(history, machine, stopped, through)
    title, summary = _headline(name, state, machine, when, dump)
    return Document(
        title,
        summary,
        tuple(_facts(state, machine, entries)),
        machine,
        tuple(sorted(machine.segs.values(), key=lambda seg: seg.segid)),
        tuple(mapped),
        entries,
        nodes,
        leaf_stretches(nodes),
        tuple(ladders(machine, mapped, marks)),
        stopped,
        past,
        no_past,
        kernels,
        no_kernels,
    )


def _headline(
    name: str, state: str, machine: Machine, when: str, dump: CrashDump | None
) -> tuple[str, str]:
    """What is the matter in a line, and in another what is to be known of it first."""
    kernel = f"{machine.revision.name} {build_name(machine.kernel.debug)}"
    if dump is not None:
        return headline(dump).replace(", on kernel ", " on "), dump.message
    pages = f"{machine.space.gpt.resident:,} pages resident"
    return f"{name} is {state} on {kernel}", f"{when}{', ' if when else ''}{pages}"


def _facts(state: str, machine: Machine, entries: Entries) -> list[tuple[str, str]]:
    memory = sum(seg.length for seg in machine.segs.values() if seg.is_sysmem)
    return [
        ("State", state),
        ("Kernel", f"{machine.revision.name} {build_name(machine.kernel.debug)}"),
        ("Tables", f"{machine.npt.name.upper()} ({machine.npt.cpu})"),
        ("Memory", format_size(memory)),
        ("Pages mapped", f"{entries.pages:,}"),
        ("Dirty", f"{entries.dirty:,}"),
        ("Kernel's own count", f"{machine.space.gpt.resident:,}"),
    ]


def _stopped(dump: CrashDump, crash: int) -> Stopped:
    case = DumpCase(dump)
    told = tell(case)
    report = console(Crash(crash, dump))
    if told is None:
        return Stopped(dump.hung, report, UNKNOWN, {}, "", None)
    return Stopped(
        dump.hung,
        report,
        " ".join(told.story),
        told.marks,
        told.mended,
        told.mended_in,
    )


def _past(history: History | None, until: int | None, through: Through) -> tuple[Past | None, str]:
    if history is None:
        return None, "The history of this VM is not stored here, only what is shown above."
    if not history.events:
        return None, "This VM has no events yet."
    return past_of(history, until, through), ""


def _kernels(
    history: History | None, machine: Machine, stopped: Stopped | None, through: Through
) -> tuple[TwoKernels | None, str]:
    own = machine.revision.name
    other = NEWEST if stopped is None else stopped.mended_in or NEWEST
    if history is None:
        return None, "The events that led here are not stored, so no other kernel can do them."
    if other == own or other not in REVISIONS:
        return None, f"This VM runs {own}, the newest kernel: there is no later one to compare."
    try:
        return two_kernels(history, own, other, machine.npt, through), ""
    except (UsageError, Refused) as error:
        return None, f"The events cannot be done again on {other}: {error}."
