"""What a VM maps where, by address, and the holes that it leaves in its leaf tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from bhyvesim.kernel.gpt.levels import LEAF_SPAN, REACH
from bhyvesim.kernel.memory import APIC_SPAN
from bhyvesim.span import Span
from bhyvesim.vm.spec import VmSpec

APIC_NAME = "APIC access page"


@dataclass(frozen=True, slots=True)
class Place:
    """A span that a VM maps: by the mapping of that index, or for the APIC (None)."""

    span: Span
    mapping: int | None

    def __str__(self) -> str:
        return str(self.span) if self.mapping is not None else f"the {APIC_NAME} {self.span}"


def places_of(spec: VmSpec) -> list[Place]:
    """All that *spec* maps, by address; the APIC access page among it."""
    places = [Place(m.span, i) for i, m in enumerate(spec.mappings)]
    if spec.apicv:
        places.append(Place(APIC_SPAN, None))
    return sorted(places, key=lambda place: place.span)


def holes(places: list[Place]) -> Iterator[tuple[Span, Place]]:
    """Spans in leaves that *places* bring, but that nothing maps, each with a place beside it.

    From 13896 on their tables exist, and no mapping is found there: a hold is fatal on 13896.
    """
    for before, after in pairwise([None, *places, None]):
        start = before.span.end if before else 0
        end = after.span.start if after else REACH
        leaf_end = -(-start // LEAF_SPAN) * LEAF_SPAN
        if before is not None and start < min(end, leaf_end):
            yield Span(start, min(end, leaf_end)), before
        leaf_start = max(end & -LEAF_SPAN, leaf_end)
        if after is not None and leaf_start < end:
            yield Span(leaf_start, end), after
