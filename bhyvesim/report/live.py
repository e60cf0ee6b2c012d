"""What a live host answered, beside what kernels answer: for each VM, and for the host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from bhyvesim.report.fit import Page, paragraph, table
from bhyvesim.report.model import Column, one_of

FITS, DIFFERS, UNKNOWN = "fits", "differs", "unknown"
_Verdict = Annotated[str, one_of((FITS, DIFFERS, UNKNOWN))]

_VMS = (Column("VM"), Column("LINES"), Column("ANSWERS", right=True), Column("AS"), Column(""))
_KERNELS = (Column("KERNEL"), Column("VM"), Column("FIRST DIFFERENCE"))


@dataclass(frozen=True, slots=True)
class LiveDifference:
    """The first answer that is another: its line, the function, the host's and the kernel's."""

    line: int
    function: str
    host: str
    kernel: str


@dataclass(frozen=True, slots=True)
class LiveKernel:
    """Kernels of one revision that came to the same; ``difference`` null: they agree."""

    name: str
    difference: LiveDifference | None


@dataclass(frozen=True, slots=True)
class LiveStop:
    """Kernels that agree, and how they stop in the call."""

    stop: str
    kernels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiveUnderWay:
    """The call that had not come back at the end, its line, and which kernels stop in it."""

    line: int
    function: str
    stops: tuple[LiveStop, ...]


@dataclass(frozen=True, slots=True)
class LiveVm:
    """One VM of a recording: its address in the host's kernel, and the lines that it is in.

    ``compared`` answers were held against the kernels, ``skipped`` ones have a reason outside of
    the memory code. From the line ``unknown_from`` on nothing is certain, and ``why`` (null and
    empty: all is known). ``verdict``: differs if no kernel that was asked for agrees.
    """

    name: str
    vm: str
    first: int
    last: int
    compared: int
    skipped: int
    unknown_from: int | None
    why: str
    verdict: _Verdict
    agreeing: tuple[str, ...]
    kernels: tuple[LiveKernel, ...]
    under_way: LiveUnderWay | None


@dataclass(frozen=True, slots=True)
class Live:
    """`bhyvesim replay --live`: a host's answers beside those of kernels.

    ``asked``: the revisions; ``possible``: the kernels that agree in all VMs. ``verdict``: fits
    if some do, and nothing of any VM is unknown; unknown if some do as far as it is known.
    """

    source: str
    asked: tuple[str, ...]
    lines: int
    notes: tuple[str, ...]
    vms: tuple[LiveVm, ...]
    possible: tuple[str, ...]
    verdict: _Verdict


def page(record: Live) -> Page:
    """A row for each VM and each kernel that differs, and a sentence on the host."""
    return Page(record, lambda width: list(_lines(record, width)))


def _lines(record: Live, width: int | None) -> Iterator[str]:
    for note in record.notes:
        yield from paragraph(f"{record.source}: {note}", width, "", "    ")
    if record.vms:
        yield from table(_VMS, [_vm_row(vm) for vm in record.vms], width)
        rows = [row for vm in record.vms for row in _kernel_rows(vm)]
        if rows:
            yield ""
            yield from table(_KERNELS, rows, width)
        for vm in record.vms:
            yield from _under_way(vm, width)
        yield ""
    yield from paragraph(_sentence(record), width, "", "    ")


def _vm_row(vm: LiveVm) -> tuple[str, ...]:
    lines = f"{vm.first}-{vm.last}"
    agreeing = ", ".join(vm.agreeing) if vm.compared else ""
    unknown = "" if vm.unknown_from is None else f"unknown from line {vm.unknown_from}: {vm.why}"
    return vm.name, lines, str(vm.compared), agreeing or "-", unknown


def _kernel_rows(vm: LiveVm) -> Iterator[tuple[str, ...]]:
    for kernel in vm.kernels:
        d = kernel.difference
        if d is not None:
            told = f"line {d.line}, {d.function}: {d.host} there, {d.kernel} here"
            yield kernel.name, vm.name, told


def _under_way(vm: LiveVm, width: int | None) -> Iterator[str]:
    """The last call, if it never came back: what a crash begins with."""
    call = vm.under_way
    if call is not None:
        stops = "; ".join(f"{s.stop} on {', '.join(s.kernels)}" for s in call.stops)
        text = f"{vm.name}: line {call.line}, {call.function} had not come back at the end"
        yield ""
        yield from paragraph(f"{text}: {stops}" if stops else text, width, "", "    ")


def _sentence(record: Live) -> str:
    possible = " or ".join(record.possible)
    if record.verdict == FITS:
        return f"your host behaves as {possible}"
    if record.verdict == UNKNOWN:
        if not any(vm.compared for vm in record.vms):
            return "unknown: there was no answer to compare"
        return f"unknown: as far as is known, your host behaves as {possible}"
    asked = " or ".join(record.asked)
    return f"your host does not behave as {asked}: {_first(record)}"


def _first(record: Live) -> str:
    """The line at which the last of the kernels is ruled out."""
    lines = [
        (max(k.difference.line for k in vm.kernels if k.difference is not None), vm.name)
        for vm in record.vms
        if vm.verdict == DIFFERS
    ]
    if not lines:
        return "no kernel agrees in all of the VMs"
    line, name = min(lines)
    what = "first difference" if len(record.asked) == 1 else "the last of them differs"
    return f"{what} at line {line} ({name})"
