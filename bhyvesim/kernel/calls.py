"""The simulated kernel around the memory code: its call stack, ASSERT, VERIFY, panic and hang.

Simulated functions say that they are under way with :meth:`Kernel.calls`; a panic or a hang
takes its stack from there, and whoever listens hears of each entry and return.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple

from bhyvesim.errors import Frame, KernelHang, KernelPanic, Refused
from bhyvesim.kernel.functions import Function
from bhyvesim.span import Span
from bhyvesim.values import Value

_Call = tuple[tuple[str, ...], Mapping[str, int]]  # functions, outermost first; their arguments
_NO_VALUES: Mapping[str, int] = {}


def over(span: Span) -> dict[str, int]:
    """The arguments of functions that take a range, however they take it."""
    start, end = span
    return {"start": start, "end": end, "addr": start, "len": end - start}


class Assertions(Enum):
    """What a failing ASSERT does. VERIFY always panics."""

    PANIC = "panic"  # a DEBUG kernel
    WARN = "warn"  # the report's debugging kernel: logs it and goes on
    OFF = "off"  # a production kernel: the ASSERT is not there


class AssertionSite(Value):
    """One ASSERT or VERIFY in the source of one revision."""

    expression: str
    file: str
    line: int

    def message(self, values: tuple[int, str, int] | None = None) -> str:
        """The panic string; *values* are left, operator, right of an ASSERT3-style assertion."""
        shown = "" if values is None else f" ({values[0]:#x} {values[1]} {values[2]:#x})"
        return f"assertion failed: {self.expression}{shown}, file: {self.file}, line: {self.line}"


class Warned(Value):
    """A failed ASSERT that was logged instead of fatal (assertions: warn).

    ``times`` counts neighbouring pages that fail alike; ``facts`` are the first one's.
    """

    message: str
    stack: tuple[Frame, ...]
    facts: Mapping[str, int | str]
    times: int = 1


class Firing(NamedTuple):
    """A simulated function was entered, or returned: what a listener is told.

    ``stack`` is outermost first, without the function itself. ``times`` neighbouring calls
    were alike but for the address, which grew by ``step`` bytes from one to the next.
    ``result`` is of a return: the value, an errno where the call was refused, or None where
    there is none or the simulation does not know it.
    """

    function: Function
    frame: Frame
    returned: bool
    stack: tuple[Frame, ...]
    times: int = 1
    step: int = 0
    result: int | None = None


Listener = Callable[[Firing], None]


class Calls:
    """Calls under way, for the time of a with statement.

    ``result`` may be set to what the innermost one returns. A class of its own: a generator
    for it would be a sixth of a small VM's whole life.
    """

    __slots__ = ("_call", "_stack", "result")
    result: int | None

    def __init__(self, stack: list[_Call], call: _Call) -> None:
        self._stack = stack
        self._call = call

    def __enter__(self) -> Calls:
        self._stack.append(self._call)
        return self

    def __exit__(self, kind: type[BaseException] | None, raised: object, trace: object) -> None:
        self._stack.pop()


class _Watched(Calls):
    """The same with somebody listening."""

    __slots__ = ("_kernel", "_step", "_times")

    def __init__(self, kernel: Kernel, call: _Call, times: int, step: int) -> None:
        super().__init__(kernel.under_way, call)
        self._kernel = kernel
        self._times = times
        self._step = step
        self.result = 0

    def __enter__(self) -> Calls:
        names, values = self._call
        for name in names:
            self._fire(name, values, returned=False)
            self._stack.append(((name,), values))
        return self

    def __exit__(self, kind: type[BaseException] | None, raised: object, trace: object) -> None:
        names, values = self._call
        for name in reversed(names):
            self._stack.pop()
            if kind is None:
                self._fire(name, values, returned=True)
                self.result = 0
            elif isinstance(raised, Refused):
                self.result = raised.errno
                self._fire(name, values, returned=True)

    def _fire(self, name: str, values: Mapping[str, int], *, returned: bool) -> None:
        kernel = self._kernel
        assert kernel.listener is not None
        function = kernel.functions[name]
        result = self.result if returned and function.returns != "void" else None
        stack = tuple(reversed(kernel.stack()))
        frame = function.frame(values)
        kernel.listener(Firing(function, frame, returned, stack, self._times, self._step, result))


class Kernel:
    """One simulated kernel: whether ASSERTs are live, what it logged, what it is executing."""

    def __init__(
        self,
        *,
        debug: bool,
        assertions: Assertions = Assertions.PANIC,
        functions: Mapping[str, Function],
    ) -> None:
        self.debug = debug
        self.assertions = assertions if debug else Assertions.OFF
        self.functions = functions
        self.warnings: list[Warned] = []
        self.under_way: list[_Call] = []
        self.listener: Listener | None = None

    def fork(self) -> Kernel:
        """Another kernel of the same build, which has logged the same; nobody listens to it."""
        other = Kernel(debug=self.debug, assertions=self.assertions, functions=self.functions)
        other.warnings = self.warnings[:]
        return other

    @property
    def asserting(self) -> bool:
        """Whether it is worth evaluating an ASSERT at all."""
        return self.assertions is not Assertions.OFF

    def calls(
        self,
        names: tuple[str, ...],
        values: Mapping[str, int] = _NO_VALUES,
        times: int = 1,
        step: int = 0,
    ) -> Calls:
        """Within, the functions *names* are under way, outermost first.

        *values* are those of their arguments, by name: each function takes its own. See
        :class:`Firing` for *times* and *step*.
        """
        if self.listener is None:
            return Calls(self.under_way, (names, values))
        return _Watched(self, (names, values), times, step)

    def stack(self) -> tuple[Frame, ...]:
        """The calls under way, innermost first."""
        return tuple(
            self.functions[name].frame(values)
            for names, values in reversed(self.under_way)
            for name in reversed(names)
        )

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
            stack = self.stack()
            self.warnings.append(Warned(site.message(values), stack, facts or {}, times))

    def verify_failed(
        self,
        site: AssertionSite,
        values: tuple[int, str, int] | None = None,
        facts: Mapping[str, int | str] | None = None,
    ) -> None:
        """A VERIFY did not hold: raises KernelPanic on every kernel."""
        raise KernelPanic(site.message(values), self.stack(), facts)

    def hang(self, locks: tuple[str, ...], facts: Mapping[str, int | str] | None = None) -> None:
        """The innermost call never returns, with *locks* held: raises KernelHang."""
        raise KernelHang(locks, self.stack(), facts)
