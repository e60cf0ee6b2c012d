"""One view of the state file: its rows, found and written. Writes take effect together."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from bhyvesim.errors import Refused
from bhyvesim.store.rows import (
    Change,
    Column,
    CrashRow,
    Damaged,
    EventRow,
    Moment,
    NewPart,
    PartRow,
    VmRow,
    checksum,
    checksum_of,
)
from bhyvesim.store.schema import FOREVER

_COLUMNS = ("state", "spec", "maps", "outline", "resident", "parts", "crash")
_MOMENT = ", ".join(f"moment.{column}" for column in _COLUMNS)
_VM = f"vm.name, vm.life, vm.seq, vm.stamp, {_MOMENT}, moment.sum, spec.body, spec.sum"
_FROM_VM = (
    f"SELECT {_VM} FROM vm LEFT JOIN moment ON moment.life = vm.life AND moment.seq = vm.seq"
    " LEFT JOIN spec ON spec.digest = moment.spec"
)
_EVENT = "life, number, time_ns, action, result, stages, digest, crash, sum"


class Transaction:
    """Rows by what they are about."""

    def __init__(
        self,
        db: sqlite3.Connection | None,
        later: Callable[[str, PartRow], bytes] | None = None,
        *,
        eager: bool = False,
    ) -> None:
        self._db = db  # None: there is no state file yet, and nobody asked to make one
        self._later = later
        self.eager = eager  # whether all has to be read while it lasts

    def later(self, what: str, part: PartRow) -> bytes:
        """The body of a part, when somebody looks; perhaps when the transaction is over.

        Raises Damaged; LostRace where it is not there any more.
        """
        if self._later is not None:
            return self._later(what, part)
        body = self.body(what, part)
        assert body is not None
        return body

    def names(self) -> list[str]:
        """The names of all VMs, sorted, but for those of :meth:`check_names`."""
        rows = self._query("SELECT name FROM vm WHERE typeof(name) = 'text' ORDER BY name")
        return [row[0] for row in rows]

    def check_names(self) -> None:
        """Raises Damaged where some VM's name is lost: what was not found may be that one."""
        for (name,) in self._query("SELECT name FROM vm WHERE typeof(name) != 'text'"):
            raise Damaged("a VM", f"its name is {name!r}")

    def vms(self) -> Iterator[VmRow | Damaged]:
        """All VMs by name; of one that is damaged, what is wrong."""
        for row in self._query(f"{_FROM_VM} ORDER BY vm.name"):
            try:
                yield _vm_row(row)
            except Damaged as damaged:
                yield damaged

    def vm(self, name: str) -> VmRow:
        """The VM of that name. Raises Refused (ENOENT) where there is none, Damaged."""
        rows = self._query(f"{_FROM_VM} WHERE vm.name = ?", name)
        if not rows:
            self.check_names()
            raise Refused("ENOENT", f"there is no VM named {name}")
        return _vm_row(rows[0])

    def stamp(self, name: str) -> int | None:
        """What is another after every change of the VM; None where there is none."""
        rows = self._query("SELECT stamp FROM vm WHERE name = ?", name)
        return rows[0][0] if rows else None

    def host(self) -> str | None:
        """The description of the host, encoded; None where nothing is said. Raises Damaged."""
        rows = self._query("SELECT body, sum FROM host")
        if not rows:
            return None
        body, stored = rows[0]
        if checksum(body) != stored:
            raise Damaged("the host", "its row is not as it was written")
        return str(body)

    def moment(self, what: str, life: int, seq: int) -> tuple[Moment, str]:
        """One moment of a life, and its description. *what* is for messages. Raises Damaged."""
        rows = self._query(
            f"SELECT {_MOMENT}, moment.sum, spec.body, spec.sum FROM moment"
            " LEFT JOIN spec ON spec.digest = moment.spec WHERE life = ? AND seq = ?",
            life,
            seq,
        )
        if not rows:
            raise Damaged(what, f"moment {seq} is missing")
        return _moment(what, life, seq, rows[0])

    def parts(self, what: str, life: int, seq: int, moment: Moment) -> list[PartRow]:
        """What a machine is made of at one moment, but for the bodies; by kind and place.

        Raises Damaged where that is not what the moment was stored with.
        """
        rows = self._query(
            'SELECT kind, first, "end", entries, hash, id FROM part'
            " WHERE life = ? AND until > ? AND since <= ?",
            life,
            seq,
            seq,
        )
        numbers = all(type(value) is int for row in rows for value in (*row[:4], row[5]))
        if not numbers or not all(type(row[4]) is bytes for row in rows):
            raise Damaged(what, "a part of its tables is not as it was written")
        parts = sorted(PartRow(*row) for row in rows)
        if checksum_of(parts) != moment.parts:
            raise Damaged(what, "the parts of its tables are not those that were written")
        return parts

    def body(self, what: str, part: PartRow) -> bytes | None:
        """The body of a part; None where it is not there any more. Raises Damaged."""
        rows = self._query(
            "SELECT body, sum FROM part WHERE id = ? AND hash = ?", part.id, part.hash
        )
        if not rows:
            return None
        body, stored = rows[0]
        if not isinstance(body, bytes) or checksum(*part[:5], body) != stored:
            raise Damaged(what, "a part of its tables is not as it was written")
        return body

    def events(self, what: str, life: int) -> list[EventRow]:
        """The events of a life, oldest first. Raises Damaged."""
        rows = self._query(f"SELECT {_EVENT} FROM event WHERE life = ? ORDER BY number", life)
        return [_event(what, row) for row in rows]

    def last_event(self, life: int) -> int:
        """The number of a life's last event; 0 without one."""
        rows = self._query("SELECT max(number) FROM event WHERE life = ?", life)
        return (rows[0][0] or 0) if rows else 0

    def last_life(self, name: str) -> int | None:
        """The life of the VM of that name, or of the last that had it."""
        rows = self._query("SELECT max(id) FROM life WHERE vm = ?", name)
        return rows[0][0] if rows else None

    def first_moment(self, life: int) -> int | None:
        """The oldest moment that is kept of a life."""
        rows = self._query("SELECT min(seq) FROM moment WHERE life = ?", life)
        return rows[0][0] if rows else None

    def cuts(self, life: int, leaf: int) -> list[int]:
        """The moments with which a part over leaf table *leaf* came or went, newest first."""
        rows = self._query(
            "SELECT since, until FROM part"
            ' WHERE life = ? AND kind < 2 AND first <= ? AND "end" > ?',
            life,
            leaf,
            leaf,
        )
        return sorted({seq for row in rows for seq in row if seq != FOREVER}, reverse=True)

    def crash_count(self) -> int:
        """How many crash dumps there are."""
        rows = self._query("SELECT count(*) FROM crash")
        return rows[0][0] if rows else 0

    def crashes(self) -> list[CrashRow]:
        """All crash dumps, oldest first; none of them is read."""
        return [_crash(row) for row in self._query(f"{_FROM_CRASH} ORDER BY id")]

    def crash(self, crash_id: int | None = None, *, vm: str | None = None) -> CrashRow:
        """One crash dump, by its id, or the latest; of *vm*, if given.

        Raises Refused (ENOENT) where there is none.
        """
        if crash_id is not None:
            fits = crash_id.bit_length() < 64
            rows = self._query(f"{_FROM_CRASH} WHERE id = ?", crash_id) if fits else []
        elif vm is not None:
            rows = self._query(f"{_FROM_CRASH} WHERE vm = ? ORDER BY id DESC LIMIT 1", vm)
        else:
            rows = self._query(f"{_FROM_CRASH} ORDER BY id DESC LIMIT 1")
        if not rows:
            which = "yet" if crash_id is None else f"with the id {crash_id}"
            raise Refused("ENOENT", f"there is no crash dump {which}")
        return _crash(rows[0])

    def crash_record(self, crash_id: int) -> bytes | str:
        """A whole crash dump, encoded; one of 0.1 is text."""
        record: bytes | str = self._query("SELECT record FROM crash WHERE id = ?", crash_id)[0][0]
        return record

    # All there is, for those that look at all of it.

    def lives(self, only: int | None = None) -> list[tuple[int, str]]:
        """All lives (or one), and the names of the VMs that lived or live them."""
        rows = self._query("SELECT id, vm FROM life WHERE id = ifnull(?, id) ORDER BY id", only)
        return [(life, str(vm)) for life, vm in rows]

    def moments(self, life: int) -> list[int]:
        """The moments that are kept of a life, oldest first."""
        rows = self._query("SELECT seq FROM moment WHERE life = ? ORDER BY seq", life)
        return [row[0] for row in rows]

    def all_parts(self, only: int | None = None) -> Iterator[tuple[int, int, bool]]:
        """Every part (of one life) and its life, and whether it is as it was written."""
        assert self._db is not None
        sql = (
            'SELECT id, life, since, until, kind, first, "end", entries, hash, body, sum FROM part'
            " WHERE life = ifnull(?, life)"
        )
        for number, life, since, until, *row, stored in self._db.execute(sql, (only,)):
            times = type(since) is type(until) is int
            yield number, life, times and checksum(*row) == stored

    def event_numbers(self, life: int) -> list[int]:
        """The numbers of the events of a life."""
        rows = self._query("SELECT number FROM event WHERE life = ? ORDER BY number", life)
        return [row[0] for row in rows]

    def event(self, what: str, life: int, number: int) -> EventRow:
        """One event of a life that is there. Raises Damaged."""
        sql = f"SELECT {_EVENT} FROM event WHERE life = ? AND number = ?"
        return _event(what, self._query(sql, life, number)[0])

    def events_from(self, life: int, time_ns: int) -> tuple[int, int]:
        """How many events a life has from the first on that is no older; and how many in all."""
        rows = self._query(
            "SELECT CAST(time_ns AS INTEGER) >= ? FROM event WHERE life = ? ORDER BY number",
            time_ns,
            life,
        )
        new = [bool(row[0]) for row in rows]
        return len(new) - new.index(True) if True in new else 0, len(new)

    def specs(self) -> Iterator[tuple[str, bool]]:
        """The digest of every description, and whether it is as it was written."""
        for digest, body, stored in self._query("SELECT digest, body, sum FROM spec"):
            yield str(digest), checksum(digest, body) == stored

    def crash_numbers(self) -> list[int]:
        """The numbers of all crash dumps."""
        return [row[0] for row in self._query("SELECT id FROM crash ORDER BY id")]

    def crashes_before(self, time_ns: int) -> list[int]:
        """The numbers of the crash dumps that are older."""
        sql = "SELECT id FROM crash WHERE CAST(time_ns AS INTEGER) < ?"
        return [row[0] for row in self._query(sql, time_ns)]

    # Writing.

    def begin_life(self, name: str) -> int:
        """A new life of a VM of that name: its id."""
        return self._insert("life", {"vm": name})

    def point(self, name: str, life: int, seq: int, stamp: int) -> None:
        """The VM *name* is at moment *seq* of *life* from here on."""
        columns: dict[str, Column] = {"name": name, "life": life, "seq": seq, "stamp": stamp}
        self._insert("vm", columns, "INSERT OR REPLACE")

    def remove(self, name: str) -> None:
        """No VM has this name any more; its lives and crash dumps stay."""
        self._query("DELETE FROM vm WHERE name = ?", name)

    def remove_damaged(self, name: str) -> None:
        """No VM has this name any more, whatever is wrong with its row.

        What is kept of its life goes too: it could not be read, or its damage would be found
        for ever. A life that is another's stays.
        """
        data = name.encode("utf-8", "surrogateescape")
        rows = self._query("SELECT life FROM vm WHERE CAST(name AS BLOB) = ?", data)
        for (life,) in rows:
            if self._query("SELECT 1 FROM life WHERE id = ? AND vm = ?", life, name):
                self.remove_life(life)
        self._query("DELETE FROM vm WHERE CAST(name AS BLOB) = ?", data)

    def remove_nameless(self) -> None:
        """Remove the rows of VMs that have no name any more, by which they could be asked for."""
        self._query("DELETE FROM vm WHERE typeof(name) != 'text'")

    def remove_life(self, life: int) -> None:
        """Forget all of a life: its events, moments and parts."""
        for table in ("event", "moment", "part"):
            self._query(f"DELETE FROM {table} WHERE life = ?", life)
        self._query("DELETE FROM life WHERE id = ?", life)
        self._query("DELETE FROM spec WHERE digest NOT IN (SELECT spec FROM moment)")

    def take_back(self, event: EventRow, seq: int | None) -> None:
        """Undo the last event of a life: *seq* is the moment before it; None: it was the first."""
        life = event.life
        self._query("DELETE FROM event WHERE life = ? AND number = ?", life, event.number)
        if event.crash is not None:
            self._query("DELETE FROM crash WHERE id = ?", event.crash)
        last = -1 if seq is None else seq
        self._query("DELETE FROM moment WHERE life = ? AND seq > ?", life, last)
        self._query("DELETE FROM part WHERE life = ? AND since > ?", life, last)
        self._query("UPDATE part SET until = ? WHERE life = ? AND until > ?", FOREVER, life, last)
        if seq is None:
            self._query("DELETE FROM life WHERE id = ?", life)

    def prune(self, life: int, keep: int) -> int:
        """Forget all events of a life but the last *keep*; how many those were.

        The moment before the oldest that is kept stays.
        """
        rows = self._query(
            f"SELECT {_EVENT} FROM event WHERE life = ? ORDER BY number DESC LIMIT 1 OFFSET ?",
            life,
            keep,
        )
        if not rows:
            return 0
        last = _event("a VM", rows[0])
        seq = last.stages[-1][1]
        sql = "SELECT count(*) FROM event WHERE life = ? AND number <= ?"
        count: int = self._query(sql, life, last.number)[0][0]
        self._query("DELETE FROM event WHERE life = ? AND number <= ?", life, last.number)
        self._query("DELETE FROM moment WHERE life = ? AND seq < ?", life, seq)
        self._query("DELETE FROM part WHERE life = ? AND until <= ?", life, seq)
        self._query("DELETE FROM spec WHERE digest NOT IN (SELECT spec FROM moment)")
        return count

    def set_host(self, body: str | None) -> None:
        """Keep the description of the host; None: nothing is said of it any more."""
        self._query("DELETE FROM host")
        if body is not None:
            self._insert("host", {"id": 1, "body": body, "sum": checksum(body)})

    def add_spec(self, digest: str, body: str) -> None:
        """Keep a description, once."""
        columns: dict[str, Column] = {"digest": digest, "body": body}
        self._insert("spec", {**columns, "sum": checksum(digest, body)}, "INSERT OR IGNORE")

    def add_moment(self, life: int, seq: int, change: Change) -> None:
        """Store a moment, with the parts that came and went."""
        m = change.moment
        columns: dict[str, Column] = {"life": life, "seq": seq, **m._asdict()}
        columns["resident"] = str(m.resident)  # SQLite's integers end at 2^63
        self._insert("moment", {**columns, "sum": checksum(*columns.values())})
        for part in change.gone:
            self._query(
                "UPDATE part SET until = ? WHERE life = ? AND until = ? AND kind = ? AND first = ?",
                seq,
                life,
                FOREVER,
                part.kind,
                part.first,
            )
        for new in change.come:
            self.add_part(life, seq, new)

    def add_part(self, life: int, since: int, part: NewPart) -> None:
        """Store a part that is valid from moment *since* on."""
        columns: dict[str, Column] = {"life": life, **part._asdict()}
        columns |= {"since": since, "until": FOREVER, "sum": checksum(*part)}
        self._insert("part", columns)

    def add_event(self, event: EventRow) -> None:
        """Store an event."""
        import json

        columns: dict[str, Column] = {
            **event._asdict(),
            "time_ns": str(event.time_ns),
            "stages": json.dumps(event.stages),
        }
        self._insert("event", {**columns, "sum": checksum(*columns.values())})

    def add_crash(self, vm: str, time_ns: int, head: str, record: bytes) -> int:
        """Store a crash dump, encoded; its id."""
        row: dict[str, Column] = {"vm": vm, "time_ns": str(time_ns), "head": head, "record": record}
        return self._insert("crash", row)

    def remove_crash(self, crash_id: int) -> None:
        """Forget a crash dump."""
        self._query("DELETE FROM crash WHERE id = ?", crash_id)

    def _insert(self, table: str, columns: Mapping[str, Column], verb: str = "INSERT") -> int:
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" * len(columns))
        assert self._db is not None
        cursor = self._db.execute(
            f"{verb} INTO {table} ({names}) VALUES ({marks})", tuple(columns.values())
        )
        return cursor.lastrowid or 0

    def _query(self, sql: str, *values: Column) -> list[Any]:
        if self._db is None:
            return []
        return self._db.execute(sql, tuple(map(_comparable, values))).fetchall()


