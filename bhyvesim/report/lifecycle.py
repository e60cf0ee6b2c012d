"""What creating, touching, rebooting and destroying VMs came to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bhyvesim.host.host import Destroyed
from bhyvesim.kernel.gpt.access import Access
from bhyvesim.kernel.results import Held
from bhyvesim.report.model import Column, Report
from bhyvesim.vm.life import Booted, Rebooted
from bhyvesim.vm.spec import VmSpec


def touched(access: Access) -> Report:
    """Guest accesses: how many pages, how many entries, and the first failure."""
    where = "" if access.gpa is None else f"{access.gpa:#x}"
    rows = ((str(access.ok), str(access.mapped), access.fault or "none", where),)
    columns = (Column("ACCESSED", True), Column("MAPPED", True), Column("FAULT"), Column("AT"))
    return Report(columns, rows, access._asdict())


def held(hold: Held) -> Report:
    """A hold: its id, or why there is none."""
    where = "" if hold.gpa is None else f"{hold.gpa:#x}"
    shown = "" if hold.id is None else str(hold.id)
    columns = (Column("HOLD", True), Column("FAULT"), Column("AT"))
    data = {"hold": hold.id, "fault": hold.fault, "gpa": hold.gpa}
    return Report(columns, ((shown, hold.fault or "none", where),), data)


def booted(spec: VmSpec, result: Booted) -> Report:
    """What the guest touched when it started."""
    counts = (result.accessed, result.mapped, len(result.failures))
    names = ("NAME", "TOUCHED", "MAPPED", "FAULTS")
    return _counts(spec, names, counts, _boot_data(result))


def rebooted(spec: VmSpec, result: Rebooted) -> Report:
    """Which pages were lost, and both page counts."""
    lost = [{"gpa": gpa, "pages": pages} for gpa, pages in result.lost]
    counts = (sum(pages for _, pages in result.lost), result.resident, result.present)
    data = {
        **_boot_data(result.booted),
        "lost": lost,
        "resident": result.resident,
        "present": result.present,
    }
    return _counts(spec, ("NAME", "LOST", "RESIDENT", "MAPPED"), counts, data)


def destroyed(outcomes: Sequence[Destroyed]) -> Report:
    """What became of each VM, and how many tables leaked."""
    words = [(o.name, _outcome(o), o.leaked) for o in outcomes]
    rows = tuple(
        (name, word, "" if leaked is None else str(leaked)) for name, word, leaked in words
    )
    data = [{"name": name, "outcome": word, "leaked": leaked} for name, word, leaked in words]
    columns = (Column("NAME"), Column("OUTCOME"), Column("LEAKED", True))
    return Report(columns, rows, {"destroyed": data})


def _outcome(outcome: Destroyed) -> str:
    if outcome.stopped is not None:
        return outcome.stopped.state
    return "destroyed" if outcome.ended is None else "forgotten"


def _counts(
    spec: VmSpec, names: tuple[str, ...], counts: tuple[int, ...], data: dict[str, Any]
) -> Report:
    columns = (Column(names[0]), *(Column(name, right=True) for name in names[1:]))
    return Report(columns, ((spec.name, *map(str, counts)),), {"name": spec.name, **data})


def _boot_data(result: Booted) -> dict[str, Any]:
    faults = [{"gpa": failure.gpa, "fault": failure.fault} for failure in result.failures]
    return {"accessed": result.accessed, "mapped": result.mapped, "faults": faults}
