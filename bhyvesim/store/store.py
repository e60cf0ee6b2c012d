"""The state file: one transaction a command, so a killed command leaves nothing half-done."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, NamedTuple

from bhyvesim.errors import Refused, StateError
from bhyvesim.store import outcome
from bhyvesim.store.migrations import CRASH_TABLE, OLDEST_VERSION, VERSION, VM_TABLE, migrate

APPLICATION_ID = 0x62687976  # "bhyv"
WAIT_SECONDS = 10.0
FILE_NAME = "state.sqlite3"

_SCHEMA = (
    VM_TABLE,
    CRASH_TABLE,
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)


def state_dir() -> str:
    """``$BHYVESIM_STATE_DIR``, else bhyvesim's folder among the user's XDG state."""
    given = os.environ.get("BHYVESIM_STATE_DIR")
    if given:
        return given
    xdg = os.environ.get("XDG_STATE_HOME", "")
    base = xdg if os.path.isabs(xdg) else os.path.expanduser("~/.local/state")
    return os.path.join(base, "bhyvesim")


class VmRow(NamedTuple):
    """A stored VM, its parts still encoded (:mod:`.codec` reads them)."""

    name: str
    state: str  # running, off, panicked, hung
    spec: str
    maps: str
    tables: str
    resident: int
    crash: int | None

    @property
    def stopped(self) -> bool:
        """Whether its kernel is gone: panicked or hung."""
        return self.state in ("panicked", "hung")


class VmHead(NamedTuple):
    """What a listing needs of a stored VM."""

    name: str
    state: str
    spec: str
    resident: int
    crash: int | None


class CrashRow(NamedTuple):
    """A stored crash dump, still encoded; *time_ns* since the epoch. One of 0.1 is text."""

    id: int
    vm: str
    time_ns: int
    record: bytes | str


class Transaction:
    """One command's view of the state. Writes take effect together, when the command ends."""

    def __init__(self, db: sqlite3.Connection | None) -> None:
        self._db = db  # None: there is no state file yet, and nobody asked to make one

    def names(self) -> list[str]:
        """The names of all VMs, sorted."""
        return [row[0] for row in self._query("SELECT name FROM vm ORDER BY name")]

    def heads(self) -> list[VmHead]:
        """All VMs by name, without their tables."""
        rows = self._query("SELECT name, state, spec, resident, crash FROM vm ORDER BY name")
        return [
            VmHead(name, state, spec, int(resident), crash)
            for name, state, spec, resident, crash in rows
        ]

    def vm(self, name: str) -> VmRow:
        """The VM of that name. Raises Refused (ENOENT) where there is none."""
        rows = self._query(
            "SELECT name, state, spec, maps, tables, resident, crash FROM vm WHERE name = ?", name
        )
        if not rows:
            raise Refused("ENOENT", f"there is no VM named {name}")
        name, state, spec, maps, tables, resident, crash = rows[0]
        return VmRow(name, state, spec, maps, tables, int(resident), crash)

    def put(self, row: VmRow) -> None:
        """Store a VM, in place of the one of that name if there is one."""
        self._query(
            "INSERT OR REPLACE INTO vm (name, state, spec, maps, tables, resident, crash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            row.name,
            row.state,
            row.spec,
            row.maps,
            row.tables,
            str(row.resident),
            row.crash,
        )

    def remove(self, name: str) -> None:
        """Forget a VM; its crash dumps stay."""
        self._query("DELETE FROM vm WHERE name = ?", name)

    def add_crash(self, vm: str, time_ns: int, record: bytes) -> int:
        """Store a crash dump, encoded; returns its id."""
        self._query(
            "INSERT INTO crash (vm, time_ns, record) VALUES (?, ?, ?)", vm, str(time_ns), record
        )
        crash_id: int = self._query("SELECT last_insert_rowid()")[0][0]
        return crash_id

    def crash_count(self) -> int:
        """How many crash dumps there are."""
        rows = self._query("SELECT count(*) FROM crash")
        return rows[0][0] if rows else 0

    def crashes(self) -> list[CrashRow]:
        """All crash dumps, oldest first."""
        rows = self._query("SELECT id, vm, time_ns, record FROM crash ORDER BY id")
        return [CrashRow(i, vm, int(time_ns), record) for i, vm, time_ns, record in rows]

    def crash(self, crash_id: int | None) -> CrashRow:
        """One crash dump, the latest without an id. Raises Refused (ENOENT) where there is none."""
        if crash_id is None:
            rows = self._query("SELECT id, vm, time_ns, record FROM crash ORDER BY id DESC LIMIT 1")
        elif crash_id.bit_length() < 64:
            rows = self._query("SELECT id, vm, time_ns, record FROM crash WHERE id = ?", crash_id)
        else:
            rows = []
        if not rows:
            which = "yet" if crash_id is None else f"with the id {crash_id}"
            raise Refused("ENOENT", f"there is no crash dump {which}")
        i, vm, time_ns, record = rows[0]
        return CrashRow(i, vm, int(time_ns), record)

    def _query(self, sql: str, *values: str | int | bytes | None) -> list[Any]:
        return [] if self._db is None else self._db.execute(sql, values).fetchall()


