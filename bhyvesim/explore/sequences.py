"""What two implementations are both to do: at random, near the edges, or as it was recorded.

What is at random is small, a thousand pages or so an operation: the other side may well go page
by page.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import count, cycle
from random import Random
from typing import Any, NamedTuple

from bhyvesim.errors import BadValue
from bhyvesim.explore.generate import Generator, kernel
from bhyvesim.explore.trial import Case
from bhyvesim.kernel.memory import MAX_MEMMAPS
from bhyvesim.kernel.npt import MAX_TRACKED, OPERATIONS
from bhyvesim.kernel.revisions.revision import VMSPACE_END
from bhyvesim.ops import ioctls as ops
from bhyvesim.ops.operation import Operation
from bhyvesim.ops.operations import read_operation
from bhyvesim.prot import ALL, WRITE
from bhyvesim.units import PAGE_SHIFT, PAGE_SIZE, U64_END

PAGES = 1100  # more than two leaf tables have
OBSERVED = ("dump", "stats")  # asked after every operation, so that no sequence has them

_STEPS = (4, 24)  # operations of a sequence once there are segments, at least and at most
_ODD = 0.12  # how likely an operation is not quite right
_FULL = 0.05  # how likely a sequence begins with all slots taken
_SELDOM = 0.3  # how likely it is of any kind, though its sequence has only some
_ENDS = 0.3  # how likely a destroy is done where it comes up
_TRIES = 50  # until an operation comes that is not left out


class Plan(NamedTuple):
    """What random sequences are made of: kernels, no operation of more than *pages* pages, and
    none of those that are *left_out*.
    """

    gpts: tuple[str, ...]
    seed: int
    pages: int = PAGES
    left_out: Collection[str] = ()


def at_random(plan: Plan) -> Iterator[Case]:
    """Without end; each is made from the seed and its own number alone."""
    for number, gpt in zip(count(), cycle(plan.gpts), strict=False):
        rng = Random(f"{plan.seed} {number}")
        create = kernel(rng, gpt)
        yield Case(create, tuple(_Maker(rng, create, plan).operations()))


class _Maker:
    """One sequence, made while a machine does it."""

    def __init__(self, rng: Random, create: ops.Create, plan: Plan) -> None:
        self._rng = rng
        self._plan = plan
        self._machine = create.machine()
        self._generator = Generator(rng, create.gpt, most=plan.pages)

    def operations(self) -> Iterator[Operation]:
        for segment in self._segments():
            yield self._done(segment)
        if self._rng.random() < _FULL and "mmap_memseg" not in self._plan.left_out:
            for memmap in self._all_slots():
                yield self._done(memmap)
        for _ in range(self._rng.randint(*_STEPS)):
            operation = self._next()
            if operation is None:
                return
            yield self._done(operation)
            if not self._machine.state.alive:
                yield from self._afterwards()
                return

    def _segments(self) -> Iterator[Operation]:
        for segid, name in ((0, ""), (1, "bootrom"), (2, ""), (3, "fbuf")):
            pfn = self._rng.choice((None, None, None, self._rng.randrange(1, 1 << 36)))
            yield ops.AllocMemseg(segid, self._plan.pages << PAGE_SHIFT, name, pfn)

    def _all_slots(self) -> Iterator[Operation]:
        """All slots taken, and then some that are refused for that or for something else."""
        for number in range(MAX_MEMMAPS + 3):
            page = ops.MmapMemseg(2 * number * PAGE_SIZE, 0, 0, PAGE_SIZE, ALL)
            yield page if number < MAX_MEMMAPS else _odd(self._rng, page, self._plan.pages)

    def _next(self) -> Operation | None:
        """An operation, perhaps with an argument that is odd; None where all are left out."""
        for _ in range(_TRIES if self._machine.segs else 0):
            seldom = self._rng.random() < _SELDOM
            make = self._generator.any if seldom else self._generator.next
            operation = make(self._machine)
            if self._rng.random() < _ODD:
                operation = _odd(self._rng, operation, self._plan.pages)
            early = isinstance(operation, ops.Destroy) and self._rng.random() >= _ENDS
            if operation.op not in self._plan.left_out and not early:
                return _bounded(operation, self._plan.pages)
        return None

    def _done(self, operation: Operation) -> Operation:
        operation.apply(self._machine)
        return operation

    def _afterwards(self) -> Iterator[Operation]:
        """To a machine that is no more, nothing can be done."""
        for operation in self._rng.sample(_ANY, 2):
            if operation.op not in self._plan.left_out:
                yield operation


_ANY: tuple[Operation, ...] = (
    ops.AllocMemseg(0, PAGE_SIZE, ""),
    ops.MunmapMemseg(0, 0),
    ops.Access(0, 1, WRITE),
    ops.Reinit(),
    ops.Destroy(),
)


def _bounded(operation: Operation, pages: int) -> Operation:
    """*operation* on no more than *pages* pages; what is refused for its size stays so."""
    if isinstance(operation, ops.Access) and operation.npages > pages:
        return ops.Access(operation.gpa, pages, operation.prot, operation.by)
    if isinstance(operation, (ops.NptOp, ops.TrackDirtyPages)):
        if pages << PAGE_SHIFT < operation.length <= MAX_TRACKED:
            return _with(operation, length=pages << PAGE_SHIFT)
    return operation


def _odd(rng: Random, operation: Operation, pages: int) -> Operation:
    """Another segment, a switch of dirty tracking, or *operation* with an odd argument."""
    kind = rng.random()
    if kind < 0.2:
        length = rng.choice((0, PAGE_SIZE, PAGE_SIZE + 8, pages << PAGE_SHIFT))
        return ops.AllocMemseg(rng.randint(-1, 6), length, rng.choice(("", "bootrom")))
    if kind < 0.4:
        return ops.NptOp(0, 0, rng.choice(_SWITCHES))
    choices = _ODDITIES.get(type(operation))
    if choices is None:
        return operation
    name, change = rng.choice(choices)
    return _with(operation, **{name: change(getattr(operation, name))})


def _with(operation: Operation, /, **values: Any) -> Operation:
    kept = {name: getattr(operation, name) for name in operation.arguments}
    return type(operation)(**{**kept, **values})


_SWITCHES = tuple(OPERATIONS[f"{word}_TRACK_DIRTY"] for word in ("GET", "EN", "DIS"))

Change = Callable[[int], int]

_OFF: tuple[str, Change] = ("gpa", lambda gpa: gpa + 8)
_NO_LENGTH: tuple[str, Change] = ("length", lambda length: 0)
_LENGTHS: tuple[tuple[str, Change], ...] = (
    _NO_LENGTH,
    ("length", lambda length: length + 8),
    ("length", lambda length: length + PAGE_SIZE),
)
_ODDITIES: dict[type[Operation], tuple[tuple[str, Change], ...]] = {
    ops.MmapMemseg: (
        _OFF,
        *_LENGTHS,
        ("length", lambda length: length + (1 << 40)),
        ("gpa", lambda gpa: VMSPACE_END - 2 * PAGE_SIZE),
        ("segid", lambda segid: segid + 4),
        ("segid", lambda segid: -1),
        ("segoff", lambda segoff: segoff + 8),
        ("segoff", lambda segoff: segoff + (1 << 40)),
        ("prot", lambda prot: 0),
        ("prot", lambda prot: prot | ALL + 1),
    ),
    ops.MunmapMemseg: (_OFF, *_LENGTHS),
    ops.Access: (_OFF,),
    ops.Hold: (_OFF,),
    ops.Release: (("hold", lambda hold: hold + 1), ("hold", lambda hold: 0)),
    ops.NptOp: (
        _OFF,
        *_LENGTHS,
        ("gpa", lambda gpa: U64_END - 2 * PAGE_SIZE),
        ("length", lambda length: MAX_TRACKED + PAGE_SIZE),
        ("operation", lambda operation: operation + 4),
        ("operation", lambda operation: operation | 1 << 29),
    ),
    ops.TrackDirtyPages: (_OFF, *_LENGTHS, ("length", lambda length: MAX_TRACKED + PAGE_SIZE)),
}


def recorded(records: Sequence[dict[str, Any]], left_out: Collection[str] = ()) -> Case:
    """The operations of a file, as a case. Raises BadValue where they are malformed.

    What only looks is dropped: it is asked after each operation anyway.
    """
    operations = [read_operation(record) for record in records]
    if not operations or not isinstance(operations[0], ops.Create):
        raise BadValue("it begins without create", "a create before all else")
    for create in operations:
        if isinstance(create, ops.Create):
            create.machine()
    return without(Case(operations[0], tuple(operations[1:])), left_out)


def without(case: Case, left_out: Collection[str]) -> Case:
    """*case* without operations that are left out, and without what only looks at the state."""
    skipped = (*OBSERVED, *left_out)
    return case._replace(operations=tuple(op for op in case.operations if op.op not in skipped))


def joined(cases: Sequence[Case]) -> Case:
    """One after the other, on one machine after the other."""
    first, *others = cases
    return first._replace(
        operations=(*first.operations, *(op for case in others for op in case.all))
    )
