"""bhyvectl's manner: ``bhyvesim --vm=NAME --get-memmap``.

It goes round click, whose options know neither abbreviations nor permutation, and it
imports the engine only where the engine is asked for: printing a memory map is the
fastest thing that bhyvesim does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from bhyvesim.cli.bhyvectl.getopt import OptionError, parse
from bhyvesim.cli.bhyvectl.options import SIMULATED, TABLE
from bhyvesim.cli.session import FORMATS, Format, Session
from bhyvesim.cli.streams import COLOURS, choose_colour
from bhyvesim.errors import UsageError
from bhyvesim.report.memory import memory_map, segments
from bhyvesim.report.model import Report
from bhyvesim.store.maps import Maps, decode_maps, decoding

Word = TypeVar("Word", bound=str)

# Ours, beside bhyvectl's: never abbreviated, so that they make nothing ambiguous.
OURS = {
    "config": True,
    "format": True,
    "at": True,
    "crash": True,
    "revision-file": True,
    "color": True,
    "replace": False,
    "graph": False,
    "quiet": False,
    "verbose": False,
    "trust-state": False,
}
_SHORT = {"-q": "quiet", "-v": "verbose"}
_CHANGING = frozenset(
    ("create", "set-mem", "pause", "resume", "force-reset", "force-poweroff", "destroy")
)
# How a thing is done; what is of these alone asks for nothing: bhyvectl opens the VM then, and
# that may fail.
_HOW = {"format", "quiet", "verbose", "revision-file", "color", "trust-state"}


def main(argv: Sequence[str], session: Session) -> int:
    """Do what the options say, in bhyvectl's order, whatever order they came in."""
    options = _options(argv)
    gpa = _address(options["get-gpa-pmap"]) if "get-gpa-pmap" in options else None
    session.vm, session.quiet = options.get("vm"), "quiet" in options
    session.verbose = "verbose" in options
    session.trusted |= "trust-state" in options
    session.at, session.crash = options.get("at"), options.get("crash")
    if session.at is not None or session.crash is not None:
        _check_looks_only(options)
    if "revision-file" in options:
        from bhyvesim import revision_file

        revision_file.read(options["revision-file"])
    if "color" in options:
        choose_colour(_choice("color", options["color"], COLOURS))
    fmt = _choice("format", options["format"], FORMATS) if "format" in options else None
    if "graph" in options and fmt == "json":
        raise UsageError("--graph is a picture: expected --format=plain or --format=table")
    if "create" in options:
        _create(session, options)
    if "set-mem" in options:
        mebibytes = _atoi(options["set-mem"])
        if mebibytes <= 0:
            raise UsageError(f"--set-mem={mebibytes}: expected a number of MiB from 1 on")
        session.host.set_memory(session.which(), mebibytes)
    told: list[Report] = []
    say = told.append if fmt == "json" else partial(session.emit, fmt=fmt)
    _show_maps(session, options, say, fmt)
    _show_tables(session, options, gpa, say)
    if told:
        session.emit(_together(told), fmt)
    return _end(session, options)


def _together(reports: Sequence[Report]) -> Report:
    """One report that has all keys of *reports*: for programs, a document is one."""
    if len(reports) == 1:
        return reports[0]
    from bhyvesim.report.model import plain

    all_of_it = {key: value for report in reports for key, value in plain(report.data).items()}
    return reports[0]._replace(data=all_of_it)


def _options(argv: Sequence[str]) -> dict[str, str]:
    try:
        options, _ = parse(argv, TABLE, OURS, _SHORT)
    except OptionError as error:
        raise UsageError(f"{error}{_nearest(error.typed)}") from None
    for name in options:
        if name not in SIMULATED and name not in OURS:
            raise UsageError(f"bhyvectl option --{name} is not simulated")
    for name in ("config", "replace"):
        if name in options and "create" not in options:
            raise UsageError(f"--{name} goes with --create")
    for name in ("pause", "resume"):
        others = _CHANGING & options.keys() - {name}
        if name in options and others:
            other = min(others)
            raise UsageError(f"--{name} with --{other}: which comes first is not known; say one")
    if "graph" in options and "get-memmap" not in options:
        raise UsageError("--graph goes with --get-memmap")
    return options


