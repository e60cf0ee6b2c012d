"""The simulated kernel around the memory code: its call stack, ASSERT, VERIFY, panic and hang.

Simulated functions say that they are under way with :meth:`Kernel.calls`; a panic
or a hang takes its stack from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from bhyvesim.errors import Frame, KernelHang, KernelPanic


class Assertions(Enum):
    """What a failing ASSERT does. VERIFY always panics."""

    PANIC = "panic"  # a DEBUG kernel
    WARN = "warn"  # the report's debugging kernel: logs it and goes on
    OFF = "off"  # a production kernel: the ASSERT is not there


def build_name(debug: bool) -> str:
    """What a kernel build is called: DEBUG with live ASSERTs, else production."""
    return "DEBUG" if debug else "production"


@dataclass(frozen=True, slots=True)
class AssertionSite:
    """One ASSERT or VERIFY in the source of one revision."""

    expression: str
    file: str
    line: int

    def message(self, values: tuple[int, str, int] | None = None) -> str:
        """The panic string; *values* are left, operator, right of an ASSERT3-style assertion."""
        shown = "" if values is None else f" ({values[0]:#x} {values[1]} {values[2]:#x})"
        return f"assertion failed: {self.expression}{shown}, file: {self.file}, line: {self.line}"


@dataclass(frozen=True, slots=True)
class Warned:
    """A failed ASSERT that was logged instead of fatal (assertions: warn).

    ``times`` counts neighbouring pages that fail alike; ``facts`` are the first one's.
    """

    message: str
    stack: tuple[Frame, ...]
    facts: Mapping[str, int | str]
    times: int = 1


class Calls:
    """Calls under way, for the time of a with statement.

    A class of its own: a generator for it would be a sixth of a small VM's whole life.
    """

    __slots__ = ("_depth", "_frames", "_stack")

    def __init__(self, stack: list[Frame], frames: tuple[Frame, ...]) -> None:
        self._stack = stack
        self._frames = frames

    def __enter__(self) -> None:
        self._depth = len(self._stack)
        self._stack.extend(self._frames)

    def __exit__(self, *raised: object) -> None:
        del self._stack[self._depth :]


class Kernel:
    """One simulated kernel: whether ASSERTs are live, what it logged, what it is executing."""

    def __init__(self, *, debug: bool, assertions: Assertions = Assertions.PANIC) -> None:
        self.debug = debug
        self.assertions = assertions if debug else Assertions.OFF
        self.warnings: list[Warned] = []
        self._stack: list[Frame] = []

    def fork(self) -> Kernel:
        """Another kernel of the same build, which has logged the same."""
        other = Kernel(debug=self.debug, assertions=self.assertions)
        other.warnings = self.warnings[:]
        return other

    @property
    def asserting(self) -> bool:
        """Whether it is worth evaluating an ASSERT at all."""
        return self.assertions is not Assertions.OFF

    def calls(self, *frames: Frame) -> Calls:
        """Within, *frames* are under way, outermost first."""
        return Calls(self._stack, frames)

    def assertion_failed(
        self,
        site: AssertionSite,
        values: tuple[int, str, int] | None = None,
        facts: Mapping[str, int | str] | None = None,
        times: int = 1,
    ) -> None:
        """An ASSERT did not hold. Panics, logs or does nothing, as the kernel was built."""
        if self.assertions is Assertions.PANIC:
            self.verify_failed(site, values, facts)
        elif self.assertions is Assertions.WARN:
            stack = self._innermost_first()
            self.warnings.append(Warned(site.message(values), stack, facts or {}, times))

    def verify_failed(
        self,
        site: AssertionSite,
        values: tuple[int, str, int] | None = None,
        facts: Mapping[str, int | str] | None = None,
    ) -> None:
        """A VERIFY did not hold: raises KernelPanic on every kernel."""
        raise KernelPanic(site.message(values), self._innermost_first(), facts)

    def hang(self, locks: tuple[str, ...], facts: Mapping[str, int | str] | None = None) -> None:
        """The innermost call never returns, with *locks* held: raises KernelHang."""
        raise KernelHang(locks, self._innermost_first(), facts)

    def _innermost_first(self) -> tuple[Frame, ...]:
        return tuple(reversed(self._stack))
