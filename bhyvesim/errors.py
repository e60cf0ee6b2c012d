"""The exception tree; the class decides the exit status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

FAILED = 70

# What each exit status means, the same for every command.
STATUSES = {
    0: "fine",
    1: "refused by the simulated kernel, an expectation not met, a difference, a finding, damage",
    2: "usage or configuration",
    3: "the simulated kernel panicked or hung",
    4: "the stored state is unusable",
    FAILED: "bhyvesim itself failed: no memory or file was to be had, or it has a mistake",
    130: "interrupted",
}


# What may come of taking a value apart that has not the shape it should have.
NONSENSE = (
    *(ValueError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, RecursionError),
)


class BhyvesimError(Exception):
    """Anything that ends a command with one line on standard error.

    Survives pickling whole: a worker's exception arrives as what it was.
    """

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), self.args, self.__dict__)


def _unpickled(
    cls: type[BhyvesimError], args: tuple[Any, ...], attributes: Mapping[str, Any]
) -> BhyvesimError:
    """The exception itself, without its constructor, whose arguments are not kept."""
    error = cls.__new__(cls, *args)
    error.__dict__.update(attributes)
    return error


# The errors that the simulated kernel knows, by number. Source: sys/errno.h.
ERRNOS = {
    "EPERM": 1,
    "ENOENT": 2,
    "E2BIG": 7,
    "ENOMEM": 12,
    "EFAULT": 14,
    "EBUSY": 16,
    "EEXIST": 17,
    "EINVAL": 22,
    "ENOTTY": 25,
    "ENOSPC": 28,
    "EOVERFLOW": 79,
    "EALREADY": 149,
}


class Refused(BhyvesimError):
    """The simulated kernel refused; ``errno_name`` is what the ioctl would return."""

    @property
    def errno(self) -> int | None:
        """The number of ``errno_name``; None for what is no errno (PANICKED, HUNG)."""
        return ERRNOS.get(self.errno_name)

    def __init__(self, errno_name: str, message: str) -> None:
        super().__init__(f"{message} ({errno_name})")
        self.errno_name = errno_name
        self.reason = message


class NotRunning(Refused):
    """The machine has panicked (``PANICKED``), hangs (``HUNG``) or is destroyed (``ENOENT``)."""


class UsageError(BhyvesimError):
    """The request itself is wrong: arguments, a configuration, a file's contents."""

    exit_code = 2


class BadValue(UsageError):
    """A value is not what its place asks for; the caller adds the place."""

    def __init__(self, problem: str, expected: str) -> None:
        super().__init__(f"{problem}: expected {expected}")
        self.problem = problem
        self.expected = expected


class NotModelled(BadValue):
    """The real kernel takes this, and what it makes of it is not known here."""


class StateError(BhyvesimError):
    """The state file cannot be used; the message says whether anything was written."""

    exit_code = 4


class NothingFound(BhyvesimError):
    """What was asked for is in order, and is not there."""


class HostStopped(BhyvesimError):
    """The simulated kernel under a stored VM panicked or hung; what is known of it is stored."""

    exit_code = 3


class Frame(NamedTuple):
    """One simulated kernel function that was under way, with those arguments that are known.

    ``names`` are the arguments' own, in the order of the function's prototype.
    """

    function: str
    args: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    def named(self) -> dict[str, int]:
        """The arguments by name."""
        return dict(zip(self.names, self.args, strict=True))


class KernelStop(BhyvesimError):
    """The simulated kernel goes no further. A result, not a fault of this program.

    ``function`` is where, ``message`` what is to be said of it, ``stack`` the simulated
    calls under way (innermost first), ``facts`` the numbers of the case (gpa, level, index,
    pte …). The machine fills in ``state``, its dump at that moment, and ``letter``, by which
    people know the panic: ``?`` if they do not.
    """

    exit_code = 3

    def __init__(
        self, message: str, stack: tuple[Frame, ...], facts: Mapping[str, int | str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.stack = stack
        self.facts: dict[str, int | str] = dict(facts or {})
        self.state: dict[str, Any] = {}
        self.letter = "?"

    @property
    def function(self) -> str:
        return self.stack[0].function


class KernelPanic(KernelStop):
    """A failed assertion stopped the simulated kernel; ``message`` is the panic string."""


class KernelHang(KernelStop):
    """A thread of the simulated kernel loops for ever in ``function``, and keeps its locks.

    ``locks`` are the locks that it holds, for people.
    """

    def __init__(
        self,
        locks: tuple[str, ...],
        stack: tuple[Frame, ...],
        facts: Mapping[str, int | str] | None = None,
    ) -> None:
        held = " and ".join(locks)
        super().__init__(f"{stack[0].function} loops for ever, holding {held}", stack, facts)
        self.locks = locks
