"""The state file as a whole: checked, copied, put back, made smaller."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import NamedTuple

from bhyvesim.errors import Refused, StateError, UsageError
from bhyvesim.store import outcome, place
from bhyvesim.store.check import Checked, Finding, check_file, check_rows, strangers
from bhyvesim.store.rows import Damaged, VmRow
from bhyvesim.store.schema import VERSION
from bhyvesim.store.store import Store
from bhyvesim.store.transaction import Transaction


class Freed(NamedTuple):
    """What was removed; and the bytes of the file before and after."""

    dumps: int
    events: int
    before: int
    after: int


def check(store: Store) -> Checked:
    """All of the state file, read and compared with its checksums.

    Raises StateError where there is a file that is none of ours, or that cannot be read.
    """
    if not store.is_there():
        return Checked({}, [])
    with store.errors(), closing(store.connect(store.path)) as db:
        try:
            db.execute("BEGIN")
            version = store.check_version(db)
        except sqlite3.DatabaseError as error:
            if not outcome.is_damage(error):
                raise
            return Checked({}, [Finding("the file", str(error))])
        if version is None:
            return Checked({}, [])
        found = check_file(db)
        try:
            with _newest(store, db, version) as newest:
                rows, more = check_rows(newest)
                return Checked(rows, [*found, *strangers(newest), *more])
        except sqlite3.DatabaseError as error:
            if not outcome.is_damage(error):
                raise
            return Checked({}, found or [Finding("the file", str(error))])


def backup(store: Store, path: str) -> int:
    """Copy the state to *path*, whole or not at all, while others may work; its bytes.

    Raises Refused (ENOENT) where there is no state, StateError where it is damaged.
    """
    if not store.is_there():
        raise Refused("ENOENT", "there is no state yet that could be backed up")
    _check_target(store, path)
    with store.errors(), closing(store.connect(store.path)) as db:
        db.execute("BEGIN")
        store.check_version(db)
        with place.beside(path, outcome.NOTHING) as new:
            with closing(store.connect(new)) as copy:
                db.backup(copy)
                _refuse_damage(store.path, check_file(copy))
            os.replace(new, path)
    return os.path.getsize(path)


def restore(store: Store, path: str) -> str | None:
    """Put the state in the file *path* in the place of ours; where ours is kept (None: no state).

    Raises UsageError for a file that is no state file, or is damaged.
    """
    store.is_there()
    store.make()
    with store.errors(), place.beside(store.path, outcome.NOTHING) as new:
        _take(store, path, new)
        try:
            with closing(store.connect(store.path)) as db:
                return _put(store, db, new)
        except sqlite3.DatabaseError as error:
            if not outcome.is_damage(error):
                raise
        return _replace(store, new)


def compact(store: Store, before_ns: int, *, keep: bool = True) -> Freed:
    """Remove dumps and events from before *before_ns*, and give free pages back.

    A dump stays that a VM ended with, and of every VM the moment that it is at. Without
    *keep*, only say what it would come to.
    """
    if not store.is_there():
        return Freed(0, 0, 0, 0)
    if not keep:
        with store.reading_apart() as db:
            size = _size(db)
            dumps, events = _remove(Transaction(db), before_ns)
            db.execute("VACUUM")
            return Freed(dumps, events, size, _size(db))
    size = os.path.getsize(store.path)
    with store.writing() as transaction:
        dumps, events = _remove(transaction, before_ns)
    try:
        with closing(store.connect(store.path)) as db:
            db.execute("VACUUM")
    except sqlite3.Error as error:
        problem = outcome.complaint(error, store.path, store.wait_seconds)
        raise StateError(f"{problem}; what is old was removed, its room was not freed") from None
    return Freed(dumps, events, size, os.path.getsize(store.path))


def _remove(transaction: Transaction, before_ns: int) -> tuple[int, int]:
    """How many dumps and events went. Raises Damaged: what a damaged VM needs is not known."""
    rows: list[VmRow] = []
    for row in transaction.vms():
        if isinstance(row, Damaged):
            raise row
        rows.append(row)
    needed = {row.moment.crash for row in rows if row.stopped}
    old = [n for n in transaction.crashes_before(before_ns) if n not in needed]
    for number in old:
        transaction.remove_crash(number)
    at = {row.life for row in rows}
    events = 0
    for life, _ in transaction.lives():
        kept, all_of_them = transaction.events_from(life, before_ns)
        if kept == 0 and life not in at:
            transaction.remove_life(life)
            events += all_of_them
        elif kept < all_of_them:
            events += transaction.prune(life, kept)
    return len(old), events


def _size(db: sqlite3.Connection) -> int:
    pages: int = db.execute("PRAGMA page_count").fetchone()[0]
    size: int = db.execute("PRAGMA page_size").fetchone()[0]
    return pages * size


@contextmanager
def _newest(store: Store, db: sqlite3.Connection, version: int) -> Iterator[sqlite3.Connection]:
    """What is in *db* as the newest version has it."""
    if version == VERSION:
        yield db
        return
    with store.migrated(db, version) as migrated:
        yield migrated


def _check_target(store: Store, path: str) -> None:
    """Raises UsageError where *path* is not for a backup: what is there may be precious."""
    try:
        found = os.stat(path)
    except FileNotFoundError as error:
        folder = os.path.dirname(os.path.abspath(path))
        if path and os.access(folder, os.W_OK):
            return
        reason = "Permission denied" if path and os.path.isdir(folder) else error.strerror
        raise UsageError(f"{path or 'FILE'}: {reason}: expected a writable file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: {reason}: expected a writable file") from None
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} is not a file: expected a new file, or an older backup")
    if os.path.samefile(path, store.path):
        raise UsageError(f"{path} is the state itself: expected another file")
    with _foreign(store, path) as db:
        store.check_version(db, path)


@contextmanager
def _foreign(store: Store, path: str) -> Iterator[sqlite3.Connection]:
    """A file that may be anything, to be read. Raises UsageError for what is no state file."""
    from urllib.parse import quote

    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UsageError(f"{path} is not a file: expected what 'state backup' wrote")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: {reason}: expected what 'state backup' wrote") from None
    try:
        uri = f"file:{quote(os.path.abspath(os.fsencode(path)))}?mode=ro"
        with closing(store.connect(uri, uri=True)) as db:
            yield db
    except StateError as error:
        raise UsageError(f"{error}: expected what 'state backup' wrote") from None
    except sqlite3.DatabaseError as error:
        raise UsageError(f"{path}: {error}: expected what 'state backup' wrote") from None


def _take(store: Store, path: str, new: str) -> None:
    """Copy the state in *path* to *new*, of the newest version, and whole."""
    with _foreign(store, path) as source:
        version = store.check_version(source, path)
        if version is None:
            raise UsageError(f"{path} is empty: expected what 'state backup' wrote")
        with closing(store.connect(new)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            found = check_file(copy)
            if version != VERSION and not found:
                copy.execute("BEGIN")
                store.migrate(copy, version)
                copy.execute("COMMIT")
            _refuse_damage(path, [*found, *strangers(copy), *check_rows(copy).findings])


def _refuse_damage(path: str, found: list[Finding]) -> None:
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise StateError(
            f"{path} is damaged ({found[0].what}: {found[0].problem}{more}); {outcome.NOTHING}"
        )


def _put(store: Store, db: sqlite3.Connection, new: str) -> str | None:
    """Write what is in *new* over our file, in one transaction; nobody writes meanwhile."""
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    version = store.check_version(db)
    db.execute("COMMIT")  # the lock stays
    aside = None if version is None else _free_name(store.path)
    if aside is not None:
        with place.beside(aside, outcome.NOTHING) as copy_name:
            with closing(store.connect(copy_name)) as copy:
                db.backup(copy)
            os.replace(copy_name, aside)
    with closing(store.connect(new)) as source:
        try:
            source.backup(db)
        except sqlite3.Error as error:
            if outcome.is_damage(error):
                raise
            problem = outcome.complaint(error, store.path, store.wait_seconds)
            known = outcome.NOTHING if outcome.is_full(error) else outcome.UNKNOWN
            kept = "" if aside is None else f"; what was there is kept in {aside}"
            raise StateError(f"{problem}; {known}{kept}") from None
    return aside


def _replace(store: Store, new: str) -> str:
    """Put *new* where our file is, which is no database any more: nobody can be writing there."""
    aside = _free_name(store.path)
    os.link(store.path, aside)
    with suppress(FileNotFoundError):
        os.replace(f"{store.path}-journal", f"{aside}-journal")
    os.replace(new, store.path)
    return aside


def _free_name(path: str) -> str:
    number, name = 1, f"{path}.before-restore"
    while os.path.lexists(name):
        number += 1
        name = f"{path}.before-restore.{number}"
    return name