def _nearest(typed: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(typed[:40], [*SIMULATED, *OURS], n=1)
    return f"; did you mean --{near[0]}?" if near else ""


def _check_looks_only(options: dict[str, str]) -> None:
    """Raises UsageError where something else than the present is to be changed."""
    for name in options:
        if name in _CHANGING:
            raise UsageError(f"--{name} with --at or --crash: the past cannot be changed")


def _choice(name: str, value: str, words: Sequence[Word]) -> Word:
    for known in words:
        if value == known:
            return known
    raise UsageError(f"--{name}={value[:40]!r}: expected one of {', '.join(words)}")


def _atoi(text: str) -> int:
    """C's atoi(): the digits in front, else 0."""
    text = text.strip()
    sign = -1 if text[:1] == "-" else 1
    digits = ""
    for character in text.lstrip("+-") if text[:1] in ("+", "-") else text:
        if character not in "0123456789":
            break
        digits += character
    return sign * int(digits[:18] or "0")


def _create(session: Session, options: dict[str, str]) -> None:
    """With --config the VM that it describes; without, as bhyvectl, one that has no memory."""
    from bhyvesim.cli.files import check_name, read_vm_file
    from bhyvesim.cli.life import say_created
    from bhyvesim.vm.spec import empty_vm

    if "config" in options:
        spec = read_vm_file(options["config"], session.vm)
    elif session.vm is not None:
        check_name(session.vm)
        spec = empty_vm(session.vm)
    else:
        raise UsageError("--create wants --vm=NAME, or --config=FILE with a description")
    session.vm = spec.name
    created = session.host.create(spec, replace="replace" in options)
    if "config" in options:
        say_created(session, created)


def _show_maps(
    session: Session, options: dict[str, str], say: Callable[[Report], None], fmt: Format | None
) -> None:
    wanted = options.keys() & {"get-memseg", "get-memmap", "get-lowmem", "get-highmem"}
    if not wanted:
        if not options.keys() - {"vm", "cpu", "at", "crash", *_HOW}:
            session.stored()
        return
    maps = _maps(session)
    if "get-memseg" in wanted:
        say(segments(maps.segs))
    if "get-memmap" in wanted:
        if "graph" in options:
            _draw(maps, fmt)
        else:
            say(memory_map(maps.segs, maps.memmaps))
    for name in ("lowmem", "highmem"):
        if f"get-{name}" in wanted:
            from bhyvesim.report.bhyvectl import ram_extent

            say(ram_extent(name, maps.segs, maps.memmaps))


def _draw(maps: Maps, fmt: Format | None) -> None:
    """The memory map as a picture: as wide as the terminal; elsewhere, in ASCII for 80 columns."""
    import sys

    from bhyvesim.cli.pages import usual, width
    from bhyvesim.cli.streams import UNKNOWN_WIDTH
    from bhyvesim.report.graph import ASCII, BLOCKS, memory_graph

    pretty = (fmt or usual("table")) == "table"
    marks = BLOCKS if pretty and "utf" in (sys.stdout.encoding or "").lower() else ASCII
    lines = memory_graph(maps.segs, maps.memmaps, width() if pretty else UNKNOWN_WIDTH, marks)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))
    sys.stdout.flush()


def _show_tables(
    session: Session, options: dict[str, str], gpa: int | None, say: Callable[[Report], None]
) -> None:
    if not options.keys() & {"get-eptp", "get-gpa-pmap", "get-stats"}:
        return
    from bhyvesim.cli.subject import subject
    from bhyvesim.report import bhyvectl as layouts

    machine = subject(session).machine
    cpu = _atoi(options.get("cpu", "0"))
    if "get-eptp" in options:
        say(layouts.eptp(machine, cpu))
    if gpa is not None:
        say(layouts.gpa_pmap(machine, gpa))
    if "get-stats" in options:
        say(layouts.stats(machine, cpu))


def _address(text: str) -> int:
    from bhyvesim.errors import BadValue
    from bhyvesim.units import parse_address

    try:
        return parse_address(text)
    except BadValue as error:
        raise UsageError(f"--get-gpa-pmap: {error}") from None


def _end(session: Session, options: dict[str, str]) -> int:
    """pause or resume; force-reset, force-poweroff, destroy, in this order, until one fails."""
    for name in ("pause", "resume"):
        if name in options:
            from bhyvesim.cli.life import say_paused

            say_paused(session, name, session.which())
    ends = [name for name in ("force-reset", "force-poweroff", "destroy") if name in options]
    status = 0
    for name in ends:
        from bhyvesim.cli.life import say_destroyed, say_rebooted

        if name == "force-reset":
            say_rebooted(session, session.host.reboot(session.which()))
        elif name == "force-poweroff":
            session.host.power_off(session.which())
        else:
            status = say_destroyed(session, session.host.destroy(session.which()))
    return status


def _maps(session: Session) -> Maps:
    if session.at is not None or session.crash is not None:
        from bhyvesim.cli.subject import subject

        machine = subject(session).machine
        return Maps(list(machine.segs.values()), machine.slots, machine.next_host_pfn)
    row = session.stored_to_show()
    with decoding(row.name):
        return decode_maps(row.moment.maps)
