"""What is rehearsed: how the two VMMs go about it, and what the guest does meanwhile.

What is known of Propolis: one phase of RAM before the pause and one after it, each reading
VM_TRACK_DIRTY_PAGES a bitmap of 4096 bytes at a time; from interface version 17 on the bits
that were taken are remembered, and set again after a failed attempt; on older kernels the next
attempt offers all RAM first. What is assumed here, and is not known of it:

- the target wants every page that is offered, and gets it in the same round;
- RAM is what sysmem segments back; ROMs and the like the target's VMM has from elsewhere;
- pages arrive through the target VMM's own mapping of the segment, which no table hears of;
- with ``dirty-only`` the target then sets their dirty bits, where its kernel can;
- vCPUs and devices have come to rest before the bits are read for the last time.
"""

from __future__ import annotations

from typing import NamedTuple

from bhyvesim import limits
from bhyvesim.errors import BadValue
from bhyvesim.units import shorten
from bhyvesim.values import Value

MAX_ROUNDS = limits.MIGRATION_ROUNDS.most
MAX_WRITES = limits.MIGRATION_ROUND_WRITES.most
MAX_HOPS = limits.MIGRATION_HOPS.most
PAUSED = "paused"  # the round after the pause


class Discipline(NamedTuple):
    """Which pages are offered, and what becomes of their dirty bits.

    ``all_first``: an attempt's first round offers all RAM, later ones what is dirty.
    ``marks``: the target sets the dirty bits of what arrived. ``restores``: the bits that a
    failed attempt took are set again. ``resets``: reading the bits clears them.
    """

    meaning: str
    all_first: bool = False
    marks: bool = True
    restores: bool = True
    resets: bool = True


DISCIPLINES: dict[str, Discipline] = {
    "all-first": Discipline(
        "every attempt offers all memory first, then what is dirty", all_first=True, marks=False
    ),
    "dirty-only": Discipline(
        "only dirty pages are offered; a failed attempt sets the bits again that it took, and "
        "the target those of what arrived"
    ),
    "arrived-clean": Discipline(
        "a mistake: dirty-only, but what arrived stays clean at the target", marks=False
    ),
    "taken-lost": Discipline(
        "a mistake: dirty-only, but bits that a failed attempt took stay taken", restores=False
    ),
    "never-reset": Discipline(
        "a mistake: dirty-only, but bits are read by GET_DIRTY|RESET_DIRTY, which is GET_DIRTY",
        resets=False,
    ),
}

# How devices write to memory.
DEVICE_WRITES = {
    "held": "a page is held, written and released, and the release marks it",
    "late": "it is released at once, and written after the round (before 15844: viona, if slow)",
    "deferred": "the release asks not to mark it, and nobody does later",
    "mapped": "by the VMM's mapping of guest space: only the first store of a page marks it",
    "marked": "the same, and the VMM sets the dirty bit of each store (SET_DIRTY)",
}


class Plan(Value):
    """One rehearsal. *fail_after*: the round after which the first attempt fails, or None.

    Rounds count from 1; the last, after *rounds* of them, is the one after the pause.
    *devices*: how many of 100 writes are by devices.
    """

    discipline: str = "all-first"
    rounds: int = 1
    writes: int = 64
    devices: int = 25
    device_writes: str = "held"
    fail_after: int | None = None
    hops: int = 1
    seed: int = 0

    def check(self) -> None:
        _one_of(self.discipline, DISCIPLINES, "discipline")
        _one_of(self.device_writes, DEVICE_WRITES, "way for devices to write")
        _within("rounds", self.rounds, 1, MAX_ROUNDS)
        _within("writes", self.writes, 0, MAX_WRITES)
        _within("percent by devices", self.devices, 0, 100)
        _within("hops", self.hops, 1, MAX_HOPS)
        _within("writes in all rounds", self.writes_in_all, 0, limits.MIGRATION_WRITES.most)
        if self.fail_after is not None:
            _within("as the round to fail after", self.fail_after, 1, self.rounds + 1)

    @property
    def writes_in_all(self) -> int:
        """In all rounds of all attempts."""
        return self.writes * (self.rounds + 1) * (self.hops + (self.fail_after is not None))

    @property
    def way(self) -> Discipline:
        return DISCIPLINES[self.discipline]

    def record(self) -> dict[str, int | str | None]:
        """Its JSON form."""
        return dict(zip(self.arguments, self.values(), strict=True))


def parse_fail_after(word: str, rounds: int) -> int:
    """``2``, or ``paused`` for the round after the pause. Raises BadValue."""
    if word == PAUSED:
        return rounds + 1
    if not (word.isascii() and word.isdigit() and len(word) < 4 and 1 <= int(word) <= rounds):
        raise BadValue(f"{shorten(word)} is no round", f"1 to {rounds}, or {PAUSED}")
    return int(word)


def _one_of(word: str, known: dict[str, Discipline] | dict[str, str], what: str) -> None:
    if word not in known:
        raise BadValue(f"{shorten(str(word))} is no {what}", f"one of {', '.join(known)}")


def _within(what: str, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        raise BadValue(f"{number} {what}", f"{least} to {most}")
