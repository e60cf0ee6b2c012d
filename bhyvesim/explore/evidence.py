"""What is seen on a host while all goes well: errnos, counters, a memory map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from bhyvesim.config.importers.memmap import Listing, Row
from bhyvesim.errors import ERRNOS, BadValue, KernelStop, Refused
from bhyvesim.explore.identify import Candidate
from bhyvesim.explore.seen import told
from bhyvesim.kernel.gpt.levels import LEAF_SPAN
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.npt import OPERATIONS as NPT_OPERATIONS
from bhyvesim.kernel.npt import parse_operation
from bhyvesim.kernel.results import MemoryStats
from bhyvesim.ops.ioctls import (
    Access,
    AllocMemseg,
    Hold,
    MmapMemseg,
    NptOp,
    Release,
    TrackDirtyPages,
)
from bhyvesim.ops.operation import Operation
from bhyvesim.prot import ALL, READ, WRITE
from bhyvesim.span import parse_span
from bhyvesim.units import PAGE_SIZE, format_size, shorten
from bhyvesim.values import Value

_OF_PAUSING = ("EALREADY", "EBUSY")  # which is no part of an experiment
_ANSWERS = [name for name in ERRNOS if name not in _OF_PAUSING]
OK = "ok"


class Errno(Value):
    """What one operation answered; *text* is as it was given, *answer* an errno's name or ok."""

    text: str
    before: tuple[Operation, ...]
    operation: Operation
    answer: str

    remark = ""

    @property
    def label(self) -> str:
        return f"--errno {self.text}"

    def objection(self, candidate: Candidate) -> str | None:
        """Whether a VM of *candidate* tracks dirty pages is not known: either may be meant."""
        answers = [self._answer(candidate.machine(track_dirty=track)) for track in (False, True)]
        if self.answer in answers:
            return None
        return f"{' or '.join(dict.fromkeys(answers))} here"

    def _answer(self, machine: Machine) -> str:
        for operation in self.before:
            operation.apply(machine)
        result = self.operation.apply(machine)
        return told(result) if result.keys() & {"error", "panic", "hang"} else OK


def parse_errno(text: str) -> Errno:
    """``OPERATION[:ARGUMENT]=ERRNO``, as ``hold=ENOTTY``. Raises BadValue."""
    asked, equals, answer = text.rpartition("=")
    name, _, argument = asked.partition(":")
    if not equals or name not in _ASKED:
        raise BadValue(
            f"{shorten(text)} is no OPERATION=ERRNO",
            f"one of {', '.join(forms())}; then = and what it answered",
        )
    if answer not in (OK, *_ANSWERS):
        raise BadValue(f"{shorten(answer)} is no answer", f"ok, {', '.join(_ANSWERS)}")
    before, operation = _ASKED[name].make(argument)
    return Errno(text, before, operation, answer)


class _Asked(NamedTuple):
    """An operation that an errno can be of: how it is written, what is done before, and itself."""

    form: str
    make: Callable[[str], tuple[tuple[Operation, ...], Operation]]


_USUAL = (AllocMemseg(0, LEAF_SPAN, ""), MmapMemseg(0, 0, 0, LEAF_SPAN, ALL))


def _on_a_page(operation: Operation, argument: str) -> tuple[tuple[Operation, ...], Operation]:
    if argument:
        raise BadValue(f"{operation.op} with {shorten(argument)}", "it alone")
    return _USUAL, operation


def _alloc(argument: str) -> tuple[tuple[Operation, ...], Operation]:
    if not (argument.isascii() and argument.isdigit() and len(argument) < 10):
        raise BadValue(f"{shorten(argument)} is no segment id", "alloc_memseg:SEGID")
    return (), AllocMemseg(int(argument), PAGE_SIZE, "segment")


