"""Writes docs/pictures/*.svg: what a terminal shows of commands that are worth a picture.

The clock, the zone, the width and the identifiers in the pictures are fixed, so that the same
program makes the same bytes.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from bhyvesim.cli import run

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "pictures"
_VM = ("create", "--config", "configs/testvm-13932.yaml")
_FONT = "ui-monospace, Menlo, Consolas, DejaVu Sans Mono"
_SURROUNDINGS = {
    "SOURCE_DATE_EPOCH": "1630143825",
    "TZ": "UTC",
    "TERM": "xterm-256color",
    **dict.fromkeys(
        ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "BHYVESIM_VM", "BHYVESIM_REVISION_FILE")
    ),
    "GITHUB_ACTIONS": None,
}


class Picture(NamedTuple):
    """Commands, what is done before them unseen, and the columns of the terminal."""

    commands: tuple[tuple[str, ...], ...]
    before: tuple[tuple[str, ...], ...] = ()
    columns: int = 92


PICTURES = {
    "terminal": Picture((_VM, ("reboot",))),
    "panic": Picture(((*_VM, "--replace"),), (_VM,)),
    "memmap": Picture((("--get-memmap",),), (_VM,), 60),
    "matrix": Picture((("matrix", "configs/testvm-13932.yaml"),)),
    "check": Picture((("check", "configs"),)),
    "run": Picture((("run", "docs/pictures/survives.yaml", "--jobs", "1"),)),
}


class _Terminal(io.StringIO):
    """Standard output and error of a command that believes in a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class _Pipe(io.StringIO):
    """Standard error that goes to the same place; but nothing that moves is drawn there."""

    def __init__(self, terminal: _Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def write(self, text: str) -> int:
        return self._terminal.write(text)


def shown(picture: Picture) -> list[str]:
    """What the terminal shows of each command of *picture*, with the codes of its colours."""
    with _surroundings(picture.columns):
        for command in picture.before:
            _printed(command)
        return [_printed(command) for command in picture.commands]


def svg(picture: Picture) -> str:
    """*picture* itself."""
    console = Console(
        file=io.StringIO(),
        record=True,
        width=picture.columns,
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
        _environ={},
    )
    typed = [" ".join(("bhyvesim", *command)) for command in picture.commands]
    for line, output in zip(typed, shown(picture), strict=True):
        console.print(Text(f"$ {line}"))
        console.print(Text.from_ansi(output))
    made = console.export_svg(title=typed[-1], unique_id="bhyvesim")
    # Its fonts would be loaded from elsewhere: the reader has one.
    return re.sub(r"@font-face \{.*?\}\s*", "", made, flags=re.DOTALL).replace("Fira Code", _FONT)


def main(folder: Path = FOLDER) -> None:
    for name, picture in PICTURES.items():
        (folder / f"{name}.svg").write_text(svg(picture), encoding="utf-8")


def _printed(argv: Sequence[str]) -> str:
    streams = sys.stdout, sys.stderr
    terminal = _Terminal()
    moves = argv[0] == "run"  # a bar would be drawn
    sys.stdout, sys.stderr = terminal, _Pipe(terminal) if moves else terminal
    try:
        run(list(argv))
    finally:
        sys.stdout, sys.stderr = streams
    return terminal.getvalue()


@contextmanager
def _surroundings(columns: int) -> Iterator[None]:
    before, here = dict(os.environ), os.getcwd()
    with tempfile.TemporaryDirectory() as state:
        wanted = {**_SURROUNDINGS, "BHYVESIM_STATE_DIR": state, "COLUMNS": str(columns)}
        try:
            os.chdir(ROOT)
            for name, value in wanted.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            time.tzset()
            yield
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)
            time.tzset()


if __name__ == "__main__":
    main()