def _comparable(value: Column) -> Column:
    """*value*; text that UTF-8 has no bytes for as something that equals nothing stored."""
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return None
    return value


_FROM_CRASH = "SELECT id, vm, time_ns, head FROM crash"


def _crash(row: tuple[Any, ...]) -> CrashRow:
    crash_id, vm, time_ns, head = row
    return CrashRow(crash_id, vm, int(time_ns), head)


def _vm_row(row: Iterable[Any]) -> VmRow:
    name, life, seq, stamp, *rest = row
    if not isinstance(name, str):
        raise Damaged("a VM", f"its name is {name!r}")
    if not all(type(number) is int for number in (life, seq, stamp)):
        raise Damaged(str(name), "it is at no moment")
    moment, spec = _moment(name, life, seq, rest)
    return VmRow(name, life, seq, stamp, moment, spec)


def _moment(what: str, life: int, seq: int, row: Iterable[Any]) -> tuple[Moment, str]:
    *columns, stored, spec, spec_sum = row
    if stored is None or checksum(life, seq, *columns) != stored:
        raise Damaged(what, "a row is not as it was written")
    if spec is None or checksum(columns[1], spec) != spec_sum:
        raise Damaged(what, "its description is not as it was written")
    state, digest, maps, outline, resident, parts, crash = columns
    return Moment(state, digest, maps, outline, int(resident), parts, crash), spec


def _event(what: str, row: tuple[Any, ...]) -> EventRow:
    import json

    *columns, stored = row
    if checksum(*columns) != stored:
        raise Damaged(what, "an event is not as it was written")
    life, number, time_ns, action, result, stages, digest, crash = columns
    named = tuple((str(name), int(seq)) for name, seq in json.loads(stages))
    return EventRow(life, number, int(time_ns), action, result, named, digest, crash)
