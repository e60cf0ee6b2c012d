"""record: the D script that records a live host."""

from __future__ import annotations

import sys

import click

from bhyvesim.cli.files import check_name
from bhyvesim.cli.params import REVISION


@click.command()
@click.option(
    "--gpt",
    type=REVISION,
    multiple=True,
    help="For hosts with this kernel; may repeat. [default: all, in one script]",
)
@click.option("--vm", "name", metavar="NAME", help="Record this VM alone.")
@click.option("--no-faults", is_flag=True, help="Leave out the guest's faults, of which are many.")
def record(gpt: tuple[str, ...], name: str | None, no_faults: bool) -> int:
    """Print a D script that records what a live host's VMs do with their memory.

    It is for an illumos host with bhyve: written from the sources, not tried on one. What it
    prints there, 'replay --live' holds against the kernels. Its head says how to run it, what
    it records and what it cannot.
    """
    from bhyvesim.kernel.revisions import REVISIONS
    from bhyvesim.ops.dscript import script

    if name is not None:
        check_name(name)
    kernels = gpt or [n for n, revision in REVISIONS.items() if not revision.digest]
    sys.stdout.write(script(kernels, name, faults=not no_faults))
    return 0
