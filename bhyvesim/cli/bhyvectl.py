"""bhyvectl's manner: ``bhyvesim --vm=NAME --get-memmap``.

It goes round click, whose options know neither abbreviations nor permutation, and it
imports the engine only where the engine is asked for: printing a memory map is the
fastest thing that bhyvesim does.
"""

from __future__ import annotations

from collections.abc import Sequence

from bhyvesim.cli.getopt import OptionError, parse
from bhyvesim.cli.session import FORMATS, Format, Session, decoding
from bhyvesim.errors import UsageError
from bhyvesim.report.memory import memory_map, segments
from bhyvesim.store.maps import Maps, decode_maps
from bhyvesim.store.store import VmRow

# bhyvectl's options that mean something here, and whether they take an argument.
SIMULATED = (
    ("vm", True),
    ("create", False),
    ("destroy", False),
    ("get-memmap", False),
    ("get-memseg", False),
    ("force-reset", False),
)
# Ours, beside bhyvectl's: never abbreviated, so that they make nothing ambiguous.
OURS = {"config": True, "format": True, "replace": False}
# Options of the subcommands' root, which therefore do not decide for bhyvectl's manner.
_ROOT_OPTIONS = ("--help", "--version")


def is_bhyvectl_style(argv: Sequence[str]) -> bool:
    """Whether *argv* is options alone up to its first operand, beyond ``--vm``."""
    i = 0
    seen_vm = False
    while i < len(argv):
        word = argv[i]
        if word == "--vm":
            seen_vm = True
            i += 2
        elif word.startswith("--vm="):
            seen_vm = True
            i += 1
        else:
            return word.startswith("--") and word not in _ROOT_OPTIONS
    return seen_vm


def main(argv: Sequence[str]) -> int:
    """Do what the options say, in bhyvectl's order, whatever order they came in."""
    try:
        options, _ = parse(argv, SIMULATED, OURS)
    except OptionError as error:
        raise UsageError(f"{error}; see 'bhyvesim --help'") from None
    fmt = _format(options.get("format"))
    session = Session(options.get("vm"))
    for name in ("config", "replace"):
        if name in options and "create" not in options:
            raise UsageError(f"--{name} goes with --create")
    if "create" in options:
        _create(session, options)
    if "get-memseg" in options or "get-memmap" in options:
        maps = _maps(session)
        if "get-memseg" in options:
            session.emit(segments(maps.segs), fmt)
        if "get-memmap" in options:
            session.emit(memory_map(maps.segs, maps.memmaps), fmt)
    if "force-reset" in options:
        from bhyvesim.cli import actions
        from bhyvesim.cli.lifecycle import say_rebooted

        say_rebooted(session, *actions.reboot(session))
    if "destroy" in options:
        from bhyvesim.cli import actions
        from bhyvesim.cli.lifecycle import say_destroyed

        return say_destroyed(session, *actions.destroy(session))
    if not options.keys() - {"vm", "format"}:
        _stored(session)
    return 0


def _format(value: str | None) -> Format | None:
    for known in FORMATS:
        if value == known:
            return known
    if value is None:
        return None
    raise UsageError(f"--format={value[:40]!r}: expected one of {', '.join(FORMATS)}")


def _create(session: Session, options: dict[str, str]) -> None:
    from bhyvesim.cli import actions
    from bhyvesim.cli.files import read_vm_file
    from bhyvesim.cli.lifecycle import say_created

    if "config" not in options:
        raise UsageError("--create wants --config=FILE, the description of the VM")
    spec = read_vm_file(options["config"], session.vm)
    session.vm = spec.name
    booted = actions.create(session, spec, replace="replace" in options)
    say_created(session, spec, booted)


def _stored(session: Session) -> VmRow:
    with session.store.reading() as transaction:
        return transaction.vm(session.name(transaction))


def _maps(session: Session) -> Maps:
    row = _stored(session)
    if row.panicked:
        session.note(f"{row.name} has panicked: this is from its crash dump, crash {row.crash}")
    with decoding(row.name):
        return decode_maps(row.maps)
