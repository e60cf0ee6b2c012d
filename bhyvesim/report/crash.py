"""A panic as illumos reports it: on the console, in mdb, and as FMA's fault record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from bhyvesim.crash.dump import CrashDump
from bhyvesim.errors import UsageError
from bhyvesim.kernel.builds import build_name
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.report.memory import MappedRow, SegmentRow, memory_map, segments
from bhyvesim.report.model import Column, Note, Report

HOST = "bhyvesim"
FORCED = "forced crash dump initiated at user request"
# The functions that report a panic; those of the simulation say themselves where they are.
_REPORTERS = {"vpanic": "unix", "assfail": "genunix", "assfail3": "genunix"}
_SIX_MONTHS = 183 * 24 * 3600

# How long after the panic the report's host had rebooted, saved its dump and diagnosed it.
_PENDING_NS = 76_363_500_000
_AVAILABLE_NS = 85_756_800_000
_DIAGNOSED_NS = 85_763_117_000
_RECORDED_NS = 85_773_713_000


class Crash(NamedTuple):
    """A stored crash dump, and its number."""

    id: int
    dump: CrashDump

    @property
    def panic_string(self) -> str:
        """What the dump says of itself: the failed assertion, or that somebody forced it."""
        return FORCED if self.dump.hung else self.dump.message

    @property
    def seconds(self) -> int:
        return self.dump.time_ns // 1_000_000_000

    @property
    def assertion(self) -> str:
        """The function that was called to panic; values in the message mean assfail3."""
        return "assfail3" if " (0x" in self.dump.message else "assfail"

    def functions(self) -> list[str]:
        """All functions of the stack; on top the assertion's, if one failed."""
        functions = [frame.function for frame in self.dump.stack]
        return functions if self.dump.hung else [self.assertion, *functions]

    def offset(self, function: str, called: str) -> int | None:
        """The return offset in *function* after its call of *called*, where it is known."""
        dump = self.dump
        return REVISIONS[dump.gpt].offsets.get((function, called)) if dump.debug else None

    def module(self, function: str) -> str:
        """The kernel module that has *function*."""
        if function in _REPORTERS:
            return _REPORTERS[function]
        known = REVISIONS[self.dump.gpt].functions.get(function)
        return "vmm" if known is None else known.module

    def address(self, function: str) -> int | None:
        """The bare address that stands for *function* on a kernel without its symbol."""
        dump = self.dump
        return REVISIONS[dump.gpt].addresses.get(function) if dump.debug else None

    @property
    def thread(self) -> int:
        """An address of the kind kernel threads have; the same for the same crash."""
        return 0xFFFFFE0000000000 | (self._salt() & 0x3FFFFFFFFF) << 6

    @property
    def cpu(self) -> int:
        return self._salt() % 8

    def frame_pointers(self, count: int) -> list[int]:
        """Ascending addresses on that thread's stack, innermost first."""
        top = 0xFFFFFE0070000000 | (self._salt() & 0xFFFF) << 12 | 0x9B0
        return [top + 0x40 * i for i in range(count)]

    def _salt(self) -> int:
        return int(self.dump.uuid.replace("-", ""), 16) >> 64


class CrashRecord(NamedTuple):
    """`bhyvesim crash show`: a dump with the machine's whole state.

    Stack rows are function and arguments, innermost first; dump is as in replay.
    """

    id: int | None
    vm: str
    time_ns: int
    locks: Annotated[
        tuple[str, ...],
        Note(meaning="Of a hang: what the thread that loops holds. Empty for a panic."),
    ]
    uuid: str
    operation: str
    gpt: str
    debug: bool
    npt: str
    memseg: tuple[SegmentRow, ...]
    memmap: tuple[MappedRow, ...]
    message: str
    stack: tuple[tuple[Any, ...], ...]
    facts: dict[str, Any]
    dump: dict[str, Any]


