"""What a proof comes to, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bhyvesim.kernel.builds import build_name
from bhyvesim.report.fit import Page, paragraph
from bhyvesim.report.model import Hex
from bhyvesim.report.tones import BAD, GOOD, marked


class FailingCause(NamedTuple):
    """A cause, how many shapes come to it, and a scenario of the smallest of them."""

    title: str
    kind: str
    where: str
    how: str
    shapes: int
    scenario: str


class Proof(NamedTuple):
    """`bhyvesim prove`: what was searched, and whether nothing went wrong.

    *digest* is of the set of distinct states; *drifting*: shapes after which the kernel's page
    counter is wrong; *engine* and *vectors* are hashes of the code and of the recordings.
    """

    gpt: str
    debug: bool
    npt: str
    bound: str
    points: tuple[Hex, ...]
    holds: bool
    shapes: int
    lives: int
    generated: int
    distinct: int
    depth: int
    drifting: int
    digest: str
    counterexamples: tuple[FailingCause, ...]
    seconds: float
    version: str
    engine: str
    vectors: str
    recordings: int


class Searched(NamedTuple):
    """What of a bound is told: memmaps at most, and the letters that are on and off."""

    maps: int
    letters_on: Sequence[str]
    letters_off: Sequence[str]
    drift: bool


def page(proof: Proof, searched: Searched) -> Page:
    """The closing words."""
    return Page(proof, lambda width: list(_lines(proof, searched, min(width or 92, 92))))


def _lines(proof: Proof, searched: Searched, width: int) -> Iterator[str]:
    verdict = "holds: nothing goes wrong" if proof.holds else "does NOT hold"
    kernel = f"{proof.gpt} {build_name(proof.debug)}, {proof.npt.upper()}"
    first, *rest = paragraph(f"{kernel}, {proof.bound}: {verdict}", width)
    yield marked(first, GOOD if proof.holds else BAD, "holds" if proof.holds else "does NOT hold")
    yield from rest
    yield ""
    for head, *more in _told(proof, searched):
        yield from paragraph(head, width, "", "  ")
        for sentence in more:
            yield from paragraph(sentence, width, "  ", "  ")
    for failing in proof.counterexamples:
        yield ""
        shapes = "1 shape" if failing.shapes == 1 else f"{failing.shapes:,} shapes"
        yield from paragraph(f"{failing.title}: {shapes}. The smallest:", width)
        yield ""
        yield from (f"  {line}" if line else "" for line in failing.scenario.splitlines())


def _told(proof: Proof, searched: Searched) -> Iterator[tuple[str, ...]]:
    """What was searched and what was not: sentences, and those that belong below them."""
    rate = proof.lives / proof.seconds if proof.seconds else 0
    yield (
        f"Searched: every ordered choice of 1 to {searched.maps} disjoint memmaps between "
        f"{', '.join(proof.points)}; the first devmem, the others sysmem, RWX. Each is made, and a "
        "vCPU touches its first and its last page; then reinit, munmap of each of the others in "
        "order, and destroy, which may also come after the reinit or any munmap.",
        *(f"With {letter}." for letter in searched.letters_on),
        f"{proof.shapes:,} shapes, {proof.lives:,} lives from create to destroy ({rate:,.0f} a "
        "second).",
    )
    yield (
        f"States: {proof.generated:,} generated, {proof.distinct:,} distinct; the longest life has "
        f"{proof.depth} operations after the segments are there.",
    )
    yield (
        "Looked for: a panic, a hang, lost pages, leaked tables, refused accesses, broken tables.",
    )
    yield (
        "Not searched: other addresses, lengths, orders and rights; more memmaps; APICv; several "
        "processors at once.",
        *(f"Nor {letter}." for letter in searched.letters_off),
    )
    if proof.drifting:
        yield (
            f"The page counter is wrong after {proof.drifting:,} shapes"
            f"{'' if searched.drift else ' (no counterexample here)'}.",
        )
    yield (
        "This proves the model, not the kernel. The model agrees with "
        f"{proof.recordings:,} recordings of what the kernel's own code did.",
    )
