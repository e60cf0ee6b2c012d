"""peek, poke, fill: what is in a stored VM's memory, through the guest or a segment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bhyvesim.cli.life import perform
from bhyvesim.cli.params import ADDRESS, NUMBER, SIZE, format_option, revision_option, vm_named
from bhyvesim.cli.session import Format, Session
from bhyvesim.errors import BadValue
from bhyvesim.kernel.gpt.access import Access
from bhyvesim.ops.contents import Bytes, Fill, Read, Write
from bhyvesim.ops.operation import Operation
from bhyvesim.report import contents as layouts

F = TypeVar("F", bound=Callable[..., Any])
Made = TypeVar("Made", bound=Operation)


def _where(command: F) -> F:
    """--gpa, or --segment and --offset."""
    for option in (
        click.option("--offset", "segoff", type=SIZE, help="Where in the segment. [default: 0]"),
        click.option("--segment", "segid", type=int, help="Or the id of a segment, as its VMM."),
        click.option("--gpa", type=ADDRESS, help="Guest-physical address: the guest does it."),
    ):
        command = option(command)
    return command


def _check_where(gpa: int | None, segid: int | None, segoff: int | None) -> None:
    if (gpa is None) == (segid is None) or (gpa is not None and segoff is not None):
        raise click.UsageError("which memory? expected --gpa, or --segment and --offset")


@click.command()
@_where
@click.option("--len", "length", type=SIZE, default="64", help="How many bytes. [default: 64]")
@vm_named
@format_option
@revision_option
@click.pass_obj
def peek(
    session: Session,
    gpa: int | None,
    segid: int | None,
    segoff: int | None,
    length: int,
    fmt: Format | None,
) -> int:
    """Read memory, and show it in hex.

    Through the guest, pages that are absent are mapped, as a vCPU's read would. The exit
    status is 1 where a page cannot be read; what came before it is shown.
    """
    _check_where(gpa, segid, segoff)
    read = _operation(lambda: Read(gpa, segid, segoff or 0, length))
    got: Bytes
    (got,) = perform(session, "peek", read)
    start = (segoff or 0) if gpa is None else gpa
    session.emit(layouts.peeked(start, got), fmt)
    return _status(session, got.access)


@click.command()
@_where
@click.option("--value", type=NUMBER, required=True, help="An integer, little-endian in memory.")
@click.option(
    "--size", type=click.IntRange(1, 8), default=8, help="How many bytes it has. [default: 8]"
)
@vm_named
@revision_option
@click.pass_obj
def poke(
    session: Session,
    gpa: int | None,
    segid: int | None,
    segoff: int | None,
    value: int,
    size: int,
) -> int:
    """Write an integer to memory.

    Through the guest it is a vCPU's write: pages are mapped, and marked dirty.
    """
    _check_where(gpa, segid, segoff)
    if value >= 1 << 8 * size:
        raise click.BadParameter(f"{value:#x} has more than {size} bytes", param_hint="--value")
    data = value.to_bytes(size, "little")
    got: Bytes
    (got,) = perform(session, "poke", Write(gpa, segid, segoff or 0, data))
    return _status(session, got.access)


@click.command()
@_where
@click.option("--len", "length", type=SIZE, required=True, help="How many bytes.")
@click.option("--byte", type=NUMBER, default="0", help="Their value, 0 to 255. [default: 0]")
@vm_named
@revision_option
@click.pass_obj
def fill(
    session: Session,
    gpa: int | None,
    segid: int | None,
    segoff: int | None,
    length: int,
    byte: int,
) -> int:
    """Write bytes of one value to memory."""
    _check_where(gpa, segid, segoff)
    got: Bytes
    (got,) = perform(
        session, "fill", _operation(lambda: Fill(gpa, segid, segoff or 0, length, byte))
    )
    return _status(session, got.access)


def _operation(make: Callable[[], Made]) -> Made:
    """The operation that *make* makes, its complaints as click's."""
    try:
        return make()
    except BadValue as error:
        raise click.UsageError(str(error)) from None


def _status(session: Session, access: Access | None) -> int:
    """0; or 1, with the page that the guest could not get at."""
    if access is None or access.fault is None:
        return 0
    session.warn(f"the guest's access at {access.gpa:#x} failed: {access.fault}")
    return 1
