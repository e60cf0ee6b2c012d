"""What every command shares: the state, the clock, which VM is meant, and where output goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from bhyvesim.cli.streams import colour_is_asked_for, coloured, columns
from bhyvesim.errors import Refused, UsageError
from bhyvesim.text import clean, rejoined

if TYPE_CHECKING:
    from bhyvesim.host.host import Host
    from bhyvesim.kernel.calls import Listener
    from bhyvesim.ops.operation import Recorder
    from bhyvesim.report.model import Report
    from bhyvesim.store.rows import VmRow
    from bhyvesim.store.store import Store
    from bhyvesim.store.transaction import Transaction

_LONGEST_TIME = 20  # digits

Format = Literal["plain", "table", "json"]
_SPEAKER = "bhyvesim: "
FORMATS: tuple[Format, ...] = ("plain", "table", "json")


class Session:
    """One command's surroundings."""

    def __init__(self, vm: str | None = None, *, quiet: bool = False) -> None:
        self.vm = vm
        self.quiet = quiet
        self.verbose = False
        self.trusted = False  # a state that others may write is believed
        self.form: str | None = None  # --format before the command
        self.at: str | None = None  # the moment of a VM that is to be looked at
        self.crash: str | None = None  # or a crash dump, by its id or its file
        self.dry_run = False
        self.listener: Listener | None = None  # told of every entry and return (trace)
        self.recorder: Recorder | None = None  # and of every operation

    @cached_property
    def store(self) -> Store:
        """The state file; what only prints a help knows nothing of it."""
        from bhyvesim.store.store import Store

        store = Store(note=self.note)
        store.trusted |= self.trusted
        self.detail(f"the state is {store.path}")
        return store

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
            self.detail(f"{names[0]} is meant, the only VM there is")
            self.vm = names[0]
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
        digits = fixed.isascii() and fixed.isdigit() and len(fixed) <= _LONGEST_TIME
        if not digits or int(fixed) >= 1 << 33:
            raise UsageError(f"SOURCE_DATE_EPOCH is {fixed[:40]!r}: expected seconds since 1970")
        return int(fixed) * 10**9

    def emit(self, report: Report, fmt: Format | None) -> None:
        """Print *report* to standard output; without a format, a table on a terminal."""
        if fmt == "json":
            sys.stdout.write(report.json())
        elif fmt == "plain" or (fmt is None and _is_for_scripts(report)):
            sys.stdout.write(report.plain())
        else:
            from bhyvesim.cli.pages import write
            from bhyvesim.report.table import lines, rule_in

            rule = rule_in(sys.stdout.encoding)
            write(lambda width: lines(report, width, rule), fmt)
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Tell the person what was done, on standard error; --quiet leaves it out."""
        if not self.quiet:
            self.warn(f"dry run: {text}" if self.dry_run else text)

    def did(self, what: str, done: str) -> str:
        """*done*; in a dry run, that it would: ``would`` *what*."""
        return f"would {what}" if self.dry_run else done

    def detail(self, text: str) -> None:
        """Say more, if --verbose asked for it."""
        if self.verbose:
            self.warn(text)

    def under(self, text: str) -> None:
        """A line that belongs to the one before it."""
        print(clean(text), file=sys.stderr)

    def warn(self, text: str, bad: str = "") -> None:
        """Tell the person, --quiet or not; *bad* are words of *text* that are red."""
        self._say(text, bad=bad)

    @property
    def for_a_person(self) -> bool:
        """Whether standard error is read by a person, as far as one can tell."""
        return sys.stderr.isatty() or coloured(sys.stderr)

    def say_lines(self, text: Callable[[int | None], Sequence[str]]) -> None:
        """Lines for a person, in the width of the terminal where standard error is one."""
        from bhyvesim.report.fit import joined

        sys.stdout.flush()
        width = columns(sys.stderr) if sys.stderr.isatty() else None
        sys.stderr.write(joined(text(width), colour=coloured(sys.stderr)))

    def fail(self, text: str) -> None:
        """Tell the person what went wrong."""
        self._say(text, wrong=True)

    def _say(self, text: str, *, wrong: bool = False, bad: str = "") -> None:
        """A line on standard error; on a terminal as many as it needs."""
        if self.for_a_person:
            from bhyvesim.report.messages import said

            self.say_lines(lambda width: said(_SPEAKER, text, width, wrong=wrong, bad=bad))
        else:
            sys.stdout.flush()
            print(f"{_SPEAKER}{clean(text)}", file=sys.stderr)


def _is_for_scripts(report: Report) -> bool:
    """Whether what is printed without a format goes to where no person and no pager reads it."""
    return not sys.stdout.isatty() and (report.exact is not None or not colour_is_asked_for())


def _nearest(word: str, names: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word[:200], names, n=1)
    return f"; did you mean {near[0]}?" if near else ""
