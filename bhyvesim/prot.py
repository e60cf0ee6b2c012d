"""Protections: what a memmap grants and an access wants; and who accesses."""

from __future__ import annotations

from bhyvesim.errors import BadValue
from bhyvesim.units import shorten

READ, WRITE, EXEC = 1, 2, 4
ALL = READ | WRITE | EXEC
BY = ("vcpu", "device")  # who can access guest memory
_LETTERS = (("r", READ), ("w", WRITE), ("x", EXEC))


def parse_prot(text: str) -> int:
    """The bit mask of ``rwx``, ``r-x``, ``R`` or ``r,w``; dashes, commas and blanks are fillers.

    Raises BadValue for other letters, a letter twice, or none at all.
    """
    letters = [c for c in text.lower() if c not in "-, "]
    bits = dict(_LETTERS)
    if not letters or len(set(letters)) != len(letters) or any(c not in bits for c in letters):
        raise BadValue(f"{shorten(text)} is not a protection", "one or more of r, w, x")
    return sum(bits[c] for c in letters)


def format_prot(prot: int, *, upper: bool = False) -> str:
    """Three characters, ``r-x``; upper case as bhyvectl prints them."""
    text = "".join(letter if prot & bit else "-" for letter, bit in _LETTERS)
    return text.upper() if upper else text
