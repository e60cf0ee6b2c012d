"""config init and completion: what one runs on the first day."""

from __future__ import annotations

import sys

import click

from bhyvesim.cli.files import write_text
from bhyvesim.cli.group import Group
from bhyvesim.cli.shells import SHELLS
from bhyvesim.kernel.revisions import NEWEST, REVISIONS

STARTER = f"""\
# A VM for bhyvesim. 'bhyvesim schema vm' prints the schema of this file.

name: myvm                # 1 to 127 bytes, without /

# The kernel of the simulated host. Left out, it is the newest revision, DEBUG.
kernel:
  gpt: "{NEWEST}"             # {", ".join(REVISIONS)}
  debug: true             # false: a production kernel, which has no ASSERTs
  # assertions: warn      # log failing ASSERTs and go on, instead of a panic

cpu: amd                  # amd: RVI tables; intel: EPT tables
# apicv: false            # an Intel host that does not virtualise the APIC
vmm: propolis             # or bhyve: segment ids, slot order, the ROM's segment

# Sizes are K, M, G, T: powers of 1024. A plain number is bytes.
memory: 8G                # 3 GiB at 0, the rest at 4 GiB
bootrom: 2M               # ends at 4 GiB; 0 for none

# What the running guest touches, at create and after each reboot.
touch: all                # or none, or a list:
# touch:
#   - {{gpa: 0x100000, len: 64K, access: w}}

# track_dirty: true       # on Intel, from 15844 on: hardware keeps dirty bits

# Where the memory lies in the host, by page frame number:
# host_pfn: {{lowmem: 0x100000, highmem: 0x200000, bootrom: 0x80000}}
"""


@click.group(cls=Group)
def config() -> None:
    """VM descriptions to begin with."""


@config.command()
@click.argument("file", metavar="[FILE]", type=click.Path(), required=False)
@click.option("-o", "--output", metavar="FILE", help="The same as FILE.")
def init(file: str | None, output: str | None) -> None:
    """Write a commented description to FILE, or to standard output."""
    if file is not None and output is not None:
        raise click.UsageError("FILE and --output exclude each other")
    file = file or output
    if file is None:
        sys.stdout.write(STARTER)
        return
    write_text(file, STARTER, new=True)


@click.command()
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
def completion(shell: str) -> None:
    """Print the completion script of a shell, to be sourced by its start-up file.

    Completes commands, options (bhyvectl's too), VMs, crashes, revisions, codes, probes, files.
    """
    sys.stdout.write(SHELLS[shell].script)
