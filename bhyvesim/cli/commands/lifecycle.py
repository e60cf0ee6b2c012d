"""create, reboot, touch, hold, release, destroy."""

from __future__ import annotations

import click

from bhyvesim.cli import life
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
from bhyvesim.ops.ioctls import Hold, Release
from bhyvesim.prot import BY, READ, WRITE
from bhyvesim.report import lifecycle as layouts
from bhyvesim.vm.spec import TouchSpec


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
        spec = spec.but(kernel=spec.kernel.but(gpt=gpt))
    created = session.host.create(spec, replace=replace)
    life.say_created(session, created)
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
    life.reboot(session, fmt)


@click.command()
@dry_run_option
@vm_named
@revision_option
@click.pass_obj
def pause(session: Session) -> None:
    """Pause a VM: none of its vCPUs runs until it is resumed (VM_PAUSE).

    For kernels from 15844 on. Devices, ioctls and destroy go on as before.
    """
    life.say_paused(session, "pause", session.which())


@click.command()
@dry_run_option
@vm_named
@revision_option
@click.pass_obj
def resume(session: Session) -> None:
    """Resume a paused VM (VM_RESUME)."""
    life.say_paused(session, "resume", session.which())


@click.command()
@click.option("--gpa", type=ADDRESS, required=True, help="Guest-physical address.")
@click.option(
    "--len",
    "length",
    type=SIZE,
    default=life.TOUCH_LENGTH,
    help=f"How many bytes. [default: {life.TOUCH_LENGTH}]",
)
@click.option(
    "--access",
    "prot",
    type=ACCESS,
    default=life.TOUCH_ACCESS,
    help=f"r, w, x together. [default: {life.TOUCH_ACCESS}]",
)
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
    return life.touch(session, TouchSpec(gpa, length, prot, by), fmt)


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
    (held,) = life.perform(session, "hold", Hold(gpa, prot))
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

    life.perform(session, "release", Release(hold_id, dirty=not clean))
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
    return life.destroy(session, meant, fmt, everything or len(meant) > 1)


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
