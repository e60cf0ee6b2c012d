"""Another implementation, as a process that is told a line and answers with one.

Whatever it does, nobody here waits for it longer than was agreed, keeps more of what it says
than a few lines, or leaves it or its children behind.
"""

from __future__ import annotations

import json
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any, NoReturn

from bhyvesim.errors import BadValue, UsageError
from bhyvesim.text import clean

MAX_LINE = 4 << 20  # bytes of an answer, where nothing longer is expected
_CHUNK = 1 << 16
_LINES = 8  # that are kept of each stream
_WIDTH = 200  # characters of each
_KEPT = _LINES * _WIDTH * 4  # bytes of the stream of errors: no character takes more than four
_MOMENT = 0.5  # seconds for what should take none: an end, and what was said before it


class PeerFailed(Exception):
    """It gave no answer: it ``died``, ``hung`` or talks ``nonsense``; *problem* says how.

    *said* and *complaints* are the last lines of its output and of its errors.
    """

    def __init__(
        self, kind: str, problem: str, said: tuple[str, ...], complaints: tuple[str, ...]
    ) -> None:
        super().__init__(problem)
        self.kind = kind
        self.problem = problem
        self.said = said
        self.complaints = complaints


def parse_command(text: str) -> tuple[str, ...]:
    """The words of a command, as a shell would split them. Raises BadValue."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise BadValue(str(error).lower(), "a command") from None
    if not words:
        raise BadValue("nothing", "a command")
    return words


class Peer:
    """A process of *command*, which has *timeout* seconds for each answer."""

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self._timeout = timeout
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"{clean(command[0])}: {reason}: expected a program") from None
        self._heard = bytearray()  # of its output, and not yet taken as an answer
        self._answers: deque[bytes] = deque(maxlen=_LINES)
        self._complaints = bytearray()
        self._pending = memoryview(b"")  # what it has not taken yet
        self._ended = False  # it says no more
        self.failed = False
        self._selector = selectors.DefaultSelector()
        for stream in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(stream.fileno(), False)
        for stream in (self._stdout, self._stderr):
            self._selector.register(stream, selectors.EVENT_READ)

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def _stderr(self) -> IO[bytes]:
        assert self._process.stderr is not None
        return self._process.stderr

    def ask(self, record: dict[str, Any], most: int = MAX_LINE) -> dict[str, Any]:
        """What it answers to *record*, in no more than *most* bytes. Raises PeerFailed."""
        self._turn(0)
        if self._heard:
            self._fail("nonsense", "a line that nobody asked for")
        self._tell(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        line = self._line(most)
        self._answers.append(line[:_KEPT])
        return self._object(line)

    def close(self) -> None:
        """End it: by the end of its input, or by force; and whatever it started."""
        with suppress(OSError):
            self._stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if self.failed else _MOMENT)
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # nothing hurries what a kernel holds up
            self._process.wait(_MOMENT)
        self._selector.close()
        self._stdout.close()
        self._stderr.close()

    def _tell(self, line: bytes) -> None:
        self._pending = memoryview(line)
        if not self._stdin.closed and self._stdin not in self._selector.get_map():
            self._selector.register(self._stdin, selectors.EVENT_WRITE)

    def _line(self, most: int) -> bytes:
        """The next line of its output."""
        until = time.monotonic() + self._timeout
        seen = 0
        while (end := self._heard.find(b"\n", seen)) < 0 and len(self._heard) <= most:
            seen = len(self._heard)
            if self._ended:
                self._fail("died", self._death())
            left = until - time.monotonic()
            self._turn(max(left, 0))  # once more when the time is over: it may be we who slept
            if left <= 0 and b"\n" not in self._heard[seen:]:
                self._fail("hung", f"no answer within {self._timeout:g} s")
        if not 0 <= end <= most:
            self._fail("nonsense", f"a line of more than {most} bytes")
        line = bytes(self._heard[:end])
        del self._heard[: end + 1]
        return line

    def _turn(self, seconds: float) -> None:
        """Read and write what can be, once; wait so long for that."""
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._stdin:
                self._write()
            elif key.fileobj is self._stdout:
                self._heard += self._read(self._stdout)
            else:
                self._complaints += self._read(self._stderr)
                del self._complaints[:-_KEPT]

    def _write(self) -> None:
        try:
            self._pending = self._pending[os.write(self._stdin.fileno(), self._pending) :]
        except BlockingIOError:
            return
        except OSError:  # it reads no more; whether it still answers will be seen
            self._selector.unregister(self._stdin)
            with suppress(OSError):
                self._stdin.close()
            return
        if not self._pending:
            self._selector.unregister(self._stdin)

    def _read(self, stream: IO[bytes]) -> bytes:
        try:
            got = os.read(stream.fileno(), _CHUNK)
        except BlockingIOError:
            return b""
        if not got:
            self._selector.unregister(stream)
            self._ended |= stream is self._stdout
        return got

    def _object(self, line: bytes) -> dict[str, Any]:
        """*line* as JSON; whatever else it is, is nonsense."""
        try:
            answer = json.loads(line.decode("utf-8"), parse_constant=_no_number)
        except (ValueError, RecursionError):
            self._fail("nonsense", f"no JSON: {_shown(line)}")
        if not isinstance(answer, dict):
            self._fail("nonsense", f"no JSON object: {_shown(line)}")
        return answer

    def _fail(self, kind: str, problem: str) -> NoReturn:
        self.failed = True
        if self._process.poll() is not None:
            self._hear_the_end()
        rest = [bytes(self._heard[:_KEPT])] if self._heard else []
        said = [line for part in (*self._answers, *rest) for line in part.splitlines()]
        raise PeerFailed(kind, problem, _last(said), _last(bytes(self._complaints).splitlines()))

    def _hear_the_end(self) -> None:
        """All errors of a process that is no more; should others have its pipe, not for long."""
        until = time.monotonic() + _MOMENT
        while self._stderr in self._selector.get_map() and time.monotonic() < until:
            self._turn(max(until - time.monotonic(), 0))

    def _death(self) -> str:
        """What became of a process that says no more."""
        try:
            status = self._process.wait(_MOMENT)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        if status >= 0:
            return f"it ended with status {status}"
        names = {int(number): number.name for number in signal.Signals}
        return f"it was killed by {names.get(-status, f'signal {-status}')}"


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _last(lines: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(map(_shown, lines[-_LINES:]))


def _shown(line: bytes) -> str:
    return clean(line[: _WIDTH * 4].decode("utf-8", "replace"), _WIDTH)
