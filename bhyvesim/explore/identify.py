"""Which kernel a host runs: candidates, and what was seen there that rules some of them out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple, Protocol

from bhyvesim.kernel.builds import build_name
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.revisions import REVISIONS


class Candidate(NamedTuple):
    """A kernel that a host may run: a revision, its build, and the processor's tables."""

    gpt: str
    debug: bool
    npt: str

    @property
    def name(self) -> str:
        return f"{self.build} {self.npt.upper()}"

    @property
    def build(self) -> str:
        """The revision and its build, whatever the processor."""
        return f"{self.gpt} {build_name(self.debug)}"

    def machine(self, **more: Any) -> Machine:
        """A fresh VM on it."""
        return Machine(self.gpt, debug=self.debug, npt=self.npt, **more)


class Evidence(Protocol):
    """Something that was seen on the host."""

    @property
    def label(self) -> str:
        """What it is, in a line."""

    @property
    def remark(self) -> str:
        """What is to be said of it besides; mostly nothing."""

    def objection(self, candidate: Candidate) -> str | None:
        """Why it cannot come from *candidate*; None where it can, or nobody can tell."""


class Objection(NamedTuple):
    """Why a piece of evidence, by its number from 1 on, cannot come from a kernel."""

    evidence: int
    reason: str


class Weighed(NamedTuple):
    """A candidate, and what speaks against it: without any it is possible."""

    candidate: Candidate
    objections: tuple[Objection, ...]

    @property
    def possible(self) -> bool:
        return not self.objections


def candidates(
    builds: Iterable[bool] = (True, False), npts: Iterable[str] = tuple(FORMATS)
) -> list[Candidate]:
    """Every kernel that is known, oldest first, of *builds* (DEBUG or not) and with *npts*."""
    return [Candidate(*each) for each in product(REVISIONS, tuple(builds), tuple(npts))]


def weighed(among: Sequence[Candidate], evidence: Sequence[Evidence]) -> list[Weighed]:
    """Each of *among* held against all of the *evidence*, piece by piece.

    Each piece may come from a VM of its own, so no two of them need to fit together, but for
    the kernel.
    """
    return [Weighed(candidate, tuple(_against(candidate, evidence))) for candidate in among]


def _against(candidate: Candidate, evidence: Sequence[Evidence]) -> Iterable[Objection]:
    for number, piece in enumerate(evidence, start=1):
        reason = piece.objection(candidate)
        if reason is not None:
            yield Objection(number, reason)


def named(among: Iterable[Candidate]) -> list[str]:
    """*among* in few words, by revision: ``13932``, ``14042 DEBUG``, ``13896 production EPT``."""
    by_gpt: dict[str, list[Candidate]] = {}
    for candidate in among:
        by_gpt.setdefault(candidate.gpt, []).append(candidate)
    return [name for gpt, mine in by_gpt.items() for name in _named_of(gpt, mine)]


def _named_of(gpt: str, mine: list[Candidate]) -> list[str]:
    builds = dict.fromkeys(c.debug for c in mine)
    npts = dict.fromkeys(c.npt for c in mine)
    if len(builds) == 1 or len(mine) < len(builds) * len(npts):
        return [name for debug in builds for name in _named_build(mine, debug)]
    return [gpt] if len(npts) == len(FORMATS) else [f"{gpt} {npt.upper()}" for npt in npts]


def _named_build(mine: list[Candidate], debug: bool) -> list[str]:
    same = [c for c in mine if c.debug == debug]
    return [same[0].build] if len(same) == len(FORMATS) else [c.name for c in same]
