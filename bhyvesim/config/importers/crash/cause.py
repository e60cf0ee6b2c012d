"""Which known cause a crash has: by what was asserted and by the functions, never by lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from bhyvesim.config.importers.crash.reader import Crash
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.kernel.revisions.revision import Revision
from bhyvesim.kernel.revisions.stops import Stop

_ASSERTION = "assertionfailed:"
# What may follow the expression: the values on both sides, then the place.
_VALUES = re.compile(
    r"\((?P<left>0x[0-9a-f]{1,16})(?:<=|==|>=|!=|<|>)(?P<right>0x[0-9a-f]{1,16})\)"
)
_AFTER = re.compile(r"\(|,?file:|,|$")
_PANICKING = ("vpanic", "assfail", "assfail3")
_STUCK = re.compile(r"deadman|\bNMI\b|forced|hung|watchdog", re.IGNORECASE)


class Known(NamedTuple):
    """A known cause, and the revisions that come to it with such a stack.

    ``values`` are those of an assertion, left and right, where the message has them whole.
    ``doubt`` says what speaks for it only in part; empty where nothing is in doubt.
    """

    stop: Stop
    revisions: tuple[str, ...]
    values: tuple[int, int] | None
    doubt: str

    @property
    def had(self) -> tuple[str, ...]:
        """All revisions that have it, whatever the stack."""
        return tuple(name for name, r in REVISIONS.items() if _has_stop(r, self.stop))


def cause_of(crash: Crash) -> Known | None:
    """The known cause of *crash*; None where none fits."""
    functions = driver_functions(crash)
    for said in _readings(crash):
        for stop in _stops():
            rest = _rest(said, stop)
            if rest is not None:
                return _known(stop, functions, _values(rest), "")
    return _by_function(crash, functions)


def driver_functions(crash: Crash) -> tuple[str, ...]:
    """Those of the stack's functions that some revision has in the driver, innermost first."""
    known = {f.name for r in REVISIONS.values() for f in r.functions.values() if f.module == "vmm"}
    return tuple(dict.fromkeys(f.function for f in crash.frames if f.function in known))


def _readings(crash: Crash) -> Iterator[str]:
    """The message without blanks, with and without the lines that may belong to it."""
    for count in range(len(crash.parts), 0, -1):
        yield "".join("".join(crash.parts[:count]).split())


def _stops() -> list[Stop]:
    return list({stop.name: stop for r in REVISIONS.values() for stop in r.stops}.values())


def _rest(said: str, stop: Stop) -> str | None:
    """What follows the assertion of *stop* in the message; None where it is another one."""
    claim = _ASSERTION + "".join(stop.claim.split())
    if not stop.claim or not said.startswith(claim):
        return None
    rest = said[len(claim) :]
    return rest if _AFTER.match(rest) else None


def _values(rest: str) -> tuple[int, int] | None:
    match = _VALUES.match(rest)
    return None if match is None else (int(match["left"], 16), int(match["right"], 16))


def _known(
    stop: Stop, functions: tuple[str, ...], values: tuple[int, int] | None, doubt: str
) -> Known | None:
    """The cause, unless every revision that has it lacks some function of the stack."""
    revisions = tuple(
        name
        for name, revision in REVISIONS.items()
        if _has_stop(revision, stop) and all(f in revision.functions for f in functions)
    )
    if functions and stop.function not in functions and not doubt:
        doubt = f"the stack does not show {stop.function}: it may have been cut"
    return Known(stop, revisions, values, doubt) if revisions else None


def _has_stop(revision: Revision, stop: Stop) -> bool:
    return any(one.name == stop.name for one in revision.stops)


def _by_function(crash: Crash, functions: tuple[str, ...]) -> Known | None:
    """Where no assertion is named: the innermost function of the driver may tell."""
    if not functions:
        return None
    stop = next((s for s in _stops() if s.function == functions[0]), None)
    if stop is None:
        return None
    if not stop.claim:
        stuck = not crash.message or _STUCK.search(crash.message)
        return _known(stop, functions, None, "no message names a hang") if stuck else None
    if any(part.strip() for part in crash.parts) and not _is_cut(crash, stop):
        return None
    if not any(frame.function in _PANICKING for frame in crash.frames):
        return None
    return _known(stop, functions, None, "the assertion is not there: the function alone tells")


def _is_cut(crash: Crash, stop: Stop) -> bool:
    """Whether the message is the beginning of that stop's."""
    said = "".join(crash.message.split())
    return (_ASSERTION + "".join(stop.claim.split())).startswith(said)
