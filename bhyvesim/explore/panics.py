"""The text of a panic, held against the stops that the kernels come to when provoked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from itertools import chain

from bhyvesim.errors import BadValue, KernelStop
from bhyvesim.explore.identify import Candidate, candidates
from bhyvesim.explore.seen import claim
from bhyvesim.kernel.gpt.levels import LEAF_SPAN, table_span
from bhyvesim.kernel.pte import FORMATS
from bhyvesim.kernel.pte.format import PFN_MASK
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.ops.ioctls import Access, AllocMemseg, Hold, MmapMemseg, MunmapMemseg
from bhyvesim.ops.operation import Operation
from bhyvesim.prot import ALL, READ, WRITE
from bhyvesim.text import clean
from bhyvesim.units import PAGE_SIZE
from bhyvesim.values import Value

# Bounded everywhere: the text is anybody's.
_ASSERTION = re.compile(
    r"assertion failed: {0,9}(?P<claim>[^\n]{1,400}?)"
    r"(?:, {0,9}file: {0,9}(?P<file>\S{1,200}), {0,9}line: {0,9}(?P<line>\d{1,9})| {0,9}\r?$)",
    re.MULTILINE,
)
_VALUES = re.compile(r" \((?P<left>0x[0-9a-f]{1,16}) \S{1,2} 0x[0-9a-f]{1,16}\)$")
_WORD = re.compile(r"[A-Za-z_]\w{3,}", re.ASCII)
_LONGEST = 400  # characters of a claim
_SHOWN = 120  # of which so many are shown

_LINE = table_span(3)  # 512 GiB


def _map(gpa: int, pages: int = 1, prot: int = ALL) -> MmapMemseg:
    return MmapMemseg(gpa, 0, 0, pages * PAGE_SIZE, prot)


# What brings kernels to a stop, one way each; all after a segment of sysmem. A revision that
# does not stop at one of them goes on, and is none the worse.
_PROVOCATIONS: tuple[tuple[Operation, ...], ...] = (
    (
        _map(0),
        _map(2 * PAGE_SIZE),  # not the next page: its entry may go, too
        Access(2 * PAGE_SIZE, 1, WRITE),
        MunmapMemseg(0, PAGE_SIZE),
    ),
    (_map(0), Access(PAGE_SIZE, 1, READ, "device")),
    (_map(_LINE - PAGE_SIZE, 2),),
    (_map(_LINE + PAGE_SIZE), _map(_LINE - PAGE_SIZE, 2)),
    (_map(0, prot=WRITE), Access(0, 1, WRITE)),
    (_map(0), Hold(0, READ | WRITE), MunmapMemseg(0, PAGE_SIZE)),
)


@cache
def stops_of(candidate: Candidate) -> tuple[KernelStop, ...]:
    """The panics and hangs that *candidate* comes to, by running it into them."""
    found = []
    for operations in _PROVOCATIONS:
        machine = candidate.machine()
        for operation in (AllocMemseg(0, LEAF_SPAN, ""), *operations):
            operation.apply(machine)
        if machine.stop is not None:
            found.append(machine.stop)
    return tuple(found)


class PanicText(Value):
    """What a console, a fault report or a debugger says of a panic; or a function's name.

    Compared are the assertion, without file and line, and the functions of the stack.
    """

    text: str
    source: str = "--panic"

    @property
    def label(self) -> str:
        if self.source != "--panic" and self._assertion is None and not self._is_known:
            return self.source  # a file may be anybody's: it is not quoted
        told = self._claim or self._where or self.text.strip()
        return f"{self.source}: {clean(told, _SHOWN)}"

    def check(self) -> None:
        if not self.text.strip():
            raise BadValue("nothing is said", "a panic's text, or the name of a function")

    @cached_property
    def _assertion(self) -> re.Match[str] | None:
        return _ASSERTION.search(self.text)

    @cached_property
    def _claim(self) -> str:
        """What was asserted, without the values that it had; it may be all that was given."""
        if self._assertion is not None:
            return _VALUES.sub("", self._assertion["claim"])
        if self._functions or len(self.text) > _LONGEST:
            return ""
        return _VALUES.sub("", claim(self.text.strip()))

    @cached_property
    def _functions(self) -> tuple[str, ...]:
        """The driver's functions that the text names, in its order: innermost first."""
        functions = (f for revision in REVISIONS.values() for f in revision.functions.values())
        known = {function.name for function in functions if function.module == "vmm"}
        return tuple(word for word in _WORD.findall(self.text) if word in known)

    @cached_property
    def _where(self) -> str:
        """The first of the functions in which some kernel stops."""
        stopping = {stop.function for r in REVISIONS.values() for stop in r.stops}
        return next((name for name in self._functions if name in stopping), "")

    @cached_property
    def _is_known(self) -> bool:
        """Whether some kernel stops so; of another stop nothing can be said."""
        return any(self._fitting(candidate) for candidate in candidates())

    def _fitting(self, candidate: Candidate) -> list[KernelStop]:
        return [stop for stop in stops_of(candidate) if self._fits(stop)]

    def _fits(self, stop: KernelStop) -> bool:
        if self._claim:
            return self._claim == _claim_of(stop)
        return stop.function == self._where

    @property
    def remark(self) -> str:
        """What the file and line tell, which decide nothing; or that nothing is told."""
        if not self._is_known:
            return "no kernel here is known to stop so: it decides nothing"
        if self._assertion is None or self._assertion["file"] is None:
            return ""
        place = f", file: {self._assertion['file']}, line: {self._assertion['line']}"
        here = [
            c.gpt
            for c in candidates()
            if any(stop.message.endswith(place) for stop in self._fitting(c))
        ]
        if not here:
            return "its file and line are of another build than those known here"
        return f"its file and line are those of {' and '.join(dict.fromkeys(here))}, as known here"

    def objection(self, candidate: Candidate) -> str | None:
        """A stop that a revision names, and that none of its builds could be provoked to,
        may be this one.
        """
        unknown = unprovoked(candidate.gpt)
        if not self._is_known or (unknown and (not self._where or self._where in unknown)):
            return None
        stops = self._fitting(candidate)
        if not stops:
            return self._why_not(candidate)
        foreign = next((name for name in self._functions if not _has(candidate, name)), None)
        if foreign is not None:
            return f"it has no {foreign}"
        return self._other_tables(candidate, stops)

    def _why_not(self, candidate: Candidate) -> str:
        if self._fitting(candidate._replace(debug=True)):
            return "a production kernel has no such ASSERT"
        other = [npt for npt in FORMATS if self._fitting(candidate._replace(npt=npt, debug=True))]
        if other:
            return f"it stops so only with {' and '.join(npt.upper() for npt in other)}"
        return "it never stops so"

    def _other_tables(self, candidate: Candidate, stops: Iterable[KernelStop]) -> str | None:
        """Whether the entry that an assertion met is one of the other processor's."""
        values = _VALUES.search(self._assertion["claim"]) if self._assertion else None
        if values is None or not any("pte" in stop.facts for stop in stops):
            return None
        entry = int(values["left"], 16)
        if entry & ~PFN_MASK in _flags(candidate.npt):
            return None
        return f"{entry:#x} is no entry of {candidate.npt.upper()}"


