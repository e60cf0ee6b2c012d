"""create, reboot, touch, hold, release, destroy."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import click

from bhyvesim.cli.params import (
    ACCESS,
    ADDRESS,
    REVISION,
    SIZE,
    complete_vm,
    dry_run_option,
    format_option,
    revision_option,
    same_name,
    vm_named,
    vm_option,
)
from bhyvesim.cli.session import Format, Session
from bhyvesim.cli.streams import UNKNOWN_WIDTH
from bhyvesim.errors import HostStopped
from bhyvesim.host.host import Created, Destroyed, Done, Rebooted, Stopped
from bhyvesim.kernel.builds import build_name
from bhyvesim.kernel.calls import Warned
from bhyvesim.kernel.vmrun import vm_run_sees
from bhyvesim.ops.ioctls import Hold, Release
from bhyvesim.ops.operation import Operation
from bhyvesim.prot import BY, READ, WRITE, format_prot
from bhyvesim.report import lifecycle as layouts
from bhyvesim.units import PAGE_SHIFT, format_size
from bhyvesim.vm.life import Booted, touching
from bhyvesim.vm.spec import TouchSpec

_SHOWN = 3  # of warnings that are alike


@click.command()
@click.argument("file", metavar="[FILE]", type=click.Path(), required=False)
@click.option("--config", metavar="FILE", type=click.Path(), help="The same as FILE.")
@click.option("--gpt", type=REVISION, help="The kernel revision, whatever FILE says.")
@click.option("--replace", is_flag=True, help="Destroy the VM of that name first, if there is one.")
@dry_run_option
@vm_option
@format_option
@revision_option
@click.pass_obj
def create(
    session: Session,
    file: str | None,
    config: str | None,
    gpt: str | None,
    replace: bool,
    fmt: Format | None,
) -> None:
    """Allocate, map and boot a VM from its description.

    FILE is YAML; - is standard input. --vm names the VM otherwise than FILE does.
    """
    from bhyvesim.cli.files import read_vm_file

    if file is not None and config not in (None, file):
        raise click.UsageError("FILE together with another --config: expected one description")
    path = config if file is None else file
    if path is None:
        raise click.UsageError(
            "missing FILE: expected a description of a VM; 'bhyvesim config init' makes one"
        )
    spec = read_vm_file(path, session.vm)
    if gpt is not None:
        spec = dataclasses.replace(spec, kernel=dataclasses.replace(spec.kernel, gpt=gpt))
    created = session.host.create(spec, replace=replace)
    say_created(session, created)
    if fmt is not None:
        session.emit(layouts.booted(spec, created.booted), fmt)


@click.command()
@dry_run_option
@vm_named
@format_option
@revision_option
@click.pass_obj
def reboot(session: Session, fmt: Format | None) -> None:
    """Reinit the VM, map its ROM again, boot its guest.

    On a kernel with bug 14042 this panics (exit status 3), or, on a production
    kernel, loses pages; a warning says which.
    """
    rebooted = session.host.reboot(session.which())
    say_rebooted(session, rebooted)
    if fmt is not None:
        session.emit(layouts.rebooted(rebooted.spec, rebooted.result), fmt)


@click.command()
@dry_run_option
@vm_named
@revision_option
@click.pass_obj
def pause(session: Session) -> None:
    """Pause a VM: none of its vCPUs runs until it is resumed (VM_PAUSE).

    For kernels from 15844 on. Devices, ioctls and destroy go on as before.
    """
    say_paused(session, "pause", session.which())


@click.command()
@dry_run_option
@vm_named
@revision_option
@click.pass_obj
def resume(session: Session) -> None:
    """Resume a paused VM (VM_RESUME)."""
    say_paused(session, "resume", session.which())


def say_paused(session: Session, word: str, name: str) -> None:
    """Pause or resume the VM *name*, as *word* says, and say so."""
    if word == "pause":
        session.host.pause(name)
    else:
        session.host.resume(name)
    session.note(session.did(f"{word} {name}", f"{word}d {name}"))


@click.command()
@click.option("--gpa", type=ADDRESS, required=True, help="Guest-physical address.")
@click.option("--len", "length", type=SIZE, default="4K", help="How many bytes. [default: 4K]")
@click.option("--access", "prot", type=ACCESS, default="r", help="r, w, x together. [default: r]")
@click.option(
    "--by",
    type=click.Choice(BY),
    default="vcpu",
    help="Who: a vCPU, through the tables; a device, by holds. [default: vcpu]",
)
@vm_named
@format_option
@revision_option
@click.pass_obj
def touch(session: Session, gpa: int, length: int, prot: int, by: str, fmt: Format | None) -> int:
    """Let the guest access memory: every page that holds a byte of [GPA, GPA+LEN).

    Stops at the first access that fails; the exit status is then 1. VM_RUN is how the
    ioctl comes back to the VMM then: mmio, to emulate the instruction; where the fault
    handler fails, with EFAULT, or from 15844 on with an exit of the kind paging.
    """

    if length == 0:
        raise click.BadParameter("0 is no length", param_hint="--len")
    _check_holder(prot, by)
    operation = touching(TouchSpec(gpa, length, prot, by))
    done = performed(session, "touch", operation)
    (access,) = done.values
    sees = vm_run_sees(done.machine, access) if by == "vcpu" else None
    session.emit(layouts.touched(access, sees), fmt)
    return 0 if access.fault is None else 1


def _check_holder(prot: int, by: str) -> None:
    if by == "device" and not prot & (READ | WRITE):
        raise click.BadParameter("a device reads or writes: expected r or w", param_hint="--access")


@click.command()
@click.option("--gpa", type=ADDRESS, required=True, help="Guest-physical address.")
@click.option("--access", "prot", type=ACCESS, default="rw", help="r, w, x. [default: rw]")
@vm_named
@format_option
@revision_option
@click.pass_obj
def hold(session: Session, gpa: int, prot: int, fmt: Format | None) -> int:
    """Let a userspace mapping hold the page at GPA, until it is released.

    While a page is held, whatever unmaps anything of the VM hangs the kernel, from 13896
    on (exit status 3). Prints the hold's id; exit status 1 where no page can be held.
    """

    _check_holder(prot, "device")
    (held,) = perform(session, "hold", Hold(gpa, prot))
    session.emit(layouts.held(held), fmt)
    return 0 if held.fault is None else 1


@click.command()
@vm_named
@click.argument("hold_id", metavar="ID", type=int)
@click.option("--clean", is_flag=True, help="Nothing was written: do not mark the page dirty.")
@revision_option
@click.pass_obj
def release(session: Session, hold_id: int, clean: bool) -> None:
    """Release the hold ID, as 'hold' printed it."""

    perform(session, "release", Release(hold_id, dirty=not clean))
    session.note(f"released hold {hold_id}")


@click.command()
@click.argument("names", metavar="[NAME...]", nargs=-1, shell_complete=complete_vm)
@click.option("--all", "everything", is_flag=True, help="Every VM there is.")
@click.option(
    "--force", is_flag=True, help="Forget the VM, whatever is wrong with it; ask no kernel."
)
@dry_run_option
@vm_option
@format_option
@revision_option
@click.pass_obj
def destroy(
    session: Session, names: tuple[str, ...], everything: bool, force: bool, fmt: Format | None
) -> int:
    """Destroy a VM as the kernel does, and check that nothing leaked.

    Crash dumps stay. A VM that has panicked or hung is only forgotten: its kernel is gone.
    """

    if everything and (names or session.vm is not None):
        raise click.UsageError("--all together with a VM: expected one of the two")
    host = session.host
    meant = host.names() if everything else _meant(session, names)
    if force:
        if everything:
            meant = host.forget_all()
        for name in meant:
            if not everything:
                host.forget(name)
            forgot = session.did("forget", "forgot")
            session.note(f"{forgot} {name}: what its kernel would have done is not known")
        return 0
    several = everything or len(meant) > 1
    outcomes = host.destroy_all(meant) if several else [host.destroy(*meant)]
    status = 0
    for outcome in outcomes:
        if outcome.stopped is not None:
            say_stopped(session, outcome.stopped)
            status = outcome.stopped.exit_code
        else:
            status = max(status, say_destroyed(session, outcome))
    if fmt is not None:
        session.emit(layouts.destroyed(outcomes), fmt)
    return status


def _meant(session: Session, names: tuple[str, ...]) -> list[str]:
    """The VMs *names*, each once, or the one that is meant; all of them are there."""
    if not names:
        return [session.which()]
    for name in names:
        same_name(session, name)
    meant = []
    for name in dict.fromkeys(names):
        session.vm = name
        meant.append(session.which())
    return meant


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
        click.echo(crash.console(crash.Crash(number, dump)), err=True)
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
