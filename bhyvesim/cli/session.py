"""What every command shares: the state, the clock, which VM is meant, and where output goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from bhyvesim.errors import BhyvesimError, Refused, StateError, UsageError
from bhyvesim.report.model import Report
from bhyvesim.store.store import Store, Transaction

Format = Literal["plain", "table", "json"]
FORMATS: tuple[Format, ...] = ("plain", "table", "json")


class Panicked(BhyvesimError):
    """The simulated kernel panicked, and the crash dump is stored; ``report`` is the console's."""

    exit_code = 3

    def __init__(self, message: str, report: str) -> None:
        super().__init__(message)
        self.report = report


class Session:
    """One command's surroundings."""

    def __init__(self, vm: str | None = None) -> None:
        self.vm = vm
        self.store = Store()

    def name(self, transaction: Transaction) -> str:
        """The VM that is meant: ``--vm``, else ``$BHYVESIM_VM``, else the only one there is.

        Raises UsageError where several might be meant, Refused (ENOENT) where none is there.
        """
        if self.vm is not None:
            return self.vm
        if os.environ.get("BHYVESIM_VM"):
            return os.environ["BHYVESIM_VM"]
        names = transaction.names()
        if len(names) == 1:
            return names[0]
        if names:
            raise UsageError(f"which VM? expected --vm=NAME, one of {', '.join(names)}")
        raise Refused("ENOENT", "there is no VM; 'create --config FILE' makes one")

    def now_ns(self) -> int:
        """Nanoseconds since the epoch; ``$SOURCE_DATE_EPOCH`` stops the clock."""
        import time

        fixed = os.environ.get("SOURCE_DATE_EPOCH")
        if not fixed:
            return time.time_ns()
        if not (fixed.isascii() and fixed.isdigit()) or int(fixed) >= 1 << 33:
            raise UsageError(f"SOURCE_DATE_EPOCH is {fixed[:40]!r}: expected seconds since 1970")
        return int(fixed) * 10**9

    def emit(self, report: Report, fmt: Format | None) -> None:
        """Print *report* to standard output; without a format, a table on a terminal."""
        if fmt is None:
            fmt = "table" if sys.stdout.isatty() else "plain"
        if fmt == "json":
            sys.stdout.write(report.json())
        elif fmt == "plain":
            sys.stdout.write(report.plain())
        else:
            from bhyvesim.report.table import draw

            draw(report, sys.stdout)
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Say something to the person, on standard error."""
        sys.stdout.flush()
        print(f"bhyvesim: {text}", file=sys.stderr)


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """A stored row that does not make sense is an unusable state, not a crash of ours."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise StateError(f"the state of {name} is damaged ({error}); nothing was written") from None
