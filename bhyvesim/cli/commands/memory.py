"""alloc-memseg, map, unmap: segments and memmaps of a stored VM, one at a time."""

from __future__ import annotations

import click

from bhyvesim.cli.life import perform
from bhyvesim.cli.params import ACCESS, ADDRESS, SIZE, revision_option, vm_named
from bhyvesim.cli.session import Session
from bhyvesim.ops.ioctls import AllocMemseg, MmapMemseg, MunmapMemseg
from bhyvesim.prot import format_prot
from bhyvesim.units import format_size


@click.command("alloc-memseg")
@vm_named
@click.argument("segid", metavar="ID", type=int)
@click.option("--size", type=SIZE, required=True, help="How many bytes.")
@click.option("--name", default="", help="A name makes it device memory. [default: sysmem]")
@click.option("--host-pfn", type=ADDRESS, help="Its first host page frame. [default: the next]")
@revision_option
@click.pass_obj
def alloc_memseg(session: Session, segid: int, size: int, name: str, host_pfn: int | None) -> None:
    """Allocate a memory segment (VM_ALLOC_MEMSEG)."""
    name = "" if name == "sysmem" else name
    perform(session, "alloc-memseg", AllocMemseg(segid, size, name, host_pfn))
    session.note(f"allocated segment {segid}: {format_size(size)} of {name or 'sysmem'}")


@click.command("map")
@click.option("--gpa", type=ADDRESS, required=True, help="Guest-physical address.")
@click.option("--segment", "segid", type=int, required=True, help="The segment's id.")
@click.option("--offset", type=SIZE, default="0", help="Where in the segment. [default: 0]")
@click.option("--len", "length", type=SIZE, required=True, help="How many bytes.")
@click.option("--prot", type=ACCESS, default="rwx", help="r, w, x together. [default: rwx]")
@click.option("--wired", is_flag=True, help="Put all its pages in the tables at once.")
@vm_named
@revision_option
@click.pass_obj
def map_memseg(
    session: Session, gpa: int, segid: int, offset: int, length: int, prot: int, wired: bool
) -> None:
    """Map a part of a segment into the guest (VM_MMAP_MEMSEG)."""
    perform(session, "map", MmapMemseg(gpa, segid, offset, length, prot, wired))
    session.note(
        f"mapped {format_size(length)} of segment {segid} at {gpa:#x}, {format_prot(prot)}"
        f"{' wired' if wired else ''}"
    )


@click.command()
@click.option("--gpa", type=ADDRESS, required=True, help="Where the memmap begins.")
@click.option("--len", "length", type=SIZE, required=True, help="Its length, exactly.")
@vm_named
@revision_option
@click.pass_obj
def unmap(session: Session, gpa: int, length: int) -> None:
    """Take a memmap away (VM_MUNMAP_MEMSEG).

    Pages of other memmaps that lose their entries by it are named in a warning.
    """
    perform(session, "unmap", MunmapMemseg(gpa, length))
    session.note(f"unmapped {format_size(length)} at {gpa:#x}")
