"""A scenario, its cells, and what came of them, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bhyvesim.errors import KernelHang, KernelStop
from bhyvesim.kernel.memory import Memmap
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.regex import Pattern
from bhyvesim.vm.host_memory import HostSpec
from bhyvesim.vm.spec import VmSpec

if TYPE_CHECKING:
    from bhyvesim.scenario.cell import Cell


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file."""

    source: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Series:
    """Values ``start, start + step, …``, each cut to the size it is written in."""

    start: int
    step: int = 0

    def values(self, count: int, size: int) -> list[int]:
        """The first *count*, as unsigned integers of *size* bytes."""
        mask = (1 << (8 * size)) - 1
        return [self.start + i * self.step & mask for i in range(count)]


@dataclass(frozen=True, slots=True)
class Pages:
    """Some pages of a range, by number, as the runs that were named."""

    runs: tuple[range, ...]

    def bitmap(self) -> int:
        """A bit for each, the first page's the lowest."""
        pages = 0
        for run in self.runs:
            pages |= _bits(run.step, len(run)) << run.start
        return pages


def _bits(step: int, count: int) -> int:
    """*count* bits, *step* apart, from bit 0 on: doubled until there are enough."""
    if step == 1:
        return (1 << count) - 1
    bits, there = 1, 1
    while there < count:
        more = min(there, count - there)
        bits |= (bits & ((1 << more * step) - 1)) << there * step
        there += more
    return bits


@dataclass(slots=True)
class Observed:
    """What a step came to. Everything is None that the step has no say in.

    ``errno``, ``fault`` and ``stop`` (a panic or hang) exclude each other; without any of
    them the step succeeded. ``dirty`` is a bitmap of pages, ``values`` are what was peeked,
    ``returns`` is what VM_NPT_OPERATION returned, ``hold`` the id of a hold.
    """

    errno: str | None = None
    fault: str | None = None
    gpa: int | None = None
    stop: KernelStop | None = None
    pages: int | None = None
    mapped: int | None = None
    lost: int | None = None
    sent: int | None = None
    again: int | None = None
    leaks: int | None = None
    dirty: int | None = None
    bitmap: bytes | None = None
    returns: int | None = None
    hold: int | None = None
    vm_run: str | None = None  # how VM_RUN comes back after a vCPU's access that failed
    values: list[int] | None = None
    data: bytes | None = None
    drift: int | None = None  # the kernel's page counter, less the entries really set

    def __str__(self) -> str:
        if isinstance(self.stop, KernelHang):
            return f"hang in {self.stop.function}"
        if self.stop is not None:
            return f"panic in {self.stop.function}: {self.stop.message}"
        if self.fault is not None:
            return f"{self.fault} at {self.gpa:#x}"
        return self.errno or "ok"


class Work(NamedTuple):
    """How much a step does of what costs in proportion; the rest follows extents, or is single."""

    touches: int = 0
    values: int = 0
    filled: int = 0

    def plus(self, more: Work) -> Work:
        """Both together."""
        return Work(*map(sum, zip(self, more, strict=True)))


class Little:
    """The work of nearly every action."""

    __slots__ = ()

    @property
    def work(self) -> Work:
        return Work()


class Action(Protocol):
    """What a step does; one class each in :mod:`.steps`."""

    @property
    def work(self) -> Work:
        """What it does that costs in proportion."""

    def run(self, cell: Cell) -> Observed:
        """Do it. Raises Refused and KernelStop as the machine does."""


@dataclass(frozen=True, slots=True)
class PanicExpectation:
    """A panic, by letter, function, exact message, or by a pattern found in it."""

    function: str | None = None
    message: str | None = None
    matches: Pattern | None = None
    letter: str | None = None

    def __str__(self) -> str:
        parts = [f"in {self.function}"] if self.function else []
        parts += [f"with {self.message!r}"] if self.message else []
        parts += [f"matching {self.matches.pattern!r}"] if self.matches else []
        return " ".join(["panic", *parts])


