"""What a text says of crashes, line by line; how long it is does not matter."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from bhyvesim.config.importers.crash.frames import Called, continues, frame_of, is_bare, is_open
from bhyvesim.config.importers.crash.lines import SIGN, plain
from bhyvesim.config.importers.memmap import MAP_HEADER, SEG_HEADER

MAX_CRASHES, _MAX_FRAMES, _MAX_ROWS, _MAX_PARTS, _MAX_MESSAGE = 100, 200, 200, 3, 1000

_ROW = re.compile(r"[0-9A-Fa-f]{1,16}\s")
_HEADER = re.compile(
    r"panic\[cpu(?P<cpu>\d{1,5})\]/thread=(?P<thread>[0-9a-f]{1,16}):? ?(?P<rest>.*)"
)
_FORMS = (
    ("status", re.compile(r"panic message: ?(?P<rest>.*)")),
    ("fma", re.compile(r"panicstr = ?(?P<rest>.*)")),
    ("savecore", re.compile(r"reboot after panic: ?(?P<rest>.*)")),
)
_STACK = re.compile(r"panicstack = ?(?P<rest>.*)")
# Nothing, or a few words and a colon, may stand before it: in a quotation, it is no panic.
_ASSERTION = re.compile(r"(?:[\w.()\[\] -]{1,60}: *)?(?P<rest>assertion failed: ?.*)")
_WHOLE = re.compile(r", ?file: ?\S+, ?line: ?\d+")
_SYSTEM = re.compile(r"operating system: ?(?P<rest>.*)")
_FIELD = re.compile(
    r"(?:debugging (?:crash|live)|build version:|image uuid:|dump content:|git (?:branch|rev):|"
    r"crashtime =|panic-time =|dumping to |::|\$[cC]|[A-Z][a-z]+: |\w+(?:-\w+)* = )"
)
_FOREIGN = {
    "FreeBSD": re.compile(
        r"KDB: stack backtrace|#\d+ +(?:0x[0-9a-f]+ at |\S{1,200}\([^)]{0,500}\) at /)|^db> |"
        r"\(\) at \w{1,100}\+0x|panic: .{1,500} @ /|cpuid = \d+$|--- trap 0x"
    ),
    "Linux": re.compile(
        r"Kernel panic - not syncing|Call Trace:|RIP: \d{4}:|BUG: (?:unable|kernel|soft)|Oops: "
    ),
}


@dataclass(slots=True)
class Crash:
    """One crash, as far as the text tells of it.

    ``parts`` are the lines of its message: a message that was cut goes on in the next, but
    whether the next belongs to it is not certain.
    """

    line: int
    parts: list[str] = field(default_factory=list)
    message_line: int = 0
    thread: str = ""
    forms: set[str] = field(default_factory=set)
    frames: list[Called] = field(default_factory=list)
    system: str = ""

    @property
    def message(self) -> str:
        """Its message; empty where there is none."""
        return "".join(self.parts[:1])

    @property
    def says_something(self) -> bool:
        return bool(self.parts or self.frames)


class Reader:
    """Takes lines, and keeps what they say of crashes and of one VM's memory map."""

    def __init__(self) -> None:
        self.crashes: list[Crash] = []
        self.more = False  # whether there were too many to keep
        self.rows: list[tuple[int, str]] = []  # of bhyvectl's maps, with their numbers
        self.foreign = ""  # the system whose trace this is
        self.foreign_line = 0
        self._system = ""
        self._number = 0
        self._in_map = False
        self._thread = ""  # that of a panic whose message is to come
        self._waiting = False  # for the message after a panic's first line
        self._guessed = False  # the message is just the line after a panic's first line
        self._joining = False  # the message may go on
        self._open = ""  # a frame whose arguments go on

    def read(self, lines: Iterable[bytes]) -> Reader:
        """Take all of *lines*."""
        for raw in lines:
            self._number += 1
            if self._expects or SIGN.search(raw):
                self._take(plain(raw.decode("utf-8", "replace")))
        self._flush()
        self.crashes = [crash for crash in self.crashes if crash.says_something]
        return self

    @property
    def _expects(self) -> bool:
        return self._in_map or self._waiting or self._joining or bool(self._open)

    def _take(self, text: str) -> None:
        if self._open:
            if continues(text) and len(self._open) < _MAX_MESSAGE:
                self._open += text
                if not is_open(self._open):
                    self._flush()
                return
            self._flush()
        if not (self._map_line(text) or self._panic_line(text) or self._frame_line(text)):
            self._other_line(text)

    def _map_line(self, text: str) -> bool:
        words = tuple(text.split())
        if words in (MAP_HEADER, SEG_HEADER):
            self._in_map = True
        elif not (self._in_map and _ROW.match(text) and not _is_frame(text)):
            self._in_map = self._in_map and not words
            return False
        if len(self.rows) < _MAX_ROWS:
            self.rows.append((self._number, text))
        return True

    def _panic_line(self, text: str) -> bool:
        header = _HEADER.search(text)
        if header is not None:
            self._header(header["thread"], header["rest"])
            return True
        for form, pattern in _FORMS:
            match = pattern.match(text)
            if match is not None:
                self._message(match["rest"], form)
                return True
        stack = _STACK.match(text)
        if stack is not None:
            self._frames(stack["rest"])
            return True
        assertion = _ASSERTION.match(text)
        if assertion is not None:
            self._message(assertion["rest"], "" if self._waiting else "text")
            return True
        return False

    def _header(self, thread: str, rest: str) -> None:
        """A panic of *thread*: of one that has no thread yet, its message will tell."""
        now = self._now
        if now.thread not in ("", thread) or (now.frames and not now.parts):
            self._begin()
        self._thread = thread
        self._joining, self._waiting = False, True
        if rest.strip():
            self._message(rest, "")

    def _message(self, text: str, form: str) -> None:
        """A message, in one of the forms in which a crash has it once; or a copy, without form."""
        self._waiting = False
        text = text.strip()[:_MAX_MESSAGE]
        now = self._now
        if self._guessed and not now.frames:
            now.parts = []
        self._guessed = False
        differs = bool(now.parts) and not _same(now.message, text)
        if differs or (form in ("status", "fma") and form in now.forms):
            self._begin()
            now = self._now
        now.forms.add(form)
        if self._thread:
            now.thread, self._thread = self._thread, ""
        self._joining = not _WHOLE.search(text)
        if not now.parts or (self._joining is False and not _WHOLE.search(now.message)):
            now.parts, now.message_line = [text] if text else [], self._number

    def _frame_line(self, text: str) -> bool:
        frame = frame_of(text, self._number)
        if frame is None:
            if is_bare(text):
                self._joining = self._waiting = False
            return is_bare(text)
        self._joining = self._waiting = False
        if is_open(text):
            self._open = text
        else:
            self._add(frame)
        return True

    def _flush(self) -> None:
        text, self._open = self._open, ""
        frame = frame_of(text, self._number) if text else None
        if frame is not None:
            self._add(frame)

    def _frames(self, text: str) -> None:
        for part in text.split("|"):
            frame = frame_of(part.strip(), self._number)
            if frame is not None:
                self._add(frame)

    def _add(self, frame: Called) -> None:
        if self._thread:  # which has no message
            if self._now.parts:
                self._begin()
            self._now.thread, self._thread = self._thread, ""
        frames = self._now.frames
        if len(frames) < _MAX_FRAMES:
            frames.append(frame)

    def _other_line(self, text: str) -> None:
        if not self.foreign:
            self.foreign = next((os for os, sign in _FOREIGN.items() if sign.search(text)), "")
            self.foreign_line = self._number
        if not text:
            return
        system = _SYSTEM.match(text)
        if system is not None:
            self._system = system["rest"][:200]
            self._joining = self._waiting = False
        elif _FIELD.match(text) and not self._waiting:
            self._joining = False
        elif self._waiting:
            self._message(text, "")
            self._guessed = True
        elif self._joining and len(self._now.parts) < _MAX_PARTS:
            self._now.parts.append(text[:_MAX_MESSAGE])
        else:
            self._joining = False

    @property
    def _now(self) -> Crash:
        if not self.crashes:
            self.crashes.append(Crash(self._number, system=self._system))
        now = self.crashes[-1]
        now.system = now.system or self._system
        return now

    def _begin(self) -> None:
        if len(self.crashes) < MAX_CRASHES:
            self.crashes.append(Crash(self._number, system=self._system))
        else:
            self.more = True
            self.crashes[-1] = Crash(self._number, system=self._system)


def _is_frame(text: str) -> bool:
    return is_bare(text) or frame_of(text, 0) is not None


def _same(one: str, other: str) -> bool:
    """Whether they may be one message, either of which may be cut off."""
    a, b = ("".join(text.split()) for text in (one, other))
    return a.startswith(b) or b.startswith(a)
