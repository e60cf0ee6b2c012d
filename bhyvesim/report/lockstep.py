"""What came of holding another implementation against the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from bhyvesim.report.fit import Page, paragraph


class Parted(NamedTuple):
    """The first divergence: at which *operation* of the small case, counted from 1.

    *message* says what differs, or what became of the other side; *said* and *complaints* are
    its last lines where it gave no answer. *operations* are the small case, as replay reads
    them, and *found* how many there were before it was made small. *steady*: it came again in
    a fresh process.
    """

    operation: int
    op: str
    message: str
    said: tuple[str, ...]
    complaints: tuple[str, ...]
    operations: tuple[dict[str, Any], ...]
    found: int
    steady: bool


class Compared(NamedTuple):
    """`bhyvesim lockstep`: how much was asked, of whom, and where the two parted, if they did.

    *kernels* are those that were asked for. *seed*: null, where nothing was at random.
    """

    command: str
    kernels: tuple[str, ...]
    seed: int | None
    sequences: int
    operations: int
    seconds: float
    parted: Parted | None


def page(compared: Compared) -> Page:
    """A sentence, and the small case as lines for replay."""
    return Page(compared, lambda width: list(_lines(compared, width)))


def replayable(parted: Parted) -> str:
    """The small case, an operation a line, as 'bhyvesim replay' reads it."""
    return "".join(f"{json.dumps(operation)}\n" for operation in parted.operations)


def _lines(compared: Compared, width: int | None) -> Iterator[str]:
    parted = compared.parted
    if parted is None:
        kernels = ", ".join(compared.kernels)
        seed = "" if compared.seed is None else f"; seed {compared.seed}"
        yield from paragraph(
            f"no difference in {compared.sequences:,} sequences of {compared.operations:,} "
            f"operations on {kernels}{seed}",
            width,
        )
        return
    yield from paragraph(f"operation {parted.operation} ({parted.op}), {parted.message}", width)
    for title, lines in (("it said", parted.said), ("its errors", parted.complaints)):
        if lines:
            yield f"{title}, at last:"
            yield from (text for line in lines for text in paragraph(line, width, "  ", "    "))
    yield ""
    yield from replayable(parted).splitlines()
    yield ""
    small = len(parted.operations)
    after = f"sequence {compared.sequences:,}, {parted.found} operations; made small: {small}"
    yield from paragraph(after, width)
    if not parted.steady:
        yield from paragraph("it did not come again in a fresh process: the case is as met", width)
