"""Calls inside the kernel in Chrome's trace format, which Perfetto opens."""

from __future__ import annotations

from typing import Any, NamedTuple

from bhyvesim.kernel.calls import Firing
from bhyvesim.report.trace import Tracer, Write, json_line
from bhyvesim.trace.select import Selection


class _Open(NamedTuple):
    """A call under way: when it began, and its entry if that was wanted."""

    time: int
    firing: Firing
    wanted: bool


class Perfetto(Tracer):
    """Chrome's trace format: a call of which entry or return is wanted is a span of time.

    The clock ticks at every firing of the kernel. Calls that a panic cut off end with it.
    """

    def __init__(self, write: Write, selection: Selection) -> None:
        super().__init__(write, selection)
        self._time = 0
        self._open: list[_Open] = []
        self._begun = False
        self._wanted = False

    def heard(self, firing: Firing) -> None:
        self._time += 1
        while len(self._open) > len(firing.stack) + firing.returned:
            self._close(self._open.pop(), None)
        self._wanted = False
        super().heard(firing)
        if not firing.returned:
            self._open.append(_Open(self._time, firing, self._wanted))
        else:
            call = self._open.pop()
            self._close(call._replace(wanted=call.wanted or self._wanted), firing)

    def take(self, firing: Firing) -> None:
        self._wanted = True

    def finish(self) -> None:
        self._time += 1
        while self._open:
            self._close(self._open.pop(), None)
            self._time += 1
        self.write("\n]}\n" if self._begun else '{"traceEvents":[]}\n')

    def _close(self, call: _Open, returned: Firing | None) -> None:
        if not call.wanted:
            return
        firing = call.firing
        args: dict[str, Any] = {**firing.frame.named(), "times": firing.times}
        if returned is None:
            args["returned"] = False
        elif returned.result is not None:
            args["result"] = returned.result
        event = {
            "ph": "X",
            "pid": 1,
            "tid": 1,
            "ts": call.time,
            "dur": self._time - call.time,
            "name": firing.function.name,
            "cat": firing.function.module,
            "args": args,
        }
        self.write(",\n" if self._begun else '{"traceEvents":[\n')
        self.write(json_line(event))
        self._begun = True
