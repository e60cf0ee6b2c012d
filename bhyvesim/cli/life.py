"""What the commands of a VM's life do, and what they say of it; their options are click's."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from bhyvesim.cli.session import Format, Session
from bhyvesim.cli.streams import UNKNOWN_WIDTH
from bhyvesim.errors import HostStopped
from bhyvesim.host.host import Created, Destroyed, Done, Rebooted, Stopped
from bhyvesim.kernel.builds import build_name
from bhyvesim.kernel.calls import Warned
from bhyvesim.kernel.vmrun import vm_run_sees
from bhyvesim.ops.operation import Operation
from bhyvesim.prot import format_prot
from bhyvesim.units import PAGE_SHIFT, format_size
from bhyvesim.vm.life import Booted, touching
from bhyvesim.vm.spec import TouchSpec

TOUCH_LENGTH, TOUCH_ACCESS = "4K", "r"  # where a touch says nothing else
_SHOWN = 3  # of warnings that are alike


def reboot(session: Session, fmt: Format | None) -> None:
    """Reboot the VM that is meant. Raises as :meth:`Host.reboot`."""
    rebooted = session.host.reboot(session.which())
    say_rebooted(session, rebooted)
    if fmt is not None:
        from bhyvesim.report import lifecycle

        session.emit(lifecycle.rebooted(rebooted.spec, rebooted.result), fmt)


def touch(session: Session, touched: TouchSpec, fmt: Format | None) -> int:
    """Touch pages of the VM that is meant; returns the exit status."""
    from bhyvesim.report import lifecycle

    done = performed(session, "touch", touching(touched))
    (access,) = done.values
    sees = vm_run_sees(done.machine, access) if touched.by == "vcpu" else None
    session.emit(lifecycle.touched(access, sees), fmt)
    return 0 if access.fault is None else 1


def destroy(session: Session, names: Sequence[str], fmt: Format | None, several: bool) -> int:
    """Destroy the VMs *names*, in one go if *several* are meant; returns the exit status."""
    host = session.host
    outcomes = host.destroy_all(names) if several else [host.destroy(*names)]
    status = 0
    for outcome in outcomes:
        if outcome.stopped is not None:
            say_stopped(session, outcome.stopped)
            status = outcome.stopped.exit_code
        else:
            status = max(status, say_destroyed(session, outcome))
    if fmt is not None:
        from bhyvesim.report import lifecycle

        session.emit(lifecycle.destroyed(outcomes), fmt)
    return status


def say_stopped(session: Session, stopped: HostStopped) -> None:
    """A panic or hang: what the kernel had logged, the console's report, what to do next."""
    from bhyvesim.report import crash

    assert isinstance(stopped, Stopped)
    say_warnings(session, stopped.warnings)
    dump, number = stopped.dump, stopped.crash_id
    if session.for_a_person:
        from bhyvesim.report import panic

        session.say_lines(lambda width: [*panic.screen(crash.Crash(number, dump), width), ""])
    else:
        sys.stdout.flush()
        print(crash.console(crash.Crash(number, dump)), file=sys.stderr)
    if session.dry_run:
        did = "hang" if dump.hung else "panic"
        session.warn(f"dry run: {dump.vm} would {did} during {dump.operation}; nothing was stored")
    elif sys.stderr.isatty():
        session.warn(f"{stopped}; its dump is crash {number}", bad=stopped.state)
        session.say_lines(lambda width: panic.next_steps(number, width or UNKNOWN_WIDTH))
    else:
        session.warn(
            f"{stopped}; its dump is crash {number}: see 'bhyvesim explain {number}' and "
            f"'bhyvesim crash show {number}'",
            bad=stopped.state,
        )


def say_warnings(session: Session, warnings: Sequence[Warned]) -> None:
    """The assertions that a warning kernel let pass, with their detail.

    Of neighbours that differ in their numbers alone the first few, and how many more; with
    --verbose all.
    """
    for _, group in groupby(warnings, _kind):
        alike = list(group)
        shown = alike if session.verbose or len(alike) <= _SHOWN + 1 else alike[:_SHOWN]
        for warned in shown:
            session.note(_told(warned))
        if rest := alike[len(shown) :]:
            session.note(f"and {len(rest)} more{_span(rest)} (--verbose)")


def _kind(warned: Warned) -> tuple[str, str, tuple[tuple[str, int], ...]]:
    """What an assertion says besides values, and the call that it failed in."""
    frame = warned.stack[0]
    expression, _, place = warned.message.rpartition(", file: ")
    return expression.partition(" (0x")[0] + place, frame.function, tuple(frame.named().items())


