"""Crash dumps in the state file.

Apart from :mod:`.codec`, so that listing the VMs does not import what reads a dump.
"""

from __future__ import annotations

from bhyvesim.crash.dump import BadDump, CrashDump, decode
from bhyvesim.errors import StateError
from bhyvesim.store.store import CrashRow


def decode_crash(row: CrashRow) -> CrashDump:
    """The dump in *row*; one of 0.1 is text. Raises StateError where it makes no sense."""
    try:
        if isinstance(row.record, str):
            from bhyvesim.store.old_dumps import read_old_dump

            return read_old_dump(row.vm, row.time_ns, row.record)
        return decode(row.record)
    except (BadDump, ValueError, LookupError, TypeError) as error:
        raise StateError(
            f"the state of crash dump {row.id} is damaged ({error}); nothing was written"
        ) from None
