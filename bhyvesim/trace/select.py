"""Which firings are wanted: by their probes, and call by call by their predicates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from bhyvesim.kernel.calls import Firing
from bhyvesim.trace.predicate import Atom, Predicate, Value, Values
from bhyvesim.trace.probe import NAMES, Description, Probe, numbered

NO_CALLER = "0x0"  # what dtrace shows where nobody called
_STEPPING = "gpa"  # the argument that grows from one of alike calls to the next


class Selection:
    """Picks what *descriptions* ask for out of firings."""

    def __init__(self, descriptions: Sequence[Description]) -> None:
        self._descriptions = descriptions
        self._of = cache(self._applying)

    def __call__(self, firing: Firing) -> Iterator[Firing]:
        """The calls of *firing* that are wanted: itself, none, or runs of some of them."""
        predicates = self._of(Probe(firing.function, firing.returned))
        if None in predicates:
            yield firing
        elif predicates:
            yield from self._split(firing, [p for p in predicates if p is not None])

    def _applying(self, probe: Probe) -> tuple[Predicate | None, ...]:
        return tuple(d.predicate for d in self._descriptions if d.matches(probe))

    def _split(self, firing: Firing, predicates: list[Predicate]) -> Iterator[Firing]:
        values = values_of(firing)
        cuts = {0, firing.times}
        if step_of(firing):
            steps = steps_of(firing)
            for predicate in predicates:
                for pair in predicate.pairs:
                    cuts |= _crossing(pair, values, steps)
        begin = None
        for cut in sorted(cut for cut in cuts if 0 <= cut <= firing.times):
            wanted = cut < firing.times and _any(predicates, values_of(firing, cut))
            if begin is None and wanted:
                begin = cut
            elif begin is not None and not wanted:
                yield part(firing, begin, cut)
                begin = None


def values_of(firing: Firing, call: int = 0) -> dict[str, Value]:
    """What predicates and aggregations know of the call number *call* of *firing*."""
    frame, function = firing.frame, firing.function
    values: dict[str, Value] = {**frame.named()}
    if call:
        values[_STEPPING] = frame.named()[_STEPPING] + call * step_of(firing)
    for name, number in numbered(function, firing.returned).items():
        if name in values:
            values[number] = values[name]
    if firing.returned and firing.result is not None:
        values["arg1"] = firing.result
    values["caller"] = firing.stack[-1].function if firing.stack else NO_CALLER
    values["probefunc"] = function.name
    values["probemod"] = function.module
    values["probename"] = NAMES[firing.returned]
    return values


def step_of(firing: Firing) -> int:
    """By how much the stepping argument grows from call to call; 0 where there is none."""
    return firing.step if firing.times > 1 and _STEPPING in firing.frame.names else 0


def steps_of(firing: Firing) -> dict[str, int]:
    """:func:`step_of` by the names of the argument that steps."""
    step = step_of(firing)
    if not step:
        return {}
    number = numbered(firing.function, firing.returned).get(_STEPPING)
    return {_STEPPING: step} if number is None else {_STEPPING: step, number: step}


def part(firing: Firing, begin: int, end: int) -> Firing:
    """The calls number *begin* to *end* (exclusive) of *firing*."""
    if (begin, end) == (0, firing.times):
        return firing
    frame = firing.frame
    args = tuple(
        value + begin * step_of(firing) if name == _STEPPING else value
        for name, value in zip(frame.names, frame.args, strict=True)
    )
    return firing._replace(frame=frame._replace(args=args), times=end - begin)


def _any(predicates: list[Predicate], values: Values) -> bool:
    return any(_holds(predicate, values) for predicate in predicates)


def _holds(predicate: Predicate, values: Values) -> bool:
    """False too where it is decided by an argument that the function does not have."""
    try:
        return predicate(values)
    except KeyError:
        return False


def _crossing(pair: tuple[Atom, Atom], values: Values, steps: dict[str, int]) -> set[int]:
    """The calls from which on the numbers of *pair* may compare otherwise than before."""
    start, step = 0, 0
    for atom, sign in zip(pair, (1, -1), strict=True):
        value = values.get(atom) if isinstance(atom, str) else atom
        if not isinstance(value, int):
            return set()
        start += sign * value
        step += sign * (steps.get(atom, 0) if isinstance(atom, str) else 0)
    if step < 0:
        start, step = -start, -step
    return set() if not step else {-(start // step), -start // step + 1}
