"""What brings an old state file up to date: ordered, named, in one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from bhyvesim.errors import NONSENSE
from bhyvesim.store import schema

_VM_2 = """CREATE TABLE vm (
        name TEXT PRIMARY KEY,
        state TEXT NOT NULL CHECK (state IN ('running', 'off', 'panicked', 'hung')),
        spec TEXT NOT NULL,
        maps TEXT NOT NULL,
        tables TEXT NOT NULL,
        resident TEXT NOT NULL,
        crash INTEGER REFERENCES crash (id)
    )"""
_COLUMNS_2 = "name, state, spec, maps, tables, resident, crash"


class Migration(NamedTuple):
    """The step from the version before *to*."""

    to: int
    name: str
    run: Callable[[sqlite3.Connection], None]


def _a_vm_may_hang(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE vm RENAME TO vm_1")
    db.execute(_VM_2)
    db.execute(f"INSERT INTO vm ({_COLUMNS_2}) SELECT {_COLUMNS_2} FROM vm_1")
    db.execute("DROP TABLE vm_1")


def _dumps_hold_snapshots(db: sqlite3.Connection) -> None:
    """A dump that makes no sense stays as it is: it is refused when somebody asks for it."""
    from bhyvesim.crash.codec import encode
    from bhyvesim.store.old_dumps import read_old_dump

    for crash_id, vm, time_ns, record in db.execute("SELECT id, vm, time_ns, record FROM crash"):
        try:
            dump = read_old_dump(vm, int(time_ns), record)
        except NONSENSE:
            continue
        db.execute("UPDATE crash SET record = ? WHERE id = ?", (encode(dump), crash_id))


def _vms_have_moments(db: sqlite3.Connection) -> None:
    """A VM becomes the first moment of a life; what it holds is kept in parts.

    One whose row makes no sense goes along as it is: it is refused when somebody asks for it.
    """
    from bhyvesim.store.old_vms import add_old_vm
    from bhyvesim.store.transaction import Transaction

    for table in ("vm", "crash"):
        db.execute(f"ALTER TABLE {table} RENAME TO {table}_3")
    for statement in schema.statements():
        db.execute(statement)
    for crash_id, vm, time_ns, record in db.execute(
        "SELECT id, vm, time_ns, record FROM crash_3 ORDER BY id"
    ).fetchall():
        db.execute(
            "INSERT INTO crash (id, vm, time_ns, head, record) VALUES (?, ?, ?, ?, ?)",
            (crash_id, vm, time_ns, _head(record), record),
        )
    for row in db.execute(f"SELECT {_COLUMNS_2} FROM vm_3 ORDER BY name").fetchall():
        add_old_vm(Transaction(db), *row)
    for table in ("vm", "crash"):
        db.execute(f"DROP TABLE {table}_3")


def _head(record: bytes | str) -> str:
    from bhyvesim.crash.codec import BadDump, decode
    from bhyvesim.store.dumps import head_of

    try:
        return head_of(decode(record)) if isinstance(record, bytes) else json.dumps(None)
    except BadDump:
        return json.dumps(None)


def _the_host_is_described(db: sqlite3.Connection) -> None:
    """The migration before this one made all tables as they are now, this one too."""
    db.execute(f"CREATE TABLE IF NOT EXISTS host {schema.TABLES['host']}")


MIGRATIONS = (
    Migration(2, "a VM may hang", _a_vm_may_hang),
    Migration(3, "dumps hold snapshots", _dumps_hold_snapshots),
    Migration(4, "VMs have moments", _vms_have_moments),
    Migration(5, "the host is described", _the_host_is_described),
)


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Bring the file under *db*, of an older *version*, up to date."""
    for migration in MIGRATIONS:
        if migration.to > version:
            migration.run(db)
            db.execute(f"PRAGMA user_version = {migration.to}")
