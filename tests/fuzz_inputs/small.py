"""The small form: what is kept, and so many mutations of it, always the same."""

from __future__ import annotations

import random
import re
import resource
import sys
import time
import traceback
from collections.abc import Iterator

from tests.fuzz_inputs.targets import TARGETS, accepts, kept

SECONDS = 2.0  # of processor time, for one input
BYTES = 200 << 20  # more than there were before it
_LONGEST = 1 << 16
_NUMBER = re.compile(rb"\b(?:0x[0-9a-f]+|[0-9]+)\b")
_NUMBERS = (
    *(b"0", b"1", b"2", b"7", b"255", b"512", b"4096", b"2097152", b"1073741824", b"3221225475"),
    *(b"4294967296", b"140737488355328", b"281474976710656", b"4503599627370495", b"-1"),
    *(b"18446744073709547520", b"18446744073709551615", b"1" + b"0" * 30),
)


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
    """*data* with a few pieces of it cut out, doubled, or replaced."""
    for _ in range(rng.randint(1, 4)):
        data = rng.choice((_cut, _line, _number))(rng, data, others, words)[:_LONGEST]
    return data


def _line(rng: random.Random, data: bytes, others: list[bytes], words: tuple[bytes, ...]) -> bytes:
    """With a line of another input in place of one, or after it."""
    lines, more = data.splitlines(keepends=True), rng.choice(others).splitlines(keepends=True)
    at = rng.randint(0, len(lines))
    lines[at : at + rng.randint(0, 2)] = [rng.choice(more or [b""])] * rng.choice((0, 1, 1, 2, 50))
    return b"".join(lines)


def _number(
    rng: random.Random, data: bytes, others: list[bytes], words: tuple[bytes, ...]
) -> bytes:
    """With another number in place of one, so that the text around keeps its sense."""
    places = [match.span() for match in _NUMBER.finditer(data)]
    if not places:
        return data
    start, end = rng.choice(places)
    return data[:start] + rng.choice(_NUMBERS) + data[end:]


def _cut(rng: random.Random, data: bytes, others: list[bytes], words: tuple[bytes, ...]) -> bytes:
    """With a piece of it replaced by nothing, by noise, or by something else."""
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
        )
    )
    return data[:start] + piece + data[end:]


def bound_memory() -> None:
    """From here on, this process gets no more than BYTES of addresses."""
    with open("/proc/self/statm", encoding="ascii") as file:
        there = int(file.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (there + BYTES, hard))


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