@dataclass(frozen=True, slots=True)
class PteExpectation:
    """The leaf entry at *gpa*: its exact value (0: none), or the names of flags it must have."""

    gpa: int
    value: int | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContentExpectation:
    """The integer of *size* bytes at *offset* of a segment."""

    segid: int
    offset: int
    size: int
    value: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must come of a step; None where nothing is said.

    ``when`` limits it to cells: axis -> values. ``tables`` is level -> number of tables.
    """

    when: Mapping[str, Set[str]] = field(default_factory=dict)
    anything: bool = False  # whatever comes is right
    errno: str | None = None
    fault: str | None = None
    gpa: int | None = None
    panic: PanicExpectation | None = None
    hang: str | None = None  # the function that loops
    pages: int | None = None
    mapped: int | None = None
    lost: int | None = 0  # None: it does not matter
    sent: int | None = None
    again: int | None = None
    leaks: int | None = None
    bitmap: bytes | None = None
    returns: int | None = None
    hold: int | None = None
    vm_run: str | None = None
    dirty_count: int | None = None
    dirty_pages: Pages | None = None
    value: Series | None = None
    byte: int | None = None
    resident: int | None = None
    memmap: tuple[Memmap, ...] | None = None
    pte: tuple[PteExpectation, ...] = ()
    tables: Mapping[int, int] = field(default_factory=dict)
    contents: tuple[ContentExpectation, ...] = ()
    fsck: tuple[str, ...] | None = None  # kinds of findings

    def applies(self, axes: Mapping[str, str]) -> bool:
        """Whether it is meant for the cell with these axis values."""
        return all(_holds(axis, axes.get(axis), values) for axis, values in self.when.items())


def _holds(axis: str, value: str | None, values: Set[str]) -> bool:
    if value in values:
        return True
    revision = REVISIONS.get(value or "") if axis == "gpt" else None
    return revision is not None and revision.like in values


@dataclass(frozen=True, slots=True)
class Step:
    """One step. The first of *expectations* that applies to a cell counts; else it must succeed."""

    name: str
    label: str
    place: Place
    action: Action
    expectations: tuple[Expectation, ...]

    def expectation(self, axes: Mapping[str, str]) -> Expectation:
        """What *axes*' cell must see."""
        return next((e for e in self.expectations if e.applies(axes)), Expectation())


@dataclass(frozen=True, slots=True)
class CellSpec:
    """One cell of a matrix: its axis values as typed, and the VM that they make."""

    axes: Mapping[str, str]
    vm: VmSpec

    @property
    def name(self) -> str:
        """``[gpt=13932,debug=true]``; unique in its scenario."""
        return "[" + ",".join(f"{axis}={value}" for axis, value in self.axes.items()) + "]"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A title, the cells of the matrix, the steps that each goes through, and on which host."""

    title: str
    source: str
    cells: tuple[CellSpec, ...]
    steps: tuple[Step, ...]
    host: HostSpec | None = None  # each cell's VM has one of its own

    def full_name(self, cell: CellSpec) -> str:
        """What ``-k`` looks at."""
        return f"{self.source} {self.title} {cell.name}"


@dataclass(frozen=True, slots=True)
class Failure:
    """The step at which a cell failed, what was expected there, and what came.

    ``overdue``: the step did not end in time, so nobody knows what would have come;
    ``unknown``: what the kernel makes of it is not modelled.
    """

    step: str
    place: Place
    expected: str
    got: str
    overdue: bool = False
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class CellResult:
    """What came of a cell: a word for the matrix, and the failure if there was one."""

    scenario: int  # its index in the run
    cell: int  # its index in the scenario
    outcome: str
    failure: Failure | None
    drift: int  # of the kernel's page counter, after the last reboot
    seconds: float

    @property
    def passed(self) -> bool:
        return self.failure is None

    @property
    def overdue(self) -> bool:
        return self.failure is not None and self.failure.overdue

    @property
    def unknown(self) -> bool:
        return self.failure is not None and self.failure.unknown

    @property
    def undecided(self) -> bool:
        """Whether it neither passed nor failed."""
        return self.overdue or self.unknown

    @property
    def failed(self) -> bool:
        """Whether it is known that something was not as expected."""
        return not (self.passed or self.undecided)