def _claim_of(stop: KernelStop) -> str:
    return _VALUES.sub("", claim(stop.message)).removeprefix("assertion failed: ")


@cache
def unprovoked(gpt: str) -> frozenset[str]:
    """The functions in which *gpt* says that it stops, and no build of it could be made to."""
    builds = [c for c in candidates() if c.gpt == gpt]
    met = {stop.function for build in builds for stop in stops_of(build)}
    return frozenset(stop.function for stop in REVISIONS[gpt].stops) - met


def _has(candidate: Candidate, function: str) -> bool:
    """Whether the kernel has *function*, and calls it with these tables."""
    revision = REVISIONS[candidate.gpt]
    mine = set(_called(candidate.gpt, candidate.npt))
    others = {name for npt in revision.paths for name in _called(candidate.gpt, npt)} - mine
    return function in revision.functions and function not in others


def _called(gpt: str, npt: str) -> Iterator[str]:
    paths = REVISIONS[gpt].paths[npt]
    return chain.from_iterable(getattr(paths, name) for name in paths.__dataclass_fields__)


@cache
def _flags(npt: str) -> frozenset[int]:
    """Every value of the bits beside the PFN that the entry of a page may have."""
    form = FORMATS[npt]
    cached = {form.page(0, prot) for prot in range(1, ALL + 1)}
    made = cached | {entry & ~form.write_back for entry in cached}
    marks = (0, form.accessed, form.dirty, form.accessed | form.dirty)
    return frozenset(entry | mark for entry in made for mark in marks)
