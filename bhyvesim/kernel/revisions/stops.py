"""The ways in which a kernel is known to stop, and how each is told from what a dump holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from bhyvesim.kernel.memory import Memmap
from bhyvesim.span import Span
from bhyvesim.values import Value


class Case(Protocol):
    """One crash dump, as a story needs it."""

    gpt: str
    npt: str
    function: str  # where it stopped
    facts: Mapping[str, int | str]
    locks: Sequence[str]
    memmaps: Sequence[Memmap]
    apicv: bool

    def arguments(self, *functions: str) -> Mapping[str, int]:
        """The arguments of the innermost of *functions* that was under way, by name."""

    def span(self, *functions: str) -> Span:
        """The range that the innermost of *functions* was asked for."""

    def asked(self, span: Span) -> str:
        """The outermost function that was asked for *span*."""

    def called(self, function: str) -> bool:
        """Whether *function* was under way."""

    def map_at(self, gpa: int) -> str:
        """The name and span of the memmap over *gpa*; :data:`NO_MEMMAP` without one."""


NO_MEMMAP = "no memmap"


class Told(NamedTuple):
    """A stop in plain words: lines, what the addresses that matter are, how it was mended."""

    story: Sequence[str]
    marks: Mapping[int, str]
    mended: str

    @property
    def mended_in(self) -> str | None:
        """The revision that *mended* names first; None where none mends it."""
        word = self.mended.removeprefix("Fixed in ").split()[0].strip(",.")
        return None if word == "no" else word


class Stop(Value):
    """A panic by its letter, or a hang (no letter): the function where it comes, and its story.

    ``claim``: the expression of the assertion that fails; empty where there is none.
    """

    letter: str
    function: str
    tell: Callable[[Case], Told]
    claim: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return f"panic {self.letter}" if self.letter else "hang"
