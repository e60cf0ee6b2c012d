"""What an error of the state file means: what to say of it, and whether anything was written."""

from __future__ import annotations

import os
import sqlite3

NOTHING = "nothing was written"
EARLIER = "what the command wrote before stays"
WRITTEN = "what the command did was written all the same"
UNKNOWN = "whether anything was written is not known: look with 'bhyvesim list'"

# What reading a damaged file may raise: sqlite3 cannot even say what is wrong where that has to
# be told with bytes of the file that are no UTF-8.
UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)

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


def after_commit(db: sqlite3.Connection, error: Exception, path: str) -> str:
    """What is known of the writes when the COMMIT of the file *path* has failed."""
    name = _name(error)
    if name.startswith(_AFTER):
        return WRITTEN
    # A journal that is still there is undone by whoever opens the file next.
    undone = db.in_transaction or os.path.lexists(os.path.realpath(path) + "-journal")
    return NOTHING if undone or name.startswith(_BEFORE) else UNKNOWN


def said(error: Exception) -> str:
    """What *error*, one of UNREADABLE, says."""
    return "a name is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def complaint(error: sqlite3.Error | UnicodeDecodeError, path: str, wait_seconds: float) -> str:
    """What is wrong with the file *path*, for which SQLite waited *wait_seconds* at most."""
    if is_busy(error):
        return f"{path} was in use by another command for {wait_seconds:g} s"
    if is_damage(error):
        return f"{path} is damaged ({said(error)}): move it away to start anew"
    return f"{path} cannot be used: {error}"


def is_busy(error: Exception) -> bool:
    """Whether somebody else has the lock that was asked for."""
    return _name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def is_full(error: Exception) -> bool:
    """Whether the disk is."""
    return _name(error).startswith("SQLITE_FULL")


def is_damage(error: Exception) -> bool:
    """Whether the file is not as SQLite wrote it."""
    return isinstance(error, UnicodeDecodeError) or _name(error).startswith(
        ("SQLITE_CORRUPT", "SQLITE_NOTADB")
    )


def _name(error: Exception) -> str:
    return getattr(error, "sqlite_errorname", "")  # none where sqlite3 itself complains
