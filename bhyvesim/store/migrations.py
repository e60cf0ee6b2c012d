"""What brings an old state file up to date: ordered, named, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import NamedTuple

VM_TABLE = """CREATE TABLE vm (
        name TEXT PRIMARY KEY,
        state TEXT NOT NULL CHECK (state IN ('running', 'off', 'panicked', 'hung')),
        spec TEXT NOT NULL,
        maps TEXT NOT NULL,
        tables TEXT NOT NULL,
        resident TEXT NOT NULL,
        crash INTEGER REFERENCES crash (id)
    )"""
CRASH_TABLE = """CREATE TABLE crash (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        vm TEXT NOT NULL,
        time_ns TEXT NOT NULL,
        record BLOB NOT NULL
    )"""


class Migration(NamedTuple):
    """The step from the version before *to*."""

    to: int
    name: str
    run: Callable[[sqlite3.Connection], None]


def _a_vm_may_hang(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE vm RENAME TO vm_1")
    db.execute(VM_TABLE)
    columns = "name, state, spec, maps, tables, resident, crash"
    db.execute(f"INSERT INTO vm ({columns}) SELECT {columns} FROM vm_1")
    db.execute("DROP TABLE vm_1")


def _dumps_hold_snapshots(db: sqlite3.Connection) -> None:
    """A dump that makes no sense stays as it is: it is refused when somebody asks for it."""
    from bhyvesim.crash.dump import encode
    from bhyvesim.store.old_dumps import read_old_dump

    for crash_id, vm, time_ns, record in db.execute("SELECT id, vm, time_ns, record FROM crash"):
        try:
            dump = read_old_dump(vm, int(time_ns), record)
        except (ValueError, LookupError, TypeError):
            continue
        db.execute("UPDATE crash SET record = ? WHERE id = ?", (encode(dump), crash_id))


MIGRATIONS = (
    Migration(2, "a VM may hang", _a_vm_may_hang),
    Migration(3, "dumps hold snapshots", _dumps_hold_snapshots),
)
OLDEST_VERSION = MIGRATIONS[0].to - 1
VERSION = MIGRATIONS[-1].to


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Bring the file under *db*, of an older *version*, up to date."""
    for migration in MIGRATIONS:
        if migration.to > version:
            migration.run(db)
            db.execute(f"PRAGMA user_version = {migration.to}")
