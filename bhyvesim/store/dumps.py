"""Crash dumps in the state file.

Apart from :mod:`.codec`, so that listing the VMs does not import what reads a dump.
"""

from __future__ import annotations

import json

from bhyvesim.crash.codec import BadDump, decode
from bhyvesim.crash.dump import CrashDump
from bhyvesim.errors import NONSENSE
from bhyvesim.store.rows import CrashRow, Damaged
from bhyvesim.store.transaction import Transaction


def head_of(dump: CrashDump) -> str:
    """What a list of dumps shows of *dump*, so that it need not be read for it."""
    head = {"uuid": dump.uuid, "gpt": dump.gpt, "debug": dump.debug, "message": dump.message}
    return json.dumps(head, separators=(",", ":"))


def read_crash(transaction: Transaction, row: CrashRow) -> CrashDump:
    """The dump of *row*; one of 0.1 is text. Raises Damaged where it makes no sense."""
    record = transaction.crash_record(row.id)
    try:
        if isinstance(record, str):
            from bhyvesim.store.old_dumps import read_old_dump

            return read_old_dump(row.vm, row.time_ns, record)
        return decode(record)
    except (BadDump, *NONSENSE) as error:
        raise Damaged(f"crash dump {row.id}", error) from None
