"""How soon explore finds what is known, and how fast prove goes; writes docs/explore.md."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from itertools import islice
from pathlib import Path

from bhyvesim.explore.bound import (
    beginnings,
    create,
    endings,
    mapped,
    memmap,
    parse_bound,
    ranges,
    segments,
)
from bhyvesim.explore.causes import Cause
from bhyvesim.explore.certificate import Certificate, Proof, Question, read_certificate
from bhyvesim.explore.prove import Task, prove
from bhyvesim.explore.search import CHUNK, Chunk, Found, Target, search
from bhyvesim.explore.shrink import shrink
from bhyvesim.explore.told import seen
from bhyvesim.explore.trial import Case, causes
from bhyvesim.kernel.builds import build_name
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.workers import cores, local

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "explore.md"
CERTIFICATES = ROOT / "docs" / "certificates"
SEEDS = range(10)
CHUNKS = 12  # of each seed: 3,000 runs
STANDING = parse_bound("maps=3,points=17")


def found_on(gpt: str) -> tuple[dict[Cause, list[Found]], float]:
    """The first finding of each cause, by seed; and runs a second, on one core."""
    first: dict[Cause, list[Found]] = {}
    began, runs = time.perf_counter(), 0
    for seed in SEEDS:
        mine: dict[Cause, Found] = {}
        for number in range(CHUNKS):
            searched = search(Chunk(Target(gpt), seed, number, CHUNK))
            runs += searched.runs
            for found in searched.found:
                mine.setdefault(found.cause, found)
        for cause, found in mine.items():
            first.setdefault(cause, []).append(found)
    return first, runs / (time.perf_counter() - began)


def finding_rows() -> list[tuple[str, ...]]:
    rows = []
    for gpt in list(REVISIONS)[:6]:
        first, rate = found_on(gpt)
        for cause, found in first.items():
            small = shrink(found[0].case, cause).case
            made = sum(op.op in ("alloc_memseg", "mmap_memseg") for op in small.operations)
            runs = statistics.median(f.run + 1 for f in found)
            rows.append(
                (
                    seen(small, cause).name,
                    f"`{gpt}`",
                    f"{len(found)}",
                    f"{runs:,.0f}",
                    f"{runs / rate:.2f} s",
                    str(len(small.operations) - made),
                )
            )
    return rows


def whole_lives(number: int = 400) -> float:
    """Lives a second of two memmaps, each from its beginning, and looked at in full."""
    bound = parse_bound("maps=2,points=17")
    first = create(bound, "2025", debug=True, npt="rvi")
    shapes = (
        (one, other)
        for one in islice(ranges(bound), 0, None, 7)
        for other in ranges(bound)
        if one[1] <= other[0] or other[1] <= one[0]
    )
    began = time.perf_counter()
    for shape in islice(shapes, number):
        maps = [memmap(bound, i, *one, False) for i, one in enumerate(shape)]
        made = [op for m in maps for op in mapped(m)]
        list(causes(Case(first, (*segments(bound), *made, *endings(maps)[-1]))))
    return number / (time.perf_counter() - began)


def shared_lives() -> float:
    """Lives a second of three memmaps, prefixes and ends shared, on one core."""
    began, lives = time.perf_counter(), 0
    for beginning in islice(beginnings(STANDING), 0, None, 8):
        lives += prove(Task(STANDING, "2025", True, "rvi", 3, beginning)).lives
    return lives / (time.perf_counter() - began)


def scaling() -> list[tuple[str, ...]]:
    """Seconds of one proof with one process and with two."""
    question = Question(parse_bound("maps=2,points=33"), "2025", True, "rvi")
    seconds = {}
    for jobs in (1, 2):
        began = time.perf_counter()
        proof = Proof(question)
        with local(jobs) as workers:
            proof.go_on(workers, lambda done: None)
        seconds[jobs] = time.perf_counter() - began
    return [
        (str(jobs), f"{spent:.1f} s", f"{seconds[1] / spent:.2f}")
        for jobs, spent in seconds.items()
    ]


def certificate_rows() -> list[tuple[str, ...]]:
    rows = []
    for path in sorted(CERTIFICATES.glob("*.json")):
        c = read_certificate(path.read_text(encoding="utf-8"))
        rows.append((_order(c), _certificate_row(path.name, c)))
    return [row for _, row in sorted(rows)]


def _order(certificate: Certificate) -> tuple[int, bool, bool]:
    q = certificate.question
    return list(REVISIONS).index(q.gpt), not q.debug, q.npt != "rvi"


def _certificate_row(name: str, c: Certificate) -> tuple[str, ...]:
    failing = "; ".join(f"{e.cause} in {e.shapes:,} shapes" for e in c.counterexamples)
    q = c.question
    return (
        f"[`{q.gpt}` {build_name(q.debug)}, {q.npt.upper()}](certificates/{name})",
        "holds" if c.holds else failing,
        f"{c.generated:,}",
        f"{c.distinct:,}",
        f"`{c.digest[:12]}`",
    )


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    found = table(
        ("finding", "revision", "found by seeds of 10", "runs, median", "seconds", "steps"),
        finding_rows(),
    )
    whole, shared = whole_lives(), shared_lives()
    PAGE.write_text(
        f"""# What explore finds, and what prove covers

Written by `python -m benchmarks.finders`. {platform.python_implementation()} \
{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores, \
which may have been busy.

## What is found, told nothing but the revision

Ten seeds of {CHUNKS * CHUNK:,} runs each, on one core; the seconds are those that the median \
number of runs takes. Steps are those after the VM is made, in the scenario that the finding was \
shrunk to.

{found}
What is found in the newest code, and more of it: [findings](findings/hang-with-held-pages.md).

## How fast everything within a bound is gone through

A life goes from create to destroy: memmaps made and touched, reinit, munmap of some of the \
others, destroy; a shape has as many lives as memmaps. Each from its beginning and looked at in \
full: **{whole:,.0f} lives a second** and core. With beginnings and ends shared, and what is \
known to be in order recognised: **{shared:,.0f} a second** and core ({shared / whole:.0f} \
times), those that share a beginning counted as if each had been run.

Workers on one machine, `maps=2,points=33` ({cores()} cores):

{table(("processes", "time", "times faster"), scaling())}
## Certificates

Of all six revisions, both builds and both formats of tables, within the bound `{STANDING}`: up to \
three memmaps between 17 addresses, 169,048 shapes each. `bhyvesim prove --check FILE` proves one \
again.

{table(("kernel", "verdict", "states generated", "distinct", "digest"), certificate_rows())}
The digest is of the set of distinct states: whoever proves the same, on whatever machine and with \
however many workers, has the same. What such a proof says, and what it does not: \
[Prove it within a bound](how-to/prove-a-bound.md).
""",
        encoding="utf-8",
    )
    print(f"wrote {PAGE}", file=sys.stderr)


if __name__ == "__main__":
    main()
