"""Whether the state file is as it was written: SQLite's own check, and the checksums of rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bhyvesim.kernel.revisions import UnknownRevision
from bhyvesim.store import codec, outcome
from bhyvesim.store.dumps import head_of, read_crash
from bhyvesim.store.maps import decoding
from bhyvesim.store.rows import Damaged
from bhyvesim.store.schema import INDEXES, TABLES
from bhyvesim.store.transaction import Transaction

MOST = 1000  # findings that are kept: a file that is broken all over has as many as rows
_LINES = 20  # of SQLite's own check


class Finding(NamedTuple):
    """What is damaged, and what is wrong with it."""

    what: str
    problem: str


class Checked(NamedTuple):
    """How many rows there were of each kind, and what is wrong."""

    rows: dict[str, int]
    findings: list[Finding]


def check_file(db: sqlite3.Connection) -> list[Finding]:
    """What SQLite itself finds wrong with the file."""
    try:
        lines = [str(row[0]) for row in db.execute(f"PRAGMA quick_check({_LINES})")]
    except outcome.UNREADABLE as error:
        lines = [outcome.said(error)]
    return [Finding("the file", line) for line in lines if line != "ok"]


def check_rows(db: sqlite3.Connection) -> Checked:
    """What is wrong with the rows of a file of the newest version; all of it is looked at."""
    findings: list[Finding] = []
    rows: dict[str, int] = {}
    for table, look in _LOOKS.items():
        try:
            rows[table] = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for finding in look(Transaction(db)):
                if len(findings) < MOST:
                    findings.append(finding)
        except outcome.UNREADABLE as error:
            findings.append(Finding(f"the table {table}", outcome.said(error)))
    return Checked(rows, findings)


def is_whole(transaction: Transaction, life: int) -> bool:
    """Whether nothing is wrong with what is kept of a life."""
    looks = (_moments, _parts, _events)
    return not any(True for look in looks for _ in look(transaction, life))


def strangers(db: sqlite3.Connection) -> list[Finding]:
    """What the file has that no state file has: a trigger would write where nobody asked it to."""
    known = {*TABLES, *INDEXES, "sqlite_sequence"}
    return [
        Finding(f"the {kind} {name}", "it is none of bhyvesim's")
        for kind, name in db.execute("SELECT type, name FROM sqlite_master")
        if kind not in ("table", "index")
        or (name not in known and not str(name).startswith("sqlite_autoindex_"))
    ]


def _vms(transaction: Transaction) -> Iterator[Finding]:
    for row in transaction.vms():
        if isinstance(row, Damaged):
            yield _finding(row)


def _moments(transaction: Transaction, only: int | None = None) -> Iterator[Finding]:
    """Every moment, with its description, and the list of parts that it was made of."""
    for life, name in transaction.lives(only):
        for seq in transaction.moments(life):
            what = f"moment {seq} of {_called(name, life)}"
            try:
                moment, spec = transaction.moment(what, life, seq)
                transaction.parts(what, life, seq, moment)
                with decoding(what):
                    codec.decode_spec(spec)
            except Damaged as damaged:
                yield _finding(damaged)


def _parts(transaction: Transaction, only: int | None = None) -> Iterator[Finding]:
    for part, life, fits in transaction.all_parts(only):
        if not fits:
            yield Finding(f"part {part} of life {life}", "it is not as it was written")


def _events(transaction: Transaction, only: int | None = None) -> Iterator[Finding]:
    for life, name in transaction.lives(only):
        there = set(transaction.moments(life))
        for number in transaction.event_numbers(life):
            what = f"event {number} of {_called(name, life)}"
            try:
                event = transaction.event(what, life, number)
                with decoding(what):
                    json.loads(event.action), json.loads(event.result)
            except Damaged as damaged:
                yield _finding(damaged)
                continue
            for stage, seq in event.stages:
                if seq not in there:
                    yield Finding(what, f"the moment {seq} after its step {stage} is missing")


def _specs(transaction: Transaction) -> Iterator[Finding]:
    for digest, fits in transaction.specs():
        if not fits:
            yield Finding(f"the description {digest}", "it is not as it was written")


def _host(transaction: Transaction) -> Iterator[Finding]:
    try:
        text = transaction.host()
        if text is not None:
            with decoding("the host"):
                codec.decode_host(text)
    except Damaged as damaged:
        yield _finding(damaged)


def _dumps(transaction: Transaction) -> Iterator[Finding]:
    """Every dump is read: that its head is its own has no checksum."""
    for number in transaction.crash_numbers():
        what = f"crash dump {number}"
        try:
            with decoding(what):
                row = transaction.crash(number)
                if json.loads(row.head) != json.loads(head_of(read_crash(transaction, row))):
                    yield Finding(what, "its head is not as it was written")
        except UnknownRevision:
            continue  # its checksum fits; what it says nobody here can tell
        except Damaged as damaged:
            yield _finding(damaged)


def _finding(damaged: Damaged) -> Finding:
    return Finding(damaged.what, damaged.problem)


def _called(name: str, life: int) -> str:
    return f"{name} (life {life})"


_LOOKS: dict[str, Callable[[Transaction], Iterator[Finding]]] = {
    "vm": _vms,
    "moment": _moments,
    "part": _parts,
    "event": _events,
    "spec": _specs,
    "host": _host,
    "crash": _dumps,
}