class Store:
    """The state file in *folder*; nothing is made before something is to be written."""

    def __init__(self, folder: str | None = None, wait_seconds: float = WAIT_SECONDS) -> None:
        self.folder = state_dir() if folder is None else folder
        self.path = os.path.join(self.folder, FILE_NAME)
        self.wait_seconds = wait_seconds

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A view that changes nothing; empty where there is no state file."""
        if not self._is_there():
            yield Transaction(None)
            return
        with self._errors(), closing(self._connect(self.path)) as db:
            db.execute("BEGIN")
            self._check(db)
            yield Transaction(db)

    @contextmanager
    def writing(
        self, results: type[Exception] | tuple[()] = (), *, keep: bool = True
    ) -> Iterator[Transaction]:
        """A transaction; other writers wait. Commits at the end, unless an exception passes.

        Exceptions of the type *results* are outcomes, not failures: what was written stays.
        With *keep* false nothing does (a dry run).
        """
        path = self.path if self._is_there() or keep else ":memory:"
        if keep:
            self._make_folder()
        with self._errors(), closing(self._connect(path)) as db:  # rolls back if not committed
            db.execute("BEGIN IMMEDIATE")
            version = self._check(db)
            if version is None:
                for statement in _SCHEMA:
                    db.execute(statement)
            elif version < VERSION:
                if keep:
                    self._copy_aside(version)
                migrate(db, version)
            try:
                yield Transaction(db)
            except results:
                self._end(db, keep=keep)
                raise
            self._end(db, keep=keep)

    def _end(self, db: sqlite3.Connection, *, keep: bool) -> None:
        if not keep:
            return
        try:
            db.execute("COMMIT")
        except sqlite3.Error as error:
            problem = outcome.complaint(error, self.path, self.wait_seconds)
            known = outcome.after_commit(db, error, self.path)
            raise StateError(f"{problem}; {known}") from None

    def _is_there(self) -> bool:
        """Whether there is a state file with something in it.

        Raises StateError where that cannot be told, or where there is something else.
        """
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            loose = _loose_link(self.path)
            if loose is None:
                return False
            raise StateError(f"{loose} is a link that leads nowhere") from None
        except OSError as error:
            raise StateError(f"{self.path} cannot be read: {error.strerror}") from None
        if not stat.S_ISREG(found.st_mode):
            raise StateError(f"{self.path} cannot be read: it is not a file")
        return found.st_size > 0

    def _make_folder(self) -> None:
        """Ours alone; folders above it that are missing are made as usual."""
        try:
            os.makedirs(os.path.dirname(os.path.abspath(self.folder)), exist_ok=True)
            with suppress(FileExistsError):
                os.mkdir(self.folder, 0o700)
        except OSError as error:
            problem = f"{self.folder} cannot be used: {error.strerror}"
            raise StateError(f"{problem}; {outcome.NOTHING}") from None

    def _connect(self, path: str) -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=self.wait_seconds, isolation_level=None)

    def _check(self, db: sqlite3.Connection) -> int | None:
        """The version of the file; None of one that is new.

        Refuses a file that is not ours, or newer than we are. What older versions wrote can
        be read as it is.
        """
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        application = db.execute("PRAGMA application_id").fetchone()[0]
        if version == 0 and application == 0:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise StateError(f"{self.path} is not a bhyvesim state file; {outcome.NOTHING}")
            return None
        if application != APPLICATION_ID:
            raise StateError(f"{self.path} is not a bhyvesim state file; {outcome.NOTHING}")
        if not OLDEST_VERSION <= version <= VERSION:
            raise StateError(
                f"{self.path} has state version {version}, this bhyvesim reads version "
                f"{VERSION}: use the bhyvesim that wrote it; {outcome.NOTHING}"
            )
        return version

    def _copy_aside(self, version: int) -> None:
        """Keep the file of an old *version* beside the new one, whole or not at all."""
        copy = f"{self.path}.v{version}"
        try:
            with suppress(FileNotFoundError):
                os.unlink(f"{copy}.new")
            with (
                closing(self._connect(self.path)) as old,
                closing(self._connect(f"{copy}.new")) as new,
            ):
                old.backup(new)
            os.replace(f"{copy}.new", copy)
        except OSError as error:
            problem = f"{copy} cannot be written: {error.strerror}"
            raise StateError(f"{problem}; {outcome.NOTHING}") from None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors before a COMMIT as StateError."""
        try:
            yield
        except sqlite3.Error as error:
            problem = outcome.complaint(error, self.path, self.wait_seconds)
            raise StateError(f"{problem}; {outcome.NOTHING}") from None


def _loose_link(path: str) -> str | None:
    """The symbolic link on the way to *path*, which is not there, that leads nowhere; if any."""
    path = os.path.abspath(path)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return None if os.path.exists(path) else path
