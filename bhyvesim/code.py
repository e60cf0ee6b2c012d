"""What this program is, to the byte: which code a result came from."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from bhyvesim import __version__


def made_by() -> dict[str, str]:
    """Who can go on with work that is under way: its seeds and hashes mean nothing to others."""
    return {"version": __version__, "engine": digest(), "search": digest("explore")}


@cache
def digest(room: str = "kernel") -> str:
    """SHA-256, hex, of the Python files of one room of this package, by name."""
    total = hashlib.sha256()
    for name, text in sorted(_sources(files("bhyvesim") / room, room)):
        total.update(b"%s %d\n" % (name.encode(), len(text)))
        total.update(text)
    return total.hexdigest()


def _sources(folder: Traversable, name: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        inside = f"{name}/{entry.name}"
        if entry.is_dir():
            found += _sources(entry, inside)
        elif entry.name.endswith(".py"):
            found.append((inside, entry.read_bytes()))
    return found
