"""What a proof comes to, in plain words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bhyvesim.kernel.calls import build_name
from bhyvesim.report.model import Hex


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


def text(proof: Proof, searched: Searched) -> str:
    """The closing words."""
    return "\n".join(_lines(proof, searched)) + "\n"


def _lines(proof: Proof, searched: Searched) -> Iterator[str]:
    kernel = f"{proof.gpt} {build_name(proof.debug)}, {proof.npt.upper()}"
    verdict = "holds: nothing goes wrong" if proof.holds else "does NOT hold"
    yield f"{kernel}, {proof.bound}: {verdict}"
    yield ""
    yield f"Searched: every ordered choice of 1 to {searched.maps} disjoint memmaps between"
    yield from _wrapped(f"{', '.join(proof.points)};")
    yield "  the first devmem, the others sysmem, RWX. Each is made, and a vCPU touches its first"
    yield "  and its last page; then reinit, munmap of each of the others in order, and destroy,"
    yield "  which may also come after the reinit or any munmap."
    for letter in searched.letters_on:
        yield from _wrapped(f"With {letter}.")
    rate = proof.lives / proof.seconds if proof.seconds else 0
    yield f"  {proof.shapes:,} shapes, {proof.lives:,} lives ({rate:,.0f} a second)."
    yield f"States: {proof.generated:,} generated, {proof.distinct:,} distinct; the longest life"
    yield f"  has {proof.depth} operations after the segments are there."
    yield "Looked for: a panic, a hang, lost pages, leaked tables, refused accesses, broken tables."
    yield "Not searched: other addresses, lengths, orders and rights; more memmaps; APICv; several"
    yield "  processors at once."
    for letter in searched.letters_off:
        yield from _wrapped(f"Nor {letter}.")
    if proof.drifting:
        yield f"The page counter is wrong after {proof.drifting:,} shapes (no counterexample here)."
    yield "This proves the model, not the kernel. The model agrees with"
    yield f"  {proof.recordings:,} recordings of what the kernel's own code did."
    for failing in proof.counterexamples:
        yield ""
        shapes = "1 shape" if failing.shapes == 1 else f"{failing.shapes:,} shapes"
        yield f"{failing.title}: {shapes}. The smallest:"
        yield ""
        yield from (f"  {line}".rstrip() for line in failing.scenario.splitlines())


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, 92, initial_indent="  ", subsequent_indent="  ")
