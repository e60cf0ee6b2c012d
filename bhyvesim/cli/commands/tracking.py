"""dirty, npt, track-dirty: dirty tracking of a stored VM, as its VMM asks for it."""

from __future__ import annotations

import click

from bhyvesim.cli.life import perform
from bhyvesim.cli.params import (
    ADDRESS,
    BITMAP,
    NPT_OPERATION,
    SIZE,
    format_option,
    revision_option,
    vm_named,
)
from bhyvesim.cli.session import Format, Session
from bhyvesim.kernel.npt import DIRTY_WORDS, NptResult
from bhyvesim.ops.ioctls import NptOp, TrackDirtyPages
from bhyvesim.report import contents as layouts


@click.command()
@click.option("--gpa", type=ADDRESS, required=True, help="Where the range begins.")
@click.option("--len", "length", type=SIZE, required=True, help="How many bytes.")
@click.option(
    "--op",
    "word",
    type=click.Choice(tuple(DIRTY_WORDS)),
    default="get",
    help="get, set or reset the bits. [default: get]",
)
@vm_named
@format_option
@revision_option
@click.pass_obj
def dirty(session: Session, gpa: int, length: int, word: str, fmt: Format | None) -> None:
    """Get, set or reset the dirty bits of a range (VM_NPT_OPERATION).

    For kernels from 2025 (older ones: track-dirty). Prints the pages that were dirty, or
    that a set made dirty.
    """
    operation = NptOp.on_dirty_bits(gpa, length, DIRTY_WORDS[word], None)
    result: NptResult
    (result,) = perform(session, "dirty", operation)
    session.emit(layouts.bitmap(gpa, result.bitmap, None), fmt)


@click.command()
@click.option("--gpa", type=ADDRESS, required=True, help="Where the range begins.")
@click.option("--len", "length", type=SIZE, required=True, help="How many bytes.")
@click.option(
    "--operation",
    type=NPT_OPERATION,
    required=True,
    help="The raw number, or names: 'GET_DIRTY|BITMAP_OUT'.",
)
@click.option("--bitmap", type=BITMAP, help="In hex, the first byte first; with BITMAP_IN.")
@vm_named
@format_option
@revision_option
@click.pass_obj
def npt(
    session: Session,
    gpa: int,
    length: int,
    operation: int,
    bitmap: bytes | None,
    fmt: Format | None,
) -> None:
    """Any VM_NPT_OPERATION, by its number. For kernels from 2025."""
    result: NptResult
    (result,) = perform(session, "npt", NptOp(gpa, length, operation, bitmap))
    session.emit(layouts.bitmap(gpa, result.bitmap, result.value), fmt)


@click.command("track-dirty")
@click.option("--gpa", type=ADDRESS, required=True, help="Where the range begins.")
@click.option("--len", "length", type=SIZE, required=True, help="How many bytes, at most 1G.")
@vm_named
@format_option
@revision_option
@click.pass_obj
def track_dirty(session: Session, gpa: int, length: int, fmt: Format | None) -> None:
    """Read and clear the dirty bits of a range (VM_TRACK_DIRTY_PAGES).

    For kernels from 14367.
    """
    (bitmap,) = perform(session, "track-dirty", TrackDirtyPages(gpa, length))
    session.emit(layouts.bitmap(gpa, bitmap, None), fmt)
