"""What every command shares: the state, the clock, which VM is meant, and where output goes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Literal

from bhyvesim.errors import Refused, UsageError
from bhyvesim.report.model import Report
from bhyvesim.store.rows import VmRow
from bhyvesim.store.store import Store
from bhyvesim.store.transaction import Transaction
from bhyvesim.text import clean, rejoined

if TYPE_CHECKING:
    from bhyvesim.host.host import Host
    from bhyvesim.kernel.calls import Listener
    from bhyvesim.ops.operation import Recorder

Format = Literal["plain", "table", "json"]
FORMATS: tuple[Format, ...] = ("plain", "table", "json")


class Session:
    """One command's surroundings."""

    def __init__(self, vm: str | None = None, *, quiet: bool = False) -> None:
        self.vm = vm
        self.quiet = quiet
        self.verbose = False
        self.at: str | None = None  # the moment of a VM that is to be looked at
        self.crash: str | None = None  # or a crash dump, by its id or its file
        self.dry_run = False
        self.listener: Listener | None = None  # told of every entry and return (trace)
        self.recorder: Recorder | None = None  # and of every operation
        self.store = Store(note=self.note)

    @property
    def vm(self) -> str | None:
        """The name that was given; names are UTF-8, whatever the locale is."""
        return self._vm

    @vm.setter
    def vm(self, name: str | None) -> None:
        self._vm = None if name is None else rejoined(name)

    @property
    def wanted(self) -> str | None:
        """``--vm``, else ``$BHYVESIM_VM``."""
        named = os.environ.get("BHYVESIM_VM") or None
        return self.vm if self.vm is not None or named is None else rejoined(named)

    def name(self, transaction: Transaction) -> str:
        """The VM that is meant: ``--vm``, else ``$BHYVESIM_VM``, else the only one there is.

        A name that no VM has is refused here, with the nearest that one has.

        Raises UsageError where several might be meant, Refused (ENOENT) where none is there.
        """
        names = transaction.names()
        wanted = self.wanted
        if wanted is not None:
            if wanted not in names:
                transaction.check_names()
                raise Refused("ENOENT", f"there is no VM named {wanted}{_nearest(wanted, names)}")
            return wanted
        if len(names) == 1:
            return names[0]
        if names:
            raise UsageError(f"which VM? expected --vm=NAME, one of {', '.join(names)}")
        transaction.check_names()
        raise Refused("ENOENT", "there is no VM; 'create --config FILE' makes one")

    @property
    def host(self) -> Host:
        """The host that commands work on."""
        from bhyvesim.host.host import Host

        return Host(
            self.store,
            self.now_ns,
            keep=not self.dry_run,
            listener=self.listener,
            recorder=self.recorder,
        )

    def which(self) -> str:
        """:meth:`name`, where no transaction is open."""
        with self.store.reading() as transaction:
            return self.name(transaction)

    def which_ever(self) -> str:
        """:meth:`which`, but a VM that is named may be gone: it is the past that is asked."""
        return self.which() if self.wanted is None else self.wanted

    def stored(self) -> VmRow:
        """The VM that is meant, as it is stored."""
        with self.store.reading() as transaction:
            return transaction.vm(self.name(transaction))

    def stored_to_show(self) -> VmRow:
        """:meth:`stored`, with a note where what is shown of it is from its crash dump."""
        return self._shown(self.stored())

    def stored_to_show_of(self, name: str) -> VmRow:
        """:meth:`stored_to_show` of the VM *name*."""
        with self.store.reading() as transaction:
            return self._shown(transaction.vm(name))

    def _shown(self, row: VmRow) -> VmRow:
        if row.stopped:
            crash = row.moment.crash
            self.note(f"{row.name} has {row.state}: this is from its crash dump, crash {crash}")
        return row

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
        """Tell the person what was done, on standard error; --quiet leaves it out."""
        if not self.quiet:
            self.warn(f"dry run: {text}" if self.dry_run else text)

    def detail(self, text: str) -> None:
        """Say more, if --verbose asked for it."""
        if self.verbose:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Tell the person, --quiet or not."""
        sys.stdout.flush()
        print(f"bhyvesim: {clean(text)}", file=sys.stderr)


def _nearest(word: str, names: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word[:200], names, n=1)
    return f"; did you mean {near[0]}?" if near else ""
