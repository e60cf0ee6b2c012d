"""Aggregations as dtrace has them, and its pictures: count(), quantize(), lquantize().

A run of calls whose argument steps is counted by arithmetic, not call by call.
Source: dtrace.c, dtrace_aggregate_quantize() and _lquantize(); dt_consume.c, which prints.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator

from bhyvesim.errors import BadValue, BhyvesimError
from bhyvesim.kernel.calls import Firing
from bhyvesim.trace.predicate import Value
from bhyvesim.trace.select import steps_of, values_of

MOST_KEYS = 100_000
_MOST_LEVELS = (1 << 16) - 1  # as in dtrace: of lquantize()
_BAR = 40
_TOP = 62  # the last bucket of quantize() is from 2^62 on
_HEADING = f"{'value':>16} {'------------- Distribution -------------':>41} {'count':<9}"


class TooManyKeys(BhyvesimError):
    """An aggregation would have to remember more than is sensible."""

    def __init__(self) -> None:
        super().__init__(
            f"the aggregation has more than {MOST_KEYS} keys, and is not shown: "
            "expected a predicate, or --quantize"
        )


class Aggregation(ABC):
    """Numbers that firings are folded into; *argument* is what of them, if it matters."""

    name: str
    argument: str | None

    @abstractmethod
    def add(self, firing: Firing) -> None:
        """Fold *firing* in, each of its calls. Raises TooManyKeys."""

    @abstractmethod
    def lines(self) -> Iterator[str]:
        """What dtrace would print; nothing where nothing was counted."""

    @abstractmethod
    def rows(self) -> Iterator[tuple[Value | None, int]]:
        """Keys, or the least values of buckets (None: below all others), and their counts."""


class Count(Aggregation):
    """``@ = count()``, or ``@[by] = count()``."""

    def __init__(self, by: str | None = None) -> None:
        self.name = "count"
        self.argument = by
        self._counts: Counter[Value | None] = Counter()

    def add(self, firing: Firing) -> None:
        argument = self.argument
        if argument is None:
            self._counts[None] += firing.times
            return
        value = values_of(firing).get(argument)
        step = steps_of(firing).get(argument, 0)
        if value is None:
            return
        if isinstance(value, str) or not step:
            self._counts[value] += firing.times
        elif firing.times <= MOST_KEYS:
            self._counts.update(range(value, value + firing.times * step, step))
        if len(self._counts) > MOST_KEYS or (step and firing.times > MOST_KEYS):
            raise TooManyKeys

    def lines(self) -> Iterator[str]:
        for key, count in self.rows():
            shown = "" if key is None else f" {key:16d}" if isinstance(key, int) else f"  {key:<50}"
            yield f"{shown} {count:16d}"

    def rows(self) -> Iterator[tuple[Value | None, int]]:
        """Ascending by count, then by key."""
        yield from sorted(self._counts.items(), key=lambda row: (row[1], str(type(row[0])), row[0]))


class _Distribution(Aggregation):
    """Counts of an argument's values by buckets, from the lowest up."""

    argument: str

    def __init__(self, name: str, argument: str) -> None:
        self.name = name
        self.argument = argument
        self._counts: Counter[int] = Counter()  # by the bucket's index

    @abstractmethod
    def bucket(self, value: int) -> int:
        """The index of the bucket that *value* is in; higher values, higher buckets."""

    @abstractmethod
    def least(self, bucket: int) -> int:
        """The least value of *bucket*, if it is not the first of all."""

    @abstractmethod
    def shown(self) -> tuple[int, int]:
        """The first and the last bucket that a picture has."""

    def label(self, bucket: int) -> str:
        return str(self.least(bucket))

    def add(self, firing: Firing) -> None:
        value = values_of(firing).get(self.argument)
        if not isinstance(value, int):
            return
        step = steps_of(firing).get(self.argument, 0)
        if not step:
            self._counts[self.bucket(_signed(value))] += firing.times
            return
        call = 0
        while call < firing.times:  # a round for each bucket, or two where the sign turns
            at = _signed(value + call * step)
            bucket = self.bucket(at)
            same = -((at - self._end(bucket)) // step)
            same = min(max(same, 1), firing.times - call)
            self._counts[bucket] += same
            call += same

    def _end(self, bucket: int) -> int:
        """The least value that is above *bucket*."""
        return self.least(bucket + 1)

    def lines(self) -> Iterator[str]:
        if not self._counts:
            return
        first, last = self.shown()
        total = sum(self._counts.values())
        yield ""
        yield _HEADING
        for bucket in range(first, last + 1):
            count = self._counts[bucket]
            yield f"{self.label(bucket):>16} |{_bar(count, total)} {count:<9d}"
        yield ""

    def rows(self) -> Iterator[tuple[Value | None, int]]:
        for bucket in sorted(self._counts):
            yield self.least(bucket), self._counts[bucket]


class Quantize(_Distribution):
    """``@ = quantize(argument)``: buckets of powers of two.

    Bucket 0 holds 0; k above holds [2^(k-1), 2^k), and as many below the same negated.
    """

    def __init__(self, argument: str) -> None:
        super().__init__("quantize", argument)

    def bucket(self, value: int) -> int:
        k = min(abs(value).bit_length(), _TOP + 1)
        return k if value >= 0 else -k

    def least(self, bucket: int) -> int:
        """Which dtrace shows; of a negative bucket it is the greatest value."""
        return 0 if bucket == 0 else 1 << bucket - 1 if bucket > 0 else -(1 << -bucket - 1)

    def _end(self, bucket: int) -> int:
        if bucket > _TOP:
            return 1 << 63
        return self.least(bucket) + 1 if bucket < 0 else self.least(bucket + 1)

    def shown(self) -> tuple[int, int]:
        return max(min(self._counts) - 1, -_TOP - 1), min(max(self._counts) + 1, _TOP + 1)


class Lquantize(_Distribution):
    """``@ = lquantize(argument, low, high, step)``: buckets of one size, and two for the rest."""

    def __init__(self, argument: str, low: int, high: int, step: int) -> None:
        super().__init__("lquantize", argument)
        self.low, self.step = low, step
        self.levels = (high - low) // step

    @classmethod
    def parse(cls, text: str) -> Lquantize:
        """``ARG,LO,HI,STEP``. Raises BadValue."""
        argument, *rest = (word.strip() for word in text.split(","))
        expected = "ARG,LO,HI,STEP, such as len,0,0x100000,0x1000"
        if len(rest) != 3:
            raise BadValue(f"{len(rest) + 1} values", expected)
        low, high, step = (_integer(word, expected) for word in rest)
        if low >= high:
            raise BadValue(f"LO {low} is not below HI {high}", expected)
        if not 0 < step <= high - low:
            raise BadValue(f"STEP {step} is not from 1 to {high - low}", expected)
        if (high - low) // step > _MOST_LEVELS:
            raise BadValue(f"{(high - low) // step} levels", f"at most {_MOST_LEVELS}")
        return cls(argument, low, high, step)

    def bucket(self, value: int) -> int:
        if value < self.low:
            return 0
        return min((value - self.low) // self.step, self.levels) + 1

    def least(self, bucket: int) -> int:
        return self.low + (bucket - 1) * self.step

    def _end(self, bucket: int) -> int:
        return 1 << 63 if bucket > self.levels else self.least(bucket + 1)

    def shown(self) -> tuple[int, int]:
        return max(min(self._counts) - 1, 0), min(max(self._counts) + 1, self.levels + 1)

    def label(self, bucket: int) -> str:
        if bucket == 0:
            return f"< {self.low}"
        return f">= {self.least(bucket)}" if bucket > self.levels else str(self.least(bucket))

    def rows(self) -> Iterator[tuple[Value | None, int]]:
        for bucket in sorted(self._counts):
            yield self.least(bucket) if bucket else None, self._counts[bucket]


def _integer(word: str, expected: str) -> int:
    negative = word.startswith("-")
    digits = word[negative:]
    try:
        number = int(digits, 16 if digits[:2].lower() == "0x" else 10)
    except ValueError:
        number = 1 << 63
    if not digits.isalnum() or number >= 1 << 63:
        raise BadValue(f"{word[:40]!r} is no number", expected)
    return -number if negative else number


def _signed(value: int) -> int:
    """As dtrace has it, in 64 bits with a sign."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _bar(count: int, total: int) -> str:
    return ("@" * ((2 * _BAR * count + total) // (2 * total))).ljust(_BAR)