def _mmap(argument: str) -> tuple[tuple[Operation, ...], Operation]:
    span = parse_span(argument)
    segment = AllocMemseg(0, -(-span.length // PAGE_SIZE) * PAGE_SIZE, "")
    return (segment,), MmapMemseg(span.start, 0, 0, span.length, ALL)


def _npt_op(argument: str) -> tuple[tuple[Operation, ...], Operation]:
    number = parse_operation(argument) if argument else NPT_OPERATIONS["GET_TRACK_DIRTY"]
    return _USUAL, NptOp(0, PAGE_SIZE, number)


_ASKED = {
    "alloc_memseg": _Asked("alloc_memseg:SEGID", _alloc),
    "mmap_memseg": _Asked("mmap_memseg:RANGE", _mmap),
    "hold": _Asked("hold", partial(_on_a_page, Hold(0, READ | WRITE))),
    "release": _Asked("release", partial(_on_a_page, Release(1))),
    "npt_op": _Asked("npt_op[:OPERATION]", _npt_op),
    "track_dirty_pages": _Asked(
        "track_dirty_pages", partial(_on_a_page, TrackDirtyPages(0, PAGE_SIZE))
    ),
}


class Counters(Value):
    """The memory statistics of a VM, in bytes; None: not looked at."""

    resident: int | None = None
    wired: int | None = None

    remark = ""

    def check(self) -> None:
        for counter in (self.resident, self.wired):
            if counter is not None and counter % PAGE_SIZE:
                raise BadValue(f"{counter} bytes", f"whole pages, as kernels count: {PAGE_SIZE}")

    @property
    def label(self) -> str:
        named = {"--resident": self.resident, "--wired": self.wired}
        return ", ".join(f"{name} {format_size(n)}" for name, n in named.items() if n is not None)

    def objection(self, candidate: Candidate) -> str | None:
        """What *candidate* counts when a page is touched tells which counters it has.

        A counter of 0 tells nothing: nothing may have been touched.
        """
        shown = _counted(candidate)
        if self.wired is not None and shown.wired is None:
            return "it has no wired memory in its statistics"
        if self.resident and not shown.resident:
            return "its resident memory is always 0: it counts wired memory"
        if self.wired and not shown.wired:
            return "its wired memory is always 0"
        return None


def _counted(candidate: Candidate) -> MemoryStats:
    machine = candidate.machine()
    for operation in (*_USUAL, Access(0, 1, READ)):
        operation.apply(machine)
    return machine.stats()


class MemoryMap(Value):
    """The memmaps of a VM, as bhyvectl lists them: each must have been to be made."""

    source: str
    listing: Listing

    @property
    def label(self) -> str:
        return f"--memmap {self.source}"

    @property
    def remark(self) -> str:
        if all(row.length == row.least for row in self.listing.rows):
            return ""
        return "bhyvectl rounds lengths: each is taken as the shortest that is printed so"

    def objection(self, candidate: Candidate) -> str | None:
        """What stops *candidate* from making it, segment by segment and row by row."""
        machine = candidate.machine()
        ids = self._ids()
        place = ""
        try:
            for name, segid in ids:
                kind = "" if name == "sysmem" else name
                AllocMemseg(segid, self._size(name, segid), kind).perform(machine)
            for row in self.listing.rows:
                place = f"line {row.line}: "
                _made(row, dict(ids)[row.name]).perform(machine)
        except Refused as refused:
            return f"{place}{refused}"
        except KernelStop as stop:
            return f"{place}panic {stop.letter} in {stop.function}"
        return None

    def _ids(self) -> list[tuple[str, int]]:
        """The segments by name, with their ids where the listing has them.

        Without, no more are taken than there are names: memmaps of one name may share one.
        """
        known = [(name, segid) for segid, (_, name) in self.listing.segs.items()]
        lacking = dict.fromkeys(row.name for row in self.listing.rows)
        for name, _ in known:
            lacking.pop(name, None)
        taken = {segid for _, segid in known}
        free = (segid for segid in range(len(taken) + len(lacking)) if segid not in taken)
        return [*known, *zip(lacking, free, strict=False)]

    def _size(self, name: str, segid: int) -> int:
        """Enough for the rows of that name, which may all be of this segment."""
        ends = [row.offset + row.least for row in self.listing.rows if row.name == name]
        return max([self.listing.segs.get(segid, (PAGE_SIZE, ""))[0], *ends])


def _made(row: Row, segid: int) -> MmapMemseg:
    return MmapMemseg(row.gpa, segid, row.offset, row.least, row.prot, row.wired)


def forms() -> Sequence[str]:
    """How the operations that an errno can be of are written."""
    return [asked.form for asked in _ASKED.values()]
