"""What the D script printed, read: the calls of each VM, and what of them is lost.

Lines are numbered by thread and VM, and counted at the end: a line that is missing is missed,
if not at once. From where on a VM is unknown is therefore certain only when all is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeGuard

from bhyvesim import limits
from bhyvesim.errors import BadValue
from bhyvesim.kernel.functions import Function
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.ops import live
from bhyvesim.units import U64_END, shorten

_LONGEST_NAME = 127
_WHAT = "a line as the script of 'bhyvesim record' prints it"
_HEAD = ("vm", "pid", "tid", "n", "t", "fn")
_DROPS = re.compile(r"dtrace: (?P<count>\d+) (?P<kind>[a-z ]*?)drops?\b")
_FAILED = "dtrace: error on enabled probe"
_BEGINNING = re.compile(r'\{"vm":"(?P<vm>[0-9a-f]{1,16})"', re.ASCII)
_VM = re.compile(r"[0-9a-f]{1,16}", re.ASCII)

_Thread = tuple[str, int, int]  # of a VM: its address, and the thread's process and number


class Call(NamedTuple):
    """A call and its answer: the line of the answer, what was called, and with what."""

    line: int
    function: str
    arguments: dict[str, int]
    answer: int


class Life:
    """One VM of a recording, from its creation to its end.

    From ``unknown_from`` on (a line) nothing is certain of it, and ``why``; None: all is known.
    ``under_way``: the call that had not come back at the end, and after which nothing came.
    """

    def __init__(self, vm: str, name: str, first: int) -> None:
        self.vm = vm
        self.name = name
        self.flags = 0
        self.first = self.last = first
        self.ended = False
        self.ending = False  # its end has begun: whoever has its address next, it has come to it
        self.unknown_from: int | None = None
        self.why = ""
        self.under_way: Call | None = None

    def doubt(self, line: int, why: str) -> None:
        """Nothing is certain of it from *line* on; the earliest doubt is kept."""
        line = max(line, self.first)
        if self.unknown_from is None or line < self.unknown_from:
            self.unknown_from, self.why = line, why


class _Seen:
    """What was last seen of a thread's calls on a VM."""

    __slots__ = ("line", "n", "pending")

    def __init__(self) -> None:
        self.n = 0
        self.line = 0
        self.pending: _Pending | None = None


