"""Prints examples/recordings/two-vms.jsonl: two VMs at one time, on a simulated host of 14367."""

from __future__ import annotations

import sys

from bhyvesim.ops import ioctls as ops
from bhyvesim.prot import ALL, EXEC, READ, WRITE
from bhyvesim.units import GIB, MIB
from tests.live.host import BHYVECTL, Host

_ROM = 2 * MIB
_TOP = 4 * GIB


def recording():
    """What the script of `bhyvesim record` would print."""
    host = Host()
    web = host.create("web", "14367", vm=0xFFFFFE0B12340000)
    db = host.create("db", "14367", vm=0xFFFFFE0B56780000)
    for guest, high in ((web, 5 * GIB), (db, 13 * GIB)):
        guest.do(
            ops.AllocMemseg(0, 3 * GIB, ""),
            ops.AllocMemseg(1, high, ""),
            ops.AllocMemseg(2, _ROM, "bootrom"),
        )
    web.do(ops.MmapMemseg(_TOP, 1, 0, 5 * GIB, ALL), ops.MmapMemseg(0, 0, 0, 3 * GIB, ALL))
    db.do(ops.MmapMemseg(_TOP, 1, 0, 13 * GIB, ALL), ops.MmapMemseg(0, 0, 0, 3 * GIB, ALL))
    for guest in (web, db):
        guest.do(ops.MmapMemseg(_TOP - _ROM, 2, 0, _ROM, READ | EXEC))
        guest.do(ops.Access(_TOP - 0x1000, 1, EXEC))
    for page in range(4):
        web.do(ops.Access(page * 0x1000, 1, WRITE))
        db.do(ops.Access(_TOP + page * 0x1000, 1, READ))
    web.do(ops.Access(_TOP - _ROM, 1, WRITE))  # to the ROM
    db.do(ops.AllocMemseg(4, 16 * MIB, "framebuffer"))
    web.do(ops.TrackDirtyPages(0, 128 * MIB))
    web.do(ops.Reinit(), thread=BHYVECTL)
    web.do(ops.MmapMemseg(_TOP - _ROM, 2, 0, _ROM, READ | EXEC))
    db.do(ops.Destroy(), thread=BHYVECTL)
    web.do(ops.Destroy(), thread=BHYVECTL)
    return host.end().text


if __name__ == "__main__":
    sys.stdout.write(recording())
