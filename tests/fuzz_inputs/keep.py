"""Which of the many inputs that fuzzing leaves are worth keeping: those that reach new lines."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from types import FrameType

from tests.conftest import ROOT
from tests.fuzz_inputs.targets import HERE, TARGETS, accepts, kept

_OURS = str(ROOT / "bhyvesim")
_LONGEST = 2000  # bytes of an input that is kept

Lines = set[tuple[str, int]]


def keep(name: str, new: Path, most: int) -> int:
    """Copy at most *most* of the inputs in *new* to the corpus of *name*; how many there were."""
    reached: Lines = set()
    for data in (*TARGETS[name].begin(), *kept(name)):
        reached |= lines_of(name, data)
    files = sorted(new.glob("*"), key=lambda path: (path.stat().st_size, path.name))
    copied = 0
    for data in _small(files):
        more = lines_of(name, data) - reached
        if more and copied < most:
            reached |= more
            folder = HERE / "corpus" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / sha256(data).hexdigest()[:12]).write_bytes(data)
            copied += 1
    return copied


def _small(files: Iterable[Path]) -> Iterable[bytes]:
    return (path.read_bytes() for path in files if path.stat().st_size <= _LONGEST)


def lines_of(name: str, data: bytes) -> Lines:
    """The lines of our code that *data* reaches."""
    reached: Lines = set()

    def look(frame: FrameType, event: str, argument: object) -> object:
        if not frame.f_code.co_filename.startswith(_OURS):
            return None
        reached.add((frame.f_code.co_filename, frame.f_lineno))
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        accepts(name, data)
    finally:
        sys.settrace(before)
    return reached
