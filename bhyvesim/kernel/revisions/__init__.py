"""The table of kernel revisions, oldest first. Adding one: a file here, and a row below.

One that stands in a file of somebody else's is added while the program runs (:func:`add`).
"""

from __future__ import annotations

from bhyvesim.errors import BadValue
from bhyvesim.kernel.revisions import (
    closed_13932,
    counted_14367,
    current_2025,
    half_open_14042,
    levels_15844,
    populated_13896,
)
from bhyvesim.kernel.revisions.revision import Revision
from bhyvesim.units import shorten

REVISIONS: dict[str, Revision] = {
    revision.name: revision
    for revision in (
        closed_13932.REVISION,
        half_open_14042.REVISION,
        populated_13896.REVISION,
        counted_14367.REVISION,
        levels_15844.REVISION,
        current_2025.REVISION,
    )
}
NEWEST = next(reversed(REVISIONS))


class UnknownRevision(BadValue):
    """A revision that no row has, or another of the same name."""


def known(name: str, digest: str = "") -> Revision:
    """The revision *name*; of one from a file, only if *digest* is the file's.

    Raises UnknownRevision.
    """
    revision = REVISIONS.get(name)
    if revision is not None and revision.digest == digest:
        return revision
    if digest:
        problem = "is not known here" if revision is None else "is another one here"
        raise UnknownRevision(
            f"revision {shorten(name)} {problem}",
            f"--revision-file with the file of SHA-256 {digest[:16]}…",
        )
    raise UnknownRevision(f"{name!r} is not a revision", f"one of {', '.join(REVISIONS)}")


def add(revision: Revision) -> None:
    """Put a row below the others. Raises BadValue where its name is another's."""
    there = REVISIONS.get(revision.name)
    if there is not None and there.digest != revision.digest:
        raise BadValue(f"there is a revision {revision.name!r} already", "a name of its own")
    REVISIONS[revision.name] = revision


def panics() -> dict[str, str]:
    """The functions in which kernels panic, by the letter of the panic."""
    return {
        stop.letter: stop.function for r in REVISIONS.values() for stop in r.stops if stop.letter
    }


def hanging() -> list[str]:
    """The functions that can loop for ever."""
    found = [stop.function for r in REVISIONS.values() for stop in r.stops if not stop.letter]
    return list(dict.fromkeys(found))


__all__ = ["NEWEST", "REVISIONS", "Revision", "UnknownRevision", "known"]
