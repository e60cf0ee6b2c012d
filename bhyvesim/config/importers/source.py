"""One file of another program: its lines, and messages that name a place in it."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bhyvesim import limits
from bhyvesim.errors import UsageError
from bhyvesim.units import shorten

STDIN = "<stdin>"

FileSize = Callable[[str], int | None]


class ImportProblem(UsageError):
    """The source cannot be read as what it seems to be: ``file:line: what: expected …``."""

    def __init__(self, source: str, line: int, what: str, expected: str, column: int = 0) -> None:
        place = f"{source}:{line}:{column}" if column else f"{source}:{line}"
        super().__init__(f"{place}: {what}: expected {expected}")


class OwnFile(ImportProblem):
    """A file of this program's own, which another command reads."""


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a file. ``file_size`` gives the size of a ROM's file, or None."""

    name: str
    text: str
    lines: list[str]
    file_size: FileSize

    @property
    def stem(self) -> str | None:
        """The file's name without its last ending; None for standard input."""
        stem = os.path.splitext(os.path.basename(self.name))[0]
        return None if self.name == STDIN or not stem else stem

    def problem(self, line: int, what: str, expected: str, column: int = 0) -> ImportProblem:
        """An ImportProblem at *line*, counted from 1."""
        return ImportProblem(self.name, line, what, expected, column)

    def said(self) -> Iterator[tuple[int, str]]:
        """The lines, with their numbers, that are neither blank nor a comment."""
        for number, line in enumerate(self.lines, start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                yield number, line


def tolerant(data: bytes, name: str) -> Source:
    """The text of *data*, whatever stands in it, for a reader that minds. Raises ImportProblem."""
    if len(data) > limits.FOREIGN.most:
        raise ImportProblem(name, 1, f"over {limits.FOREIGN.most} bytes", "a smaller file")
    text = data.decode("utf-8", "replace")
    return Source(name, text, text.split("\n"), lambda _: None)


def decode(data: bytes, name: str, file_size: FileSize) -> Source:
    """The text of *data*, which may end its lines as Windows does. Raises ImportProblem."""
    if len(data) > limits.FOREIGN.most:
        raise ImportProblem(name, 1, f"over {limits.FOREIGN.most} bytes", "a smaller file")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ImportProblem(name, 1, "text in UTF-16", "text in UTF-8")
    lines = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        # bhyvectl itself prints one NUL, in front of the flags of a map.
        raw = raw.rstrip(b"\r").replace(b"   \0", b"   ")
        if b"\0" in raw:
            raise ImportProblem(name, number, "a binary file (it holds a NUL)", "a text file")
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise ImportProblem(name, number, "not UTF-8", "text in UTF-8") from None
        odd = next((c for c in line if unicodedata.category(c) == "Cc" and c != "\t"), None)
        if odd is not None:
            raise ImportProblem(name, number, f"the character {shorten(odd)}", "printable text")
        lines.append(line)
    return Source(name, "\n".join(lines), lines, file_size)
