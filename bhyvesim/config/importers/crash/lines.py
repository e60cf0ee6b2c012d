"""Lines of a log, a terminal or a mail, without what stands around the words of the kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from bhyvesim import limits
from bhyvesim.config.importers.source import ImportProblem

MAX_LINE = 8192  # bytes; what a longer line has after them is left out

# A line without any of these tells nothing of a crash, unless the line before waits for it.
SIGN = re.compile(
    rb"panic|assertion failed|\+(?:0x)?[0-9a-f]{1,8} ?\(|Address +Length|ID +Length|\(\) at |"
    rb"Call Trace|KDB: |RIP: |BUG: |db> |Oops|#\d+ +0x|operating system:"
)
_TERMINAL = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]|\x1b[()][AB0-2]|\x00")
_UNFIT = re.compile(r"[\x01-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff]")
_SYSLOG = re.compile(
    r"(?:[\w./-]{1,100}:(?:\d{1,9}:)?)?"  # what grep puts in front
    r"(?:(?:<\d{1,3}>)?(?:1 )?\d{4}-\d\d-\d\dT[\d:.+Z-]{5,30}"
    r"|[A-Z][a-z]{2} [ \d]\d(?: \d{4})? \d\d:\d\d:\d\d) +"
    r"[\w.:-]{1,255}(?: +|$)"  # the host
    r"(?:[\w./-]{1,60}(?:\[\d{1,9}\])?: ?(?=\[ID |$|\S+ |panic))?"
    r"(?:\[ID \d{1,9} [\w.]{1,40}\] ?)?"
)
_STAMP = re.compile(r"\[[\d:.TZ -]{5,40}\] +")
_PROMPT = re.compile(r"(?:(?:\[\d{1,4}\]|k?mdb)?>[> ]*)+")


def plain(line: str) -> str:
    """*line* without escapes, syslog's prefix, time stamps, prompts and marks of quotation."""
    text = _UNFIT.sub(" ", _TERMINAL.sub("", line)).strip()
    for prefix in (_PROMPT, _SYSLOG, _STAMP, _PROMPT):
        match = prefix.match(text)
        if match is not None:
            text = text[match.end() :].lstrip()
    return text


def lines_of(stream: BinaryIO, source: str) -> Iterator[bytes]:
    """The lines of *stream*, one at a time, none of them longer than MAX_LINE.

    Raises ImportProblem for a stream that is too long.
    """
    number, taken = 1, 0
    whole = True  # what was read last; not the first part of a long line
    while line := stream.readline(MAX_LINE):
        if whole:
            yield line
        whole = len(line) < MAX_LINE or line.endswith(b"\n")
        number += whole
        taken += len(line)
        if taken > limits.CONSOLE.most:
            raise ImportProblem(source, number, "a longer text", str(limits.CONSOLE))