def record(crash: Crash) -> CrashRecord:
    """All of it: the panic or hang, the memory map, the machine's whole state."""
    dump = crash.dump
    machine = dump.machine()
    segs = list(machine.segs.values())
    return CrashRecord(
        crash.id,
        dump.vm,
        dump.time_ns,
        tuple(dump.locks),
        dump.uuid,
        dump.operation,
        dump.gpt,
        dump.debug,
        dump.npt,
        segments(segs).data.memseg,
        memory_map(segs, machine.memmaps).data.memmap,
        dump.message,
        tuple((frame.function, list(frame.args)) for frame in dump.stack),
        dict(dump.facts),
        machine.dump(),
    )


class CrashListed(NamedTuple):
    """One dump of the list; ``time`` is in seconds since the epoch."""

    id: int
    vm: str
    time: int
    uuid: str
    gpt: str
    debug: bool
    message: str


class Crashes(NamedTuple):
    """`bhyvesim crash list`: the dumps, oldest first; time in seconds."""

    crashes: tuple[CrashListed, ...]


def listed(dumps: Sequence[CrashListed]) -> Report:
    """A row a dump."""
    rows = tuple(
        (
            str(dump.id),
            dump.vm,
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(dump.time)),
            f"{dump.gpt} {build_name(dump.debug)}",
            dump.message,
        )
        for dump in dumps
    )
    columns = (
        Column("ID", True),
        Column("VM"),
        Column("TIME"),
        Column("KERNEL"),
        Column("PANIC"),
    )
    return Report(columns, rows, Crashes(tuple(dumps)), empty="no crash dumps")


def console(crash: Crash) -> str:
    """What the console shows: the panic line, and a line a frame.

    Of a hang it shows nothing by itself: this is the thread that loops, as in the dump.
    """
    functions = crash.functions()
    pointers = crash.frame_pointers(len(functions))
    frames = _symbols(crash, functions)
    did = "hang" if crash.dump.hung else "panic"
    lines = [
        f"{did}[cpu{crash.cpu}]/thread={crash.thread:x}: {crash.dump.message}",
        "",
        *(f"{fp:016x} {frame}" for fp, frame in zip(pointers, frames, strict=True)),
        "",
    ]
    return "\n".join(lines)


def _symbols(crash: Crash, functions: Sequence[str]) -> list[str]:
    """``module:function+off ()`` of each frame, innermost first; or its bare address."""
    symbols = []
    for i, function in enumerate(functions):
        address = crash.address(function)
        if address is not None:
            symbols.append(f"{address:x} ()")
            continue
        offset = crash.offset(function, functions[i - 1]) if i else None
        shown = "" if offset is None else f"+{offset:x}"
        symbols.append(f"{crash.module(function)}:{function}{shown} ()")
    return symbols


def mdb(crash: Crash) -> str:
    """What mdb's ``::status`` and ``$C`` print for the dump; of a hang, the looping thread's."""
    build = build_name(crash.dump.debug)
    functions = [*([] if crash.dump.hung else ["vpanic"]), *crash.functions()]
    pointers = crash.frame_pointers(len(functions))
    lines = [
        f"debugging crash dump vmcore.{crash.id - 1} (64-bit) from {HOST}",
        f"operating system: 5.11 illumos-{crash.dump.gpt} (i86pc)",
        f"build version: {crash.dump.gpt} {build}",
        f"image uuid: {crash.dump.uuid}",
        f"panic message: {crash.panic_string}",
        "dump content: kernel pages only",
    ]
    for i, function in enumerate(functions):
        offset = crash.offset(function, functions[i - 1]) if i else None
        shown = "" if offset is None else f"+{offset:#x}"
        lines.append(f"{pointers[i]:016x} {function}{shown}()")
    return "\n".join(lines) + "\n"