class Reader:
    """Reads a recording line by line; see :meth:`read` and :meth:`finish`."""

    def __init__(self) -> None:
        self.lives: list[Life] = []
        self.notes: list[str] = []
        self.lines = 0  # that are the script's
        self._functions = live.functions(n for n, r in REVISIONS.items() if not r.digest)
        self._current: dict[str, Life] = {}
        self._of: dict[str, list[Life]] = {}
        self._threads: dict[_Thread, _Seen] = {}
        self._times: dict[str, int] = {}
        self._totals: dict[_Thread, int] = {}
        self._begun = self._ended = False
        self._foreign = self._missing = self._dropped = 0
        self._dropped_at = 0  # where that was first said
        self._unreliable = False
        self._line = 0

    def read(self, number: int, text: str) -> Iterator[tuple[Life, Call]]:
        """The calls that line *number* completes. Raises BadValue where it is no such line."""
        self._line = number
        text = text.strip()
        if text.startswith("{"):
            record = _object(text)
            if record is None:
                self._damaged(text)
            else:
                yield from self._object(record)
                self.lines += 1
        elif text.startswith("dtrace: "):
            self._said(text)
        elif text:
            self._foreign += 1
            if not self.lines and self._foreign > 1:
                raise BadValue(f"{shorten(text)} is something else", _WHAT)

    def _object(self, record: dict[str, Any]) -> Iterator[tuple[Life, Call]]:
        if self._ended:
            raise BadValue("a line after the last one", "one recording")
        if "live" in record:
            self._about(record)
            return
        told = _told(record, self._functions)
        life = self._created(told) or self._life(told.thread[0])
        seen = self._numbered(told)
        self._in_time(life, told.time)
        life.last = self._line
        if told.function != live.CREATE:
            yield from self._paired(life, seen, told)

    def _about(self, record: dict[str, Any]) -> None:
        """The first line, the counts and the last line are of the recording itself."""
        what, lines = record["live"], record.get("lines")
        if what == live.FORMAT and not self._begun and not self.lines:
            self._begun = True
            if record.get("faults") == 0:
                self.notes.append("it was made without guest faults")
        elif what == "end":
            self._ended = True
        elif what == "lines" and _is_number(lines):
            self._totals[_thread(record)] = lines
            self._bounded(len(self._totals))
        elif type(what) is int and what != live.FORMAT:
            raise BadValue(f"lines of format {what}", f"format {live.FORMAT}")
        else:
            raise BadValue("another recording begins", _WHAT)

    def _created(self, told: _Told) -> Life | None:
        """The VM that *told* creates; None where it tells of something else."""
        if told.function != live.CREATE:
            return None
        before = self._current.get(told.thread[0])
        if before is not None and not before.ended:
            if not before.ending:
                before.doubt(before.last + 1, "its end is not recorded")
            before.ended = True
        life = self._begin(told.thread[0], told.name)
        life.flags = told.arguments["flags"]
        return life

    def _life(self, vm: str) -> Life:
        life = self._current.get(vm)
        if life is None or life.ended:
            life = self._begin(vm, "?")
            life.doubt(self._line, "its creation is not recorded")
        return life

    def _begin(self, vm: str, name: str) -> Life:
        if len(self.lives) >= limits.LIVE_VMS.most:
            raise BadValue("too many VMs", str(limits.LIVE_VMS))
        life = Life(vm, name, self._line)
        self.lives.append(life)
        self._of.setdefault(vm, []).append(life)
        self._current[vm] = life
        return life

    def _numbered(self, told: _Told) -> _Seen:
        """Each line of a thread about a VM has the next number; a gap is what is lost."""
        seen = self._threads.setdefault(told.thread, _Seen())
        self._bounded(len(self._threads))
        lost = told.n - seen.n - 1
        if lost > 0:
            self._gap(told.thread[0], seen, lost)
        elif lost < 0:
            self._doubt_all(told.thread[0], "its lines are not numbered one by one")
        seen.n, seen.line = told.n, self._line
        return seen

    def _gap(self, vm: str, seen: _Seen, lost: int) -> None:
        self._missing += lost
        for life in self._of.get(vm, ()):
            if life.last > seen.line or not life.ended:
                life.doubt(seen.line + 1, f"{_lines(lost)} of it lost")

    def _doubt_all(self, vm: str, why: str) -> None:
        for life in self._of.get(vm, ()):
            life.doubt(life.first, why)

    def _in_time(self, life: Life, time: int) -> None:
        if time < self._times.get(life.vm, 0):
            life.doubt(life.first, "its lines are not in the order of time")
        self._times[life.vm] = time

    def _paired(self, life: Life, seen: _Seen, told: _Told) -> Iterator[tuple[Life, Call]]:
        """The call that *told* completes, if it does."""
        if told.whole:
            assert told.answer is not None
            yield life, Call(self._line, told.function, told.arguments, told.answer)
            return
        pending, seen.pending = seen.pending, None
        if told.answer is None:
            if pending is not None and (
                pending.life is life or pending.told.function != live.DESTROY
            ):
                pending.life.doubt(pending.line + 1, f"{pending.told.function} has no answer")
            seen.pending = _Pending(life, self._line, told)
            life.ending = told.function == live.DESTROY
        elif pending is None or pending.told.function != told.function:
            life.doubt(self._line, f"an answer of {told.function} that was not called")
        else:
            life = pending.life  # whose address may be another's by now
            life.ended |= told.function == live.DESTROY
            yield life, Call(self._line, told.function, pending.told.arguments, told.answer)

    def _damaged(self, text: str) -> None:
        """A line is cut or damaged; mostly it can be read of which VM it was."""
        self._missing -= 1  # the gap is none that dtrace reports
        began = _BEGINNING.match(text)
        lives = self.lives if began is None else self._of.get(began["vm"], [])
        for life in lives:
            if not life.ended:
                life.doubt(self._line, "a line is damaged")

    def _said(self, text: str) -> None:
        """dtrace itself says something."""
        drops = _DROPS.match(text)
        if drops is not None:
            self._lost(int(drops["count"]), reliable=not drops["kind"])
        elif text.startswith(_FAILED):
            self._lost(1)

    def _lost(self, lines: int, *, reliable: bool = True) -> None:
        """So many lines are lost, it cannot be told which; not *reliable*: nor are the numbers."""
        self._dropped += lines
        self._dropped_at = self._dropped_at or self._line
        self._unreliable |= not reliable

    def _bounded(self, threads: int) -> None:
        if threads > limits.LIVE_THREADS.most:
            raise BadValue("too many threads", str(limits.LIVE_THREADS))

    def finish(self) -> None:
        """All is read: what is missing at the end shows. Raises BadValue if nothing was there."""
        if not self.lines:
            raise BadValue("no line of a recording is in it", _WHAT)
        if not self._begun:
            self.notes.append("its first line is missing")
        if self._foreign:
            self.notes.append(f"{_lines(self._foreign)} of something else in it")
        if self._ended:
            self._compare_totals()
        else:
            self.notes.append("it has no last line: it was cut off, or dtrace or the host ended")
        self._without_answer()
        self._dropped_somewhere()
        for life in self.lives:
            if not self._ended and not life.ended:
                life.doubt(self._line + 1, "the recording has no end")

    def _compare_totals(self) -> None:
        for thread, total in self._totals.items():
            seen = self._threads.get(thread, _Seen())
            if total > seen.n:
                if thread[0] not in self._of:
                    self._life(thread[0])
                self._gap(thread[0], seen, total - seen.n)
        for thread, seen in self._threads.items():
            if self._totals.get(thread, 0) < seen.n:
                self._doubt_all(thread[0], "its lines were not counted")

    def _without_answer(self) -> None:
        for seen in self._threads.values():
            if seen.pending is None:
                continue
            life, line, told = seen.pending
            if life.last > line:
                life.doubt(line + 1, f"{told.function} has no answer")
            elif not life.ended:
                life.under_way = Call(line, told.function, told.arguments, 0)

    def _dropped_somewhere(self) -> None:
        """Losses that dtrace reports, or that show, but that no number tells the place of."""
        if self._unreliable or (self._dropped and not self._ended):
            for life in self.lives:
                life.doubt(life.first, "dtrace lost lines, it cannot be told where")
        elif (more := self._dropped - max(self._missing, 0)) > 0:
            for life in self.lives:
                if not life.ended or life.last > self._dropped_at:
                    life.doubt(self._dropped_at, f"{_lines(more)} lost, it cannot be told which")


