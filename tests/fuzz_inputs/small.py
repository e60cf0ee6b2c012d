"""The small form: what is kept, and so many mutations of it, always the same."""

from __future__ import annotations

import random
import resource
import sys
import time
import traceback
from collections.abc import Iterator

from tests.fuzz_inputs.targets import TARGETS, accepts, kept

SECONDS = 2.0  # of processor time, for one input
BYTES = 200 << 20  # more than there were before it
_LONGEST = 1 << 16


def inputs(name: str, count: int, seed: int = 1) -> Iterator[bytes]:
    """What to begin with, what is kept, and *count* mutations."""
    given = [*TARGETS[name].begin(), *kept(name)]
    yield from given
    rng = random.Random(f"{name} {seed}")
    for _ in range(count):
        yield mutated(rng, rng.choice(given), given, TARGETS[name].words)


def mutated(
    rng: random.Random, data: bytes, others: list[bytes], words: tuple[bytes, ...]
) -> bytes:
    """*data* with a few pieces of it cut out, doubled, flipped, or replaced."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randint(0, len(data))
        end = min(len(data), start + rng.choice((0, 0, 1, 2, 8, 64)))
        other = rng.choice(others)
        at = rng.randint(0, len(other))
        piece = rng.choice(
            (
                b"",
                rng.choice(words),
                rng.choice(words) * rng.choice((2, 30, 2000)),
                rng.randbytes(rng.randint(1, 4)),
                data[start:end] * 2,
                other[at : at + rng.choice((4, 30, 200))],
                str(rng.choice((0, 1, -1, 255, 1 << 32, 1 << 64, 10**30))).encode(),
            )
        )
        data = (data[:start] + piece + data[end:])[:_LONGEST]
    return data


def bound_memory() -> None:
    """From here on, this process gets no more than BYTES of addresses."""
    with open("/proc/self/statm", encoding="ascii") as file:
        there = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (there + BYTES, there + BYTES))


def wrong_with(name: str, data: bytes) -> str | None:
    """What is wrong with what becomes of *data*; None if nothing is."""
    began = time.process_time()
    try:
        accepts(name, data)
    except Exception:
        return traceback.format_exc()
    spent = time.process_time() - began
    return f"{spent:.1f} s of processor time" if spent > SECONDS else None


def judge(name: str, every: Iterator[bytes]) -> int:
    """Complain of the first input of *every* that is not taken well."""
    bound_memory()
    for data in every:
        problem = wrong_with(name, data)
        if problem is not None:
            print(f"{name}: {data!r}\n{problem}", file=sys.stderr)
            return 1
    return 0
