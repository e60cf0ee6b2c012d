"""What was expected of a step, against what came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bhyvesim.errors import KernelPanic, Refused
from bhyvesim.kernel import contents
from bhyvesim.kernel.gpt.rows import node_rows
from bhyvesim.kernel.look.fsck import examine
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import Memmap
from bhyvesim.prot import format_prot
from bhyvesim.scenario.model import Expectation, Observed, PanicExpectation

Mismatch = tuple[str, str]  # expected, got


def mismatch(expected: Expectation, observed: Observed, machine: Machine | None) -> Mismatch | None:
    """The first difference, as (expected, got); None if all is as it must be."""
    if expected.anything:
        return None
    wrong = _ending(expected, observed)
    if wrong is not None:
        return wrong
    for check in (_numbers, _memory, _state):
        for difference in check(expected, observed, machine):
            return difference
    return None


def _ending(expected: Expectation, observed: Observed) -> Mismatch | None:
    """How the step ended: success, an errno, a fault, a panic or a hang."""
    got = str(observed)
    if expected.hang is not None:
        wanted = f"hang in {expected.hang}"
        return None if wanted == got else (wanted, got)
    if expected.panic is not None:
        return None if _is_panic(expected.panic, observed) else (str(expected.panic), got)
    wanted = expected.errno or expected.fault or "ok"
    if expected.fault is not None and expected.gpa is not None:
        wanted = f"{expected.fault} at {expected.gpa:#x}"
    elif observed.fault is not None and observed.fault == expected.fault:
        return None
    return None if wanted == got else (wanted, got)


def _is_panic(expected: PanicExpectation, observed: Observed) -> bool:
    panic = observed.stop
    if not isinstance(panic, KernelPanic):
        return False
    return (
        expected.letter in (None, panic.letter)
        and expected.function in (None, panic.function)
        and expected.message in (None, panic.message)
        and (expected.matches is None or expected.matches.found_in(panic.message))
    )


def _numbers(
    expected: Expectation, observed: Observed, machine: Machine | None
) -> Iterator[Mismatch]:
    for name in ("pages", "mapped", "sent", "again", "leaks", "returns", "hold", "vm_run"):
        wanted, got = getattr(expected, name), getattr(observed, name)
        if wanted is not None and wanted != got:
            yield f"{name}: {wanted}", f"{name}: {_or_nothing(got)}"
    if expected.lost not in (None, observed.lost or 0):
        yield f"lost: {expected.lost}", f"lost: {observed.lost or 0}"
    if expected.bitmap not in (None, observed.bitmap):
        yield f"bitmap: {_hex(expected.bitmap)}", f"bitmap: {_hex(observed.bitmap)}"
    if expected.dirty_count is not None:
        count = None if observed.dirty is None else observed.dirty.bit_count()
        if expected.dirty_count != count:
            yield f"dirty: {expected.dirty_count} pages", f"dirty: {_or_nothing(count)} pages"
    pages = None if expected.dirty_pages is None else expected.dirty_pages.bitmap()
    if pages not in (None, observed.dirty):
        got = None if observed.dirty is None else f"{observed.dirty:#x}"
        yield f"dirty pages {pages:#x}", f"dirty pages {_or_nothing(got)}"


def _listed(kinds: Iterable[str]) -> str:
    return ", ".join(sorted(kinds)) or "nothing"


def _or_nothing(value: object) -> str:
    return "nothing" if value is None else str(value)


def _hex(bitmap: bytes | None) -> str:
    return _or_nothing(None if bitmap is None else bitmap.hex())


def _memory(
    expected: Expectation, observed: Observed, machine: Machine | None
) -> Iterator[Mismatch]:
    if expected.value is not None and observed.values is not None:
        wanted = expected.value.values(len(observed.values), 8)
        for i, (want, got) in enumerate(zip(wanted, observed.values, strict=True)):
            if want != got:
                yield f"value {i}: {want:#x}", f"value {i}: {got:#x}"
    if expected.byte is not None and observed.data is not None:
        rest = observed.data.lstrip(bytes([expected.byte]))
        if rest:
            at = len(observed.data) - len(rest)
            yield f"byte {at:#x}: {expected.byte:#x}", f"byte {at:#x}: {rest[0]:#x}"


def _state(
    expected: Expectation, observed: Observed, machine: Machine | None
) -> Iterator[Mismatch]:
    if machine is None:
        return
    gpt = machine.space.gpt
    if expected.resident not in (None, gpt.resident):
        yield f"resident: {expected.resident}", f"resident: {gpt.resident}"
    if expected.memmap is not None:
        if tuple(machine.memmaps) != expected.memmap:
            yield f"memmap: {_rows(expected.memmap)}", f"memmap: {_rows(machine.memmaps)}"
    for wanted in expected.pte:
        pte = gpt.entry(wanted.gpa >> 12)
        if wanted.value not in (None, pte):
            yield f"pte at {wanted.gpa:#x}: {wanted.value:#x}", f"{pte:#x}"
        names = machine.npt.flags(pte)
        missing = [name for name in wanted.flags if name not in names]
        if missing:
            shown = " ".join(names) or "no entry"
            yield f"pte at {wanted.gpa:#x}: {' '.join(wanted.flags)}", f"{pte:#x} ({shown})"
    if expected.tables:
        counts = dict.fromkeys(range(1, 5), 0)
        for row in node_rows(gpt):
            counts[row.level] += row.tables
        for level, number in expected.tables.items():
            if counts[level] != number:
                yield f"{number} tables of level {level}", f"{counts[level]}"
    if expected.fsck is not None:
        kinds = {finding.kind for finding in examine(machine)}
        if kinds != set(expected.fsck):
            yield f"fsck: {_listed(expected.fsck)}", f"fsck: {_listed(kinds)}"
    for content in expected.contents:
        where = f"segment {content.segid} at {content.offset:#x}"
        try:
            data = contents.read_segment(machine, content.segid, content.offset, content.size)
        except Refused as refused:
            yield f"{where}: {content.value:#x}", refused.reason
            continue
        got = int.from_bytes(data, "little")
        if got != content.value:
            yield f"{where}: {content.value:#x}", f"{where}: {got:#x}"


def _rows(memmaps: Sequence[Memmap]) -> str:
    shown = [
        f"{m.gpa:#x} {m.length:#x} segment {m.segid}+{m.segoff:#x} {format_prot(m.prot)}"
        + (" wired" if m.wired else "")
        for m in memmaps
    ]
    return "; ".join(shown) or "nothing"