def fma(crash: Crash, now: float) -> str:
    """The fault record as ``fmdump -Vp`` prints it, times in the local zone.

    *now* (seconds since the epoch) decides how the dates of the reports are shortened.
    Raises UsageError for a hang: the record would hold the stack of the thread that forced
    the dump, which is not simulated.
    """
    if crash.dump.hung:
        raise UsageError(
            f"crash {crash.id} is a hang, and the fault record of a forced dump is not known: "
            "expected another format, such as console or mdb"
        )
    recorded = crash.dump.time_ns + _RECORDED_NS
    diagnosed = crash.dump.time_ns + _DIAGNOSED_NS
    now = max(now, recorded / 1e9)  # nobody reads a record before it was made
    events = (
        (crash.dump.time_ns + _AVAILABLE_NS, "ireport.os.sunos.panic.dump_available"),
        (crash.dump.time_ns + _PENDING_NS, "ireport.os.sunos.panic.dump_pending_on_device"),
    )
    lines = [
        f"{'TIME':<30} {'UUID':<36} SUNW-MSG-ID",
        f"{_long_date(recorded)} {crash.dump.uuid:<32} SUNOS-8000-KL",
        "",
        f"  {'TIME':<20} {'CLASS':<37} ENA",
        *(f"  {_short_date(ns, now):<20} {name:<37} 0x{0:016x}" for ns, name in events),
        "",
        "nvlist version: 0",
        *_nvlist(_suspect(crash, recorded, diagnosed), 1),
        "",
    ]
    return "\n".join(lines) + "\n"


def _suspect(crash: Crash, recorded: int, diagnosed: int) -> list[tuple[str, Any]]:
    resource = f"sw:///:path=/var/crash//.{crash.dump.uuid}"
    panicked = time.localtime(crash.seconds)
    fault = [
        ("version", "0x0"),
        ("class", "defect.sunos.kernel.panic"),
        ("certainty", "0x64"),
        ("asru", resource),
        ("resource", resource),
        ("savecore-succcess", "1"),
        ("dump-dir", "/var/crash/"),
        ("dump-files", f"vmdump.{crash.id - 1}"),
        ("os-instance-uuid", crash.dump.uuid),
        ("panicstr", crash.dump.message),
        ("panicstack", "".join(f"{s} | " for s in _symbols(crash, crash.functions()))),
        ("crashtime", str(crash.seconds)),
        ("panic-time", time.strftime("%a %b %d %H:%M:%S %Y %Z", panicked)),
    ]
    return [
        ("version", "0x0"),
        ("class", "list.suspect"),
        ("uuid", crash.dump.uuid),
        ("code", "SUNOS-8000-KL"),
        ("diag-time", f"{diagnosed // 10**9} {diagnosed % 10**9 // 1000}"),
        ("de", "fmd:///module/software-diagnosis"),
        ("fault-list-sz", "0x1"),
        ("fault-list", [fault]),
        ("fault-status", "0x1"),
        ("severity", "Major"),
        ("__ttl", "0x1"),
        ("__tod", f"{recorded // 10**9:#x} {recorded % 10**9:#x}"),
    ]


def _nvlist(pairs: list[tuple[str, Any]], depth: int) -> list[str]:
    indent = "\t" * depth
    lines = []
    for name, value in pairs:
        if isinstance(value, str):
            lines.append(f"{indent}{name} = {value}")
            continue
        lines.append(f"{indent}{name} = (array of embedded nvlists)")
        for i, inner in enumerate(value):
            lines.append(f"{indent}(start {name}[{i}])")
            lines.append(f"{indent}nvlist version: 0")
            lines += _nvlist(inner, depth + 1)
            lines.append(f"{indent}(end {name}[{i}])")
        lines.append("")
    return lines


def _long_date(ns: int) -> str:
    local = time.localtime(ns // 10**9)
    return f"{time.strftime('%b %d %Y %H:%M:%S', local)}.{ns % 10**9:09}"


def _short_date(ns: int, now: float) -> str:
    seconds = ns // 10**9
    local = time.localtime(seconds)
    if now - seconds > _SIX_MONTHS or seconds - now > 60:
        return time.strftime("%b %d %Y %H:%M:%S", local)
    return f"{time.strftime('%b %d %H:%M:%S', local)}.{ns % 10**9 // 100_000:04}"
