"""The state file: what is damaged in it, and what was removed from it."""

from __future__ import annotations

from typing import NamedTuple

from bhyvesim.report.model import Column, Report
from bhyvesim.store.check import Checked, Finding
from bhyvesim.store.upkeep import Freed

_COLUMNS = (Column("DAMAGED"), Column("PROBLEM"))
_CALLED = {
    "vm": "VM",
    "moment": "moment",
    "part": "part",
    "event": "event",
    "spec": "description",
    "host": "host",
    "crash": "crash dump",
}


class StateChecked(NamedTuple):
    """`bhyvesim state check`: how many rows of each kind there are, and what is wrong."""

    rows: dict[str, int]
    findings: tuple[Finding, ...]


class StateCompacted(NamedTuple):
    """`bhyvesim state compact`: what went, and the bytes of the file before and after."""

    dumps: int
    events: int
    bytes_before: int
    bytes_after: int


def checked(found: Checked) -> Report:
    """A row a finding; what was looked at is said by :func:`looked_at`."""
    record = StateChecked(found.rows, tuple(found.findings))
    return Report(_COLUMNS, tuple(found.findings), record)


def looked_at(found: Checked) -> str:
    """What was looked at: ``2 VMs, 5 moments and 1 event``."""
    rows = found.rows
    words = [f"{n} {_CALLED[kind]}{'s' * (n != 1)}" for kind, n in rows.items() if n]
    return " and ".join([", ".join(words[:-1]), *words[-1:]][len(words) < 2 :]) or "nothing"


def compacted(freed: Freed) -> Report:
    """One row."""
    record = StateCompacted(*freed)
    columns = tuple(Column(name, True) for name in ("DUMPS", "EVENTS", "BYTES", "BYTES LEFT"))
    return Report(columns, (tuple(map(str, record)),), record)