def _told(warned: Warned) -> str:
    detail = ", ".join(
        f"{key} {value}" if key in ("level", "index") else f"{key} {value:#x}"
        for key, value in warned.facts.items()
    )
    pages = f", and {warned.times - 1} more pages alike" if warned.times > 1 else ""
    frame = warned.stack[0]
    asked = ", ".join(f"{name} {value:#x}" for name, value in frame.named().items())
    return f"{warned.message} [{detail}{pages}] in {frame.function}({asked})"


def _span(warnings: Sequence[Warned]) -> str:
    """Which entries of their table they are of, where that is known."""
    if not all("index" in warned.facts for warned in warnings):
        return ""
    return f", entries {warnings[0].facts['index']} to {warnings[-1].facts['index']}"


def say_created(session: Session, created: Created) -> None:
    """What came of a create, for the person at the terminal."""
    say_warnings(session, created.warnings)
    spec, booted = created.spec, created.booted
    if created.damage is not None:
        session.note(f"forgot the old {spec.name}, which was damaged: {created.damage}")
    build = build_name(spec.kernel.debug)
    session.note(
        f"{session.did('create', 'created')} {spec.name}: {format_size(spec.memory)} on kernel "
        f"{spec.kernel.gpt} {build}, {spec.npt.upper()}; the guest "
        f"{session.did('touch', 'touched')} {booted.accessed} pages"
    )
    for slot, m in enumerate(spec.mappings):
        session.detail(
            f"slot {slot}: {format_size(m.length)} of segment {m.segid}, from {m.segoff:#x}, "
            f"at {m.gpa:#x}, {format_prot(m.prot)}{' wired' if m.wired else ''}"
        )
    _say_failures(session, booted)


def say_rebooted(session: Session, outcome: Rebooted) -> None:
    """What came of a reboot; a warning where the kernel lost pages or lost count."""
    say_warnings(session, outcome.warnings)
    rebooted = outcome.result
    session.note(
        f"{session.did('reboot', 'rebooted')} {outcome.spec.name}: the guest "
        f"{session.did('touch', 'touched')} {rebooted.booted.accessed} pages"
    )
    session.detail(
        f"{rebooted.booted.mapped} PTEs newly set, {rebooted.present} pages mapped, "
        f"{rebooted.resident} resident by the kernel's count"
    )
    _say_failures(session, rebooted.booted)
    say_lost(session, rebooted.lost)
    if rebooted.resident != rebooted.present:
        session.warn(
            f"warning: the kernel counts {rebooted.resident} resident pages, but "
            f"{rebooted.present} are mapped ({rebooted.resident - rebooted.present:+d})"
        )


def perform(session: Session, word: str, *operations: Operation) -> tuple[Any, ...]:
    """Operations on the VM that is meant, with what the kernel warned of; their values."""
    return performed(session, word, *operations).values


def performed(session: Session, word: str, *operations: Operation) -> Done:
    """:func:`perform`, and the machine afterwards."""
    done = session.host.perform(session.which(), word, *operations)
    say_warnings(session, done.warnings)
    say_lost(session, done.lost)
    return done


def say_lost(session: Session, lost: Iterable[tuple[int, int]]) -> None:
    """The pages that lost their entries though their memmaps stayed."""
    for gpa, pages in lost:
        last = gpa + (pages << PAGE_SHIFT) - 1
        session.warn(
            f"warning: {pages} page{'s' * (pages != 1)} at {gpa:#x} to {last:#x} lost their "
            f"PTEs, though their memmap was not touched"
        )


def say_destroyed(session: Session, outcome: Destroyed) -> int:
    """What came of a destroy; returns the exit status."""
    say_warnings(session, outcome.warnings)
    name, destroyed = outcome.name, session.did("destroy", "destroyed")
    if outcome.ended is not None:
        stays = session.did("stay", "stays")
        session.note(f"{destroyed} {name}, which had {outcome.ended}; its crash dump {stays}")
    elif outcome.leaked:
        leaked = session.did("leak", "leaked")
        session.warn(f"warning: destroying {name} {leaked} {outcome.leaked} page tables")
        return 1
    else:
        leaks = session.did("leak", "leaked")
        session.note(f"{destroyed} {name}: no table, page or segment {leaks}")
    return 0


def _say_failures(session: Session, booted: Booted) -> None:
    for failure in booted.failures:
        session.warn(f"warning: the guest's access at {failure.gpa:#x} failed: {failure.fault}")


def say_paused(session: Session, word: str, name: str) -> None:
    """Pause or resume the VM *name*, as *word* says, and say so."""
    if word == "pause":
        session.host.pause(name)
    else:
        session.host.resume(name)
    session.note(session.did(f"{word} {name}", f"{word}d {name}"))
