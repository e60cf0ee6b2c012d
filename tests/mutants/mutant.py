"""What a planted mistake is."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGE = "bhyvesim"


class Mutant(NamedTuple):
    """In *path* below bhyvesim/, *old* becomes *new*; one of *tests* ought to fail then.

    *tests* are what pytest takes, with spaces between. *explained*: why none can find it.
    """

    path: str
    old: str
    new: str
    what: str
    tests: str
    explained: str = ""

    @property
    def label(self) -> str:
        return f"{self.path}: {self.what}"

    def planted(self, text: str) -> str:
        """*text* of its file with the mistake in it. Raises ValueError where it does not fit."""
        times = text.count(self.old)
        if times != 1:
            raise ValueError(f"{self.label}: its old text stands there {times} times, not once")
        return text.replace(self.old, self.new)
