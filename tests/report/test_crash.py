"""FMA's fault record: how it shortens dates, and when it was made."""

from __future__ import annotations

import pytest

from bhyvesim import KernelPanic, Machine
from bhyvesim.crash.dump import CrashDump
from bhyvesim.report.crash import Crash, fma

DAY = 24 * 3600
PANICKED = 1630143825  # the 28th of August 2021, 02:43:45 where the tests are
AVAILABLE = PANICKED + 86  # the second event of the record, rounded up


@pytest.fixture(scope="module")
def crash():
    machine = Machine("13896")
    machine.alloc_memseg(0, 0x1000)
    machine.mmap_memseg(0, 0, 0, 0x1000, 7)
    with pytest.raises(KernelPanic) as caught:
        machine.access(0x1000, by="device")
    keys = {"vm": "x", "operation": "touch", "time_ns": PANICKED * 10**9}
    uuid = "af0220c2-01f9-585a-ae1c-fe71c3077764"
    return Crash(1, CrashDump.of(caught.value, machine, uuid=uuid, **keys))


@pytest.mark.parametrize(
    ("now", "dates"),
    [
        (PANICKED, ["Aug 28 02:45:10.7568", "Aug 28 02:45:01.3635"]),
        (PANICKED - 1000 * DAY, ["Aug 28 02:45:10.7568", "Aug 28 02:45:01.3635"]),
        (AVAILABLE + 182 * DAY, ["Aug 28 02:45:10.7568", "Aug 28 02:45:01.3635"]),
        (AVAILABLE + 183 * DAY, ["Aug 28 2021 02:45:10", "Aug 28 2021 02:45:01"]),
        (AVAILABLE + 9999 * DAY, ["Aug 28 2021 02:45:10", "Aug 28 2021 02:45:01"]),
    ],
)
def test_after_six_months_a_date_has_its_year_instead_of_fractions(crash, now, dates):
    lines = fma(crash, now).splitlines()
    assert [line[2:22] for line in lines[4:6]] == dates
    assert lines[1].startswith("Aug 28 2021 02:45:10.773713000 ")  # which is never shortened