class _Told(NamedTuple):
    """What one line tells: a call, its answer, or both (*whole*)."""

    thread: _Thread
    n: int
    time: int
    function: str
    arguments: dict[str, int]
    answer: int | None
    whole: bool
    name: str = ""


class _Pending(NamedTuple):
    """A call whose answer is yet to come, and the line of it."""

    life: Life
    line: int
    told: _Told


def _told(record: dict[str, Any], functions: Mapping[str, Function]) -> _Told:
    """The line *record*. Raises BadValue where it is of another shape."""
    missing = next((key for key in _HEAD if key not in record), None)
    if missing is not None:
        raise BadValue(f'"{missing}" is missing', _WHAT)
    function, answer = record["fn"], record.get("ret")
    rest = {key: value for key, value in record.items() if key not in (*_HEAD, "ret")}
    name = ""
    if function == live.CREATE:
        name, whole, wanted = rest.pop("name", None), True, {"flags"}
    elif isinstance(function, str) and function in functions:
        recorded = live.RECORDED[function]
        whole = recorded.fault
        wanted = set(recorded.arguments(functions[function]))
    else:
        raise BadValue(f"{shorten(json.dumps(function))} is no function of these", _WHAT)
    if answer is not None and not whole:
        wanted = set()
    numbers = (record["n"], record["t"], *rest.values(), *([] if answer is None else [answer]))
    right = rest.keys() == wanted and (answer is not None or not whole)
    if (
        not right
        or not isinstance(name, str)
        or len(name) > _LONGEST_NAME
        or not all(map(_is_number, numbers))
    ):
        raise BadValue(f"{function} is told in another way", _WHAT)
    return _Told(_thread(record), record["n"], record["t"], function, rest, answer, whole, name)


def _thread(record: dict[str, Any]) -> _Thread:
    vm, pid, tid = (record.get(key) for key in ("vm", "pid", "tid"))
    if not isinstance(vm, str) or not _VM.fullmatch(vm):
        raise BadValue('"vm" is no address', _WHAT)
    if not _is_number(pid) or not _is_number(tid):
        raise BadValue('"pid" or "tid" is no number', _WHAT)
    return vm, pid, tid


def _is_number(value: Any) -> TypeGuard[int]:
    return type(value) is int and -(U64_END >> 1) <= value < U64_END


def _lines(count: int) -> str:
    return f"{count} line{'s' * (count != 1)}"


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object *text*; None where it is cut or damaged."""
    try:
        record = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
