"""host: how much memory the simulated host has, and who holds it."""

from __future__ import annotations

import click

from bhyvesim.cli.files import label_of, read_bytes
from bhyvesim.cli.group import Group
from bhyvesim.cli.params import SIZE, dry_run_option, format_option
from bhyvesim.cli.session import Format, Session
from bhyvesim.errors import UsageError
from bhyvesim.host.describe import describe, described, forget
from bhyvesim.kernel.reservoir import limit_of
from bhyvesim.report.host import shown
from bhyvesim.units import roughly
from bhyvesim.vm.host_memory import MAX_PHYS_BITS, MIN_PHYS_BITS, HostSpec


@click.group(cls=Group)
def host() -> None:
    """Say what the host has for its VMs: memory, a reservoir, addresses.

    Without that its memory has no end. With it a start is refused with ENOMEM as the kernel
    does it, across all VMs here, and 'check' and 'matrix' say so before.
    """


@host.command("set")
@click.option("--memory", type=SIZE, help="Physical memory, which gives the limit.")
@click.option(
    "--locked", type=SIZE, help="With --memory: what of it may not be locked. [default: 0]"
)
@click.option("--limit", type=SIZE, help="The limit itself, in place of --memory.")
@click.option("--reservoir", type=SIZE, help="Make the reservoir so large, as the kernel does.")
@click.option(
    "--phys-bits",
    type=click.IntRange(MIN_PHYS_BITS, MAX_PHYS_BITS),
    help="How many bits the processor's physical addresses have.",
)
@click.option(
    "--kstat",
    metavar="FILE",
    type=click.Path(),
    help="The output of 'kstat -p vmm:0:vmm_reservoir' on a real host; - is stdin.",
)
@dry_run_option
@format_option
@click.pass_obj
def set_host(
    session: Session,
    memory: int | None,
    locked: int | None,
    limit: int | None,
    reservoir: int | None,
    phys_bits: int | None,
    kstat: str | None,
    fmt: Format | None,
) -> None:
    """Say more of the host; what is not given stays as it is.

    The reservoir is resized as VMM_RESV_SET_TARGET does it: refused with ENOSPC where VMs
    hold more than would be left, or the limit is passed. What --kstat shows as allocated is
    held by VMs that are not simulated here.
    """
    if all(given is None for given in (memory, limit, reservoir, phys_bits, kstat)):
        raise UsageError("host set: expected at least one of its options")
    if sum(given is not None for given in (memory, limit, kstat)) > 1:
        raise UsageError("--memory, --limit and --kstat each give the limit: expected one of them")
    if locked is not None and memory is None:
        raise UsageError("--locked goes with --memory")
    if memory is not None:
        limit = limit_of(memory, locked or 0)
        if limit < 0:
            raise UsageError("--locked leaves nothing of --memory: expected less")
        if locked is None:
            session.note(
                "what of the memory may not be locked is not known, and taken for 0: a real "
                "limit is lower (--locked, --limit and --kstat tell it)"
            )
    seen = None if kstat is None else _read(kstat)
    told = describe(
        session.store,
        seen=seen,
        limit=limit,
        reservoir=reservoir,
        phys_bits=phys_bits,
        keep=not session.dry_run,
    )
    if fmt is not None:
        session.emit(shown(told), fmt)
    limit_is = "unknown" if told.memory.limit is None else roughly(told.memory.limit)
    session.note(
        f"the host: limit {limit_is}, a reservoir of {roughly(told.memory.reservoir)} with "
        f"{roughly(told.memory.free)} free"
    )


def _read(path: str) -> HostSpec:
    from bhyvesim.config.importers.kstat import read_kstat
    from bhyvesim.config.importers.source import decode

    return read_kstat(decode(read_bytes(path), label_of(path), lambda _: None))


@host.command("show")
@format_option
@click.pass_obj
def show(session: Session, fmt: Format | None) -> None:
    """Show the host's memory, and which VMs hold it."""
    told = described(session.store)
    if told is None:
        told = describe(session.store, keep=False)
        session.note("nothing is said of the host ('host set'): its memory has no end")
    session.emit(shown(told), fmt)


@host.command("forget")
@click.pass_obj
def forget_host(session: Session) -> None:
    """Forget what was said of the host: its memory has no end again."""
    forget(session.store)
    session.note("forgot what was said of the host")
