"""Which entries are wanted: by bits that are set or clear, and by what they permit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bhyvesim.errors import BadValue
from bhyvesim.kernel.gpt.leaf import flags_of
from bhyvesim.kernel.pte import PteFormat
from bhyvesim.prot import parse_prot
from bhyvesim.units import shorten


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Entries with all bits of *has* and none of *lacks* (names), that permit *prot*.

    With *exactly* they permit nothing else; without, at least that.
    """

    has: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    prot: int = 0
    exactly: bool = False

    def picks(self, npt: PteFormat, cls: int) -> bool:
        """Whether entries of class *cls* are wanted."""
        bits = flags_of(cls)
        names, permits = set(npt.flags(bits)), npt.prot(bits)
        if not self.has <= names or self.lacks & names or self.prot & ~permits:
            return False
        return not self.exactly or permits == self.prot


def parse_bits(text: str, names: Sequence[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The bits that must be set and those that must be clear, from ``dirty,!accessed``.

    Raises BadValue for what is not in *names*; it says at which character, and what is near.
    """
    found: dict[bool, set[str]] = {True: set(), False: set()}
    at = 1
    for part in text.split(","):
        word = part.strip()
        is_set = not word.startswith("!")
        name = word.removeprefix("!").strip().lower()
        if name not in names:
            where = at + len(part) - len(part.lstrip()) + (not is_set)
            raise BadValue(f"{_unknown(name, names)} (character {where})", _one_of(names))
        if name in found[not is_set]:
            raise BadValue(f"{name} both set and clear (character {at})", "each bit once")
        found[is_set].add(name)
        at += len(part) + 1
    return frozenset(found[True]), frozenset(found[False])


def parse_rights(text: str) -> tuple[int, bool]:
    """What entries must permit, and whether exactly that.

    ``rw`` is at least; three characters with a dash, ``rw-``, as protections are printed,
    are exactly. Raises BadValue.
    """
    expected = "letters such as rw (at least these), or three characters such as r-x (exactly)"
    for at, character in enumerate(text, 1):
        if character.lower() not in "rwx-":
            raise BadValue(f"{shorten(character)} in a protection (character {at})", expected)
    exactly = "-" in text
    if exactly and re.fullmatch("[r-][w-][x-]", text.lower()) is None:
        raise BadValue(
            f"{shorten(text)} has a dash out of place (character {text.index('-') + 1})", expected
        )
    try:
        return parse_prot(text), exactly
    except BadValue as error:
        raise BadValue(error.problem, expected) from None


def _unknown(name: str, names: Sequence[str]) -> str:
    from difflib import get_close_matches

    if not name:
        return "no name of a bit"
    near = get_close_matches(name[:40], names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{shorten(name)} is no bit here{hint}"


def _one_of(names: Sequence[str]) -> str:
    return f"one or more of {', '.join(names)}, with ! before those to be clear"
