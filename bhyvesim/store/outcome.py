"""What an error of the state file means: what to say of it, and whether anything was written."""

from __future__ import annotations

import os
import sqlite3

NOTHING = "nothing was written"
EARLIER = "what the command wrote before stays"
WRITTEN = "what the command did was written all the same"
UNKNOWN = "whether anything was written is not known: look with 'bhyvesim list'"

# A COMMIT deletes the journal, and has happened. Before, it can be undone; what follows gives
# locks back. Source: SQLite, pager.c, pager_end_transaction(); os_unix.c, posixUnlock().
_BEFORE = (
    "SQLITE_BUSY",
    "SQLITE_CANTOPEN",
    "SQLITE_FULL",
    "SQLITE_IOERR_CORRUPTFS",
    "SQLITE_IOERR_FSTAT",
    "SQLITE_IOERR_FSYNC",
    "SQLITE_IOERR_LOCK",
    "SQLITE_IOERR_READ",
    "SQLITE_IOERR_SHORT_READ",
    "SQLITE_IOERR_WRITE",
    "SQLITE_READONLY",
)
_AFTER = ("SQLITE_IOERR_RDLOCK", "SQLITE_IOERR_UNLOCK")


def after_commit(db: sqlite3.Connection, error: sqlite3.Error, path: str) -> str:
    """What is known of the writes when the COMMIT of the file *path* has failed."""
    name = _name(error)
    if name.startswith(_AFTER):
        return WRITTEN
    # A journal that is still there is undone by whoever opens the file next.
    undone = db.in_transaction or os.path.lexists(os.path.realpath(path) + "-journal")
    return NOTHING if undone or name.startswith(_BEFORE) else UNKNOWN


def complaint(error: sqlite3.Error, path: str, wait_seconds: float) -> str:
    """What is wrong with the file *path*, for which SQLite waited *wait_seconds* at most."""
    if is_busy(error):
        return f"{path} was in use by another command for {wait_seconds:g} s"
    if is_damage(error):
        return f"{path} is damaged ({error}): move it away to start anew"
    return f"{path} cannot be used: {error}"


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else has the lock that was asked for."""
    return _name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk is."""
    return _name(error).startswith("SQLITE_FULL")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is not as SQLite wrote it."""
    return _name(error).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", "")  # none where sqlite3 itself complains
