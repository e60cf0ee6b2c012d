"""Which cells failed when they were last run: a file in the state folder, a line a cell."""

from __future__ import annotations

import json
import os

from bhyvesim.cli.files import write_whole
from bhyvesim.cli.session import Session
from bhyvesim.errors import UsageError

FILE_NAME = "last-failed.jsonl"
_MOST = 10_000  # cells


class LastFailed:
    """What is remembered in *folder*; what cannot be read there is taken for nothing."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, FILE_NAME)
        self._before = _read(self._path)
        self._cells = dict(self._before)

    def files(self) -> list[str]:
        """The scenarios in which something failed. Raises UsageError where nothing did."""
        files = list(dict.fromkeys(path for path, _ in self._cells))
        if not files:
            raise UsageError("no failure is remembered: run FILES-OR-FOLDERS first")
        return files

    def has(self, source: str, cell: str) -> bool:
        """Whether the *cell* of the scenario in *source* failed."""
        return (os.path.abspath(source), cell) in self._cells

    def note(self, source: str, cell: str, *, failed: bool) -> None:
        """What has become of a cell."""
        key = os.path.abspath(source), cell
        if failed:
            self._cells[key] = None
        else:
            self._cells.pop(key, None)

    def keep(self, session: Session) -> None:
        """Write it down. A run that nobody could write down is as good as any other."""
        if self._cells == self._before:
            return
        lines = [json.dumps(key) for key in list(self._cells)[-_MOST:]]
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            write_whole(self._path, "".join(f"{line}\n" for line in lines).encode())
        except (OSError, UsageError) as error:
            session.detail(f"what failed is not remembered: {error}")


def _read(path: str) -> dict[tuple[str, str], None]:
    try:
        with open(path, encoding="utf-8") as file:
            found = [json.loads(line) for line in file]
        return {(str(source), str(cell)): None for source, cell in found}
    except (OSError, ValueError, TypeError):
        return {}
