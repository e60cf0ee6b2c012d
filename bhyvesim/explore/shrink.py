"""Making a case small without changing what it shows: the cause is pinned.

Every candidate is done from the beginning, and kept only if the very same cause comes, with
nothing worse before it. So a shrinker cannot slip from one bug to another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bhyvesim.errors import BadValue
from bhyvesim.explore.causes import Cause
from bhyvesim.explore.trial import Case, reproduced
from bhyvesim.kernel.gpt.levels import LEAF_SPAN
from bhyvesim.ops.ioctls import (
    Access,
    AllocMemseg,
    Hold,
    MmapMemseg,
    MunmapMemseg,
    NptOp,
    Release,
    TrackDirtyPages,
)
from bhyvesim.ops.operation import Operation
from bhyvesim.prot import ALL
from bhyvesim.units import GIB, PAGE_SHIFT, PAGE_SIZE

Shows = Callable[[Case], Case | None]  # a case up to where it shows something, if it does

_ROUNDS = 20  # far more than were ever needed
_ROUND = (512 * GIB, 4 * GIB, GIB, LEAF_SPAN)  # addresses that people know


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A small case of a cause, and how many candidates were done for it."""

    case: Case
    tried: int


def shrink(case: Case, cause: Cause, *, keep: int = 0) -> Shrunk:
    """The smallest case of *cause* found from *case*, whose first *keep* operations stay."""
    shrunk = shrink_while(case, partial(reproduced, wanted=cause), keep=keep)
    assert shrunk is not None, f"{cause} does not come again"
    return shrunk


def shrink_while(case: Case, shows: Shows, *, keep: int = 0) -> Shrunk | None:
    """The smallest case found from *case* that *shows* what matters; None if it does not itself."""
    shrinker = _Shrinker(shows, keep)
    small = shrinker.holds(case)
    if small is None:
        return None
    for _ in range(_ROUNDS):
        before = small
        for step in _STEPS:
            small = step(shrinker, small)
        if small == before:
            break
    return Shrunk(small, shrinker.tried)


def tidied(case: Case, cause: Cause) -> Case:
    """*case* without what has nothing to do with *cause*, but every address where it is."""
    shrinker = _Shrinker(partial(reproduced, wanted=cause), 0)
    return shrinker.fitting_segments(shrinker.without(case))


class _Shrinker:
    def __init__(self, shows: Shows, keep: int) -> None:
        self.shows = shows
        self.keep = keep
        self.tried = 0
        self._known: dict[Case, Case | None] = {}

    def holds(self, case: Case) -> Case | None:
        """*case* up to where it shows what matters; None if it does not."""
        if case not in self._known:
            self.tried += 1
            self._known[case] = self.shows(case)
        return self._known[case]

    def first(self, candidates: Iterator[Case], otherwise: Case) -> Case:
        """The first of *candidates* that holds."""
        return next(filter(None, map(self.holds, candidates)), otherwise)

    def without(self, case: Case) -> Case:
        """Leave operations out: many at once, then one by one, the last ones first."""
        size = len(case.operations)
        while size:
            at = len(case.operations) - size
            while at >= self.keep:
                ops = case.operations
                case = self.first(iter([case._replace(operations=_cut(ops, at, at + size))]), case)
                at = min(at, len(case.operations)) - size
            size //= 2
        return case

    def plainer_kernel(self, case: Case) -> Case:
        """No dirty tracking, no APICv, AMD; DEBUG where it makes no difference."""
        if self.keep:
            return case
        for name, value in _PLAIN.items():
            if name == "npt" and case.create.apicv:
                continue  # which only Intel has
            plainer = _changed(case.create, **{name: value})
            case = self.first(iter([case._replace(create=plainer)]), case)
        return case

    def other_memmaps(self, case: Case) -> Case:
        """Of what is unmapped, a memmap that was made earlier."""
        for at in range(self.keep, len(case.operations)):
            op = case.operations[at] if at < len(case.operations) else None
            if isinstance(op, MunmapMemseg):
                made = [m for m in case.operations[:at] if isinstance(m, MmapMemseg)]
                others = (MunmapMemseg(m.gpa, m.length) for m in made)
                case = self.first((_with(case, at, other) for other in others if other != op), case)
        return case

    def plainer_operations(self, case: Case) -> Case:
        """Each operation by itself: fewer pages, all rights, no more than is needed."""
        for at in range(self.keep, len(case.operations)):
            if at < len(case.operations):
                simpler = _plainer(case.operations[at])
                case = self.first((_with(case, at, op) for op in simpler), case)
        return case

    def further_down(self, case: Case) -> Case:
        """Everything from some place on nearer to address 0, the distances as they are."""
        for place in sorted(_places(case.operations[self.keep :])):
            lower = _targets(place, _places(case.operations[self.keep :]))
            case = self.first(self._moved(case, lower, partial(_all_from, place)), case)
        return case

    def plainer_addresses(self, case: Case) -> Case:
        """Each place where memory begins or ends at a simpler one, wherever it is named."""
        for place in sorted(_places(case.operations[self.keep :]), reverse=True):
            lower = _targets(place, _places(case.operations[self.keep :]))
            case = self.first(self._moved(case, lower, partial(_one, place)), case)
        return case

    def _moved(
        self, case: Case, targets: Sequence[int], move: Callable[[int, int], int]
    ) -> Iterator[Case]:
        """*case* with every address moved as *move* says, for each of *targets*."""
        kept, ops = case.operations[: self.keep], case.operations[self.keep :]
        for target in targets:
            moved = [op for op in (_moved(op, partial(move, target)) for op in ops) if op]
            if len(moved) == len(ops):
                yield case._replace(operations=(*kept, *moved))

    def fitting_segments(self, case: Case) -> Case:
        """Segments as large as what is mapped of them, and no larger."""
        if self.keep:
            return case
        ends: dict[int, int] = {}
        for op in case.operations:
            if isinstance(op, MmapMemseg):
                ends[op.segid] = max(ends.get(op.segid, 0), op.segoff + op.length)
        fitted = tuple(
            _changed(op, length=ends[op.segid]) or op
            if isinstance(op, AllocMemseg) and op.segid in ends
            else op
            for op in case.operations
        )
        return self.first(iter([case._replace(operations=fitted)]), case)


