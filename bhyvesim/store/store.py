"""The state file: how it is opened, checked, locked and brought up to date.

What a command writes is one transaction, so one that is killed leaves nothing half-done.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from time import monotonic, monotonic_ns, sleep

from bhyvesim.errors import StateError
from bhyvesim.store import outcome, place
from bhyvesim.store.rows import PartRow
from bhyvesim.store.schema import APPLICATION_ID, OLDEST_VERSION, VERSION, statements
from bhyvesim.store.transaction import Transaction

WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.01  # how often a writer asks for the lock at first


class LostRace(StateError):
    """Somebody else changed the VM meanwhile; what was computed is for nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was changed by another command; {outcome.NOTHING}")


class Store:
    """The state file in *folder*; nothing is made before something is to be written.

    *note* hears of a mode that was changed.
    """

    def __init__(
        self,
        folder: str | None = None,
        wait_seconds: float = WAIT_SECONDS,
        note: place.Note = lambda text: None,
    ) -> None:
        self._folder = folder
        self._note = note
        self.wait_seconds = wait_seconds
        self.trusted = place.trusted_by_environment()  # believed, whoever may write there
        self._so_far = outcome.NOTHING  # what is known of the writes when something fails

    @cached_property
    def folder(self) -> str:
        """The folder. Raises StateError where nobody says which."""
        return place.state_dir() if self._folder is None else self._folder

    @property
    def path(self) -> str:
        """The file."""
        return os.path.join(self.folder, place.FILE_NAME)

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A view that changes nothing; empty where there is no state file.

        What it leaves unread can be read when it is over: a machine outlives it.
        """
        if not self.is_there():
            yield Transaction(None)
            return
        with self.errors(), closing(self.connect(self.path)) as db:
            db.execute("BEGIN")
            version = self.check_version(db)
            if version is None:
                yield Transaction(None)
            elif version == VERSION:
                yield Transaction(db, _Later(self))
            else:
                with self.migrated(db, version) as migrated:
                    yield Transaction(migrated, eager=True)

    @contextmanager
    def reading_apart(self) -> Iterator[sqlite3.Connection]:
        """A copy in memory of a state that is there: what is done to it stays there."""
        with (
            self.errors(),
            closing(self.connect(self.path)) as db,
            self.migrated(db, self.check_version(db)) as copy,
        ):
            yield copy

    @contextmanager
    def migrated(self, db: sqlite3.Connection, version: int | None) -> Iterator[sqlite3.Connection]:
        """A copy of *db* in memory, brought up to date; with no version there is nothing in it."""
        with closing(self.connect(":memory:")) as copy:
            db.backup(copy)
            if version is not None:
                self.migrate(copy, version)
            yield copy

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A transaction; other writers wait. Commits at the end, unless an exception passes."""
        self.is_there()
        self.make()
        with self.errors(), closing(self.connect(self.path)) as db:  # rolls back if not committed
            self._begin(db)
            version = self.check_version(db)
            if version is None:
                for statement in statements():
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {VERSION}")
            elif version < VERSION:
                self._copy_aside(version)
                self.migrate(db, version)
            yield Transaction(db)
            self._commit(db)

    def _begin(self, db: sqlite3.Connection) -> None:
        """Become the one writer.

        SQLite itself waits longer from try to try, so that who came late goes first; among
        many writers somebody then waits for ever. Here who has waited long asks more often.
        """
        started = monotonic()
        db.execute("PRAGMA busy_timeout = 0")
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                waited = monotonic() - started
                if not outcome.is_busy(error) or waited > self.wait_seconds:
                    raise
            sleep(_POLL_SECONDS * (0.5 + monotonic_ns() % 997 / 997) / (1 + waited) ** 2)
        db.execute(f"PRAGMA busy_timeout = {int(self.wait_seconds * 1000)}")

    def migrate(self, db: sqlite3.Connection, version: int) -> None:
        """Bring what is in *db* up to date."""
        from bhyvesim.store.migrations import migrate

        migrate(db, version)

    def _commit(self, db: sqlite3.Connection) -> None:
        try:
            db.execute("COMMIT")
        except (sqlite3.Error, UnicodeDecodeError) as error:
            problem = outcome.complaint(error, self.path, self.wait_seconds)
            known = outcome.after_commit(db, error, self.path)
            if known == outcome.NOTHING:
                known = self._so_far
            raise StateError(f"{problem}; {known}") from None
        self._so_far = outcome.EARLIER

    def is_there(self) -> bool:
        """Whether there is a state file with something in it.

        Raises StateError where that cannot be told, where there is something else, or where
        others may have written it.
        """
        found = place.look(self.path)
        if found is not None and not self.trusted:
            place.check_folder(self.folder, self._note, self._so_far)
            place.check_file(self.path, found, self._note, self._so_far)
        return found is not None and found.st_size > 0

    def make(self) -> None:
        """The folder and the file, ours alone."""
        place.make_folder(self.folder, self._so_far)
        if not self.trusted:
            place.check_folder(self.folder, self._note, self._so_far)
        place.make_file(self.path, self._so_far)
        found = place.look(self.path)
        if found is not None and not self.trusted and found.st_mode & 0o077:
            place.tighten(self.path, place.FILE_MODE)  # readable is what 0.1 made it

    def connect(self, path: str, *, uri: bool = False) -> sqlite3.Connection:
        """A connection without a transaction, to *path*, which may be another file."""
        # A machine may be let go in another thread than it came from, and its connection with it.
        db = sqlite3.connect(
            path,
            timeout=self.wait_seconds,
            isolation_level=None,
            check_same_thread=False,
            uri=uri,
        )
        db.text_factory = _text
        return db

    def check_version(self, db: sqlite3.Connection, path: str | None = None) -> int | None:
        """The version of the file; None of one that is new. *path*: another than the state's.

        Refuses a file that is not ours, or newer than we are. What older versions wrote can
        be read as it is.
        """
        path = path or self.path
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        application = db.execute("PRAGMA application_id").fetchone()[0]
        if version == 0 and application == 0:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise StateError(f"{path} is not a bhyvesim state file; {self._so_far}")
            return None
        if application != APPLICATION_ID:
            raise StateError(f"{path} is not a bhyvesim state file; {self._so_far}")
        if not OLDEST_VERSION <= version <= VERSION:
            raise StateError(
                f"{path} has state version {version}, this bhyvesim reads version "
                f"{VERSION}: use the bhyvesim that wrote it; {self._so_far}"
            )
        return version

    def _copy_aside(self, version: int) -> None:
        """Keep the file of an old *version* beside the new one, whole or not at all."""
        copy = f"{self.path}.v{version}"
        with place.beside(copy, self._so_far) as new:
            with closing(self.connect(self.path)) as old, closing(self.connect(new)) as there:
                old.backup(there)
            os.replace(new, copy)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """SQLite's errors before a COMMIT as StateError."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            problem = outcome.complaint(error, self.path, self.wait_seconds)
            raise StateError(f"{problem}; {self._so_far}") from None


class _Later:
    """Reads bodies of parts when the transaction that found them is over.

    Its connection is opened at the first, and closed when nobody needs it any more.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._transaction: Transaction | None = None

    def __call__(self, what: str, part: PartRow) -> bytes:
        with self._store.errors():
            if self._transaction is None:
                db = self._store.connect(self._store.path)
                weakref.finalize(self, db.close)
                self._transaction = Transaction(db)
            body = self._transaction.body(what, part)
        if body is None:
            raise LostRace(what)
        return body


def _text(data: bytes) -> str:
    """Text of a column; what is no UTF-8 cannot be what was written, and its checksum says so."""
    return data.decode("utf-8", "surrogateescape")