_PLAIN = {"track_dirty": False, "apicv": False, "npt": "rvi", "debug": True}
_STEPS: Sequence[Callable[[_Shrinker, Case], Case]] = (
    _Shrinker.without,
    _Shrinker.other_memmaps,
    _Shrinker.plainer_operations,
    _Shrinker.further_down,
    _Shrinker.plainer_addresses,
    _Shrinker.plainer_kernel,
    _Shrinker.fitting_segments,
)


def _cut(ops: tuple[Operation, ...], at: int, end: int) -> tuple[Operation, ...]:
    return ops[:at] + ops[end:]


def _changed(op: Any, **values: Any) -> Any:
    """*op* with other arguments; None where they do not go together."""
    try:
        return type(op)(**{**{name: getattr(op, name) for name in op.arguments}, **values})
    except BadValue:
        return None


def _plainer(op: Operation) -> Iterator[Operation]:
    """Simpler forms of *op*, the simplest first."""
    changes: list[dict[str, Any]] = []
    if isinstance(op, Access):
        last = op.gpa + (op.npages - 1 << PAGE_SHIFT)
        changes = [{"npages": 1}, {"gpa": last, "npages": 1}] * (op.npages > 1)
        changes += [{"npages": n} for n in _fewer(op.npages)]
        changes += [{"prot": p} for p in (1, 2, 3) if p != op.prot and p < op.prot]
        changes += [{"by": "vcpu"}] * (op.by != "vcpu")
    elif isinstance(op, MmapMemseg):
        changes = [{"wired": False}] * op.wired + [{"segoff": 0}] * bool(op.segoff)
        changes += [{"prot": ALL}] * (op.prot != ALL)
        changes += [{"segid": segid} for segid in range(op.segid)]
    elif isinstance(op, Hold):
        changes = [{"prot": 1}] * (op.prot != 1)
    elif isinstance(op, Release):
        changes = [{"dirty": True}] * (not op.dirty)
    elif isinstance(op, NptOp) and op.bitmap is not None:
        size = len(op.bitmap)
        changes = [
            {"length": PAGE_SIZE, "bitmap": op.bitmap[:1]},
            {"bitmap": bytes([1]) + bytes(size - 1)},
        ]
    elif isinstance(op, (NptOp, TrackDirtyPages)):
        changes = [{"length": PAGE_SIZE}] * (op.length > PAGE_SIZE)
    for change in changes:
        changed = _changed(op, **change)
        if changed is not None and changed != op:
            yield changed


def _fewer(count: int) -> list[int]:
    return [n for n in (2, count // 2, count - 1) if 0 < n < count]


def _places(ops: Sequence[Operation]) -> set[int]:
    """The addresses at which *ops* begin and end."""
    places: set[int] = set()
    for op in ops:
        if isinstance(op, (MmapMemseg, MunmapMemseg, NptOp, TrackDirtyPages)):
            places |= {op.gpa, op.gpa + op.length}
        elif isinstance(op, (Access, Hold)):
            places.add(op.gpa)
    return places - {0}


def _targets(place: int, others: set[int]) -> list[int]:
    """Lower places that people know, and those right after *others*; the lowest first."""
    round_ones = {0, PAGE_SIZE, *_ROUND, *(size + PAGE_SIZE for size in _ROUND)}
    round_ones |= {place // size * size for size in _ROUND}
    round_ones |= {other + size for other in others for size in (PAGE_SIZE, LEAF_SPAN)}
    return sorted(target for target in round_ones if target < place)


def _moved(op: Operation, move: Callable[[int], int]) -> Operation | None:
    """*op* with its addresses moved; None where nothing is left of it."""
    if isinstance(op, (MmapMemseg, MunmapMemseg, NptOp, TrackDirtyPages)):
        start, end = move(op.gpa), move(op.gpa + op.length)
        fixed = isinstance(op, NptOp) and op.bitmap is not None
        length = op.length if fixed else end - start
        moved = _changed(op, gpa=start, length=length) if start >= 0 < length else None
    elif isinstance(op, (Access, Hold)):
        moved = _changed(op, gpa=move(op.gpa)) if move(op.gpa) >= 0 else None
    else:
        return op
    return moved if isinstance(moved, Operation) else None


def _all_from(place: int, target: int, at: int) -> int:
    """Everything from *place* on comes to lie as far after *target*."""
    return at - (place - target) if at >= place else at


def _one(place: int, target: int, at: int) -> int:
    """*place* alone moves to *target*."""
    return target if at == place else at


def _with(case: Case, at: int, op: Operation) -> Case:
    """*case* with *op* as its operation number *at*."""
    return case._replace(operations=(*case.operations[:at], op, *case.operations[at + 1 :]))
