"""The root of the subcommands; each is imported when it is called, not before."""

from __future__ import annotations

from importlib import import_module

import click
from click.shell_completion import CompletionItem

from bhyvesim import __version__
from bhyvesim.cli.group import CommandMissing, Group
from bhyvesim.cli.params import revision_option, vm_option
from bhyvesim.cli.session import Session
from bhyvesim.errors import UsageError

# name: (module, attribute, the line in --help)
COMMANDS = {
    "create": ("lifecycle", "create", "Allocate, map and boot a VM from its description."),
    "list": ("inspect", "list_vms", "List the VMs: state, kernel, memory, resident pages."),
    "reboot": ("lifecycle", "reboot", "Reinit the VM, map its ROM again, boot its guest."),
    "touch": ("lifecycle", "touch", "Let the guest access memory."),
    "hold": ("lifecycle", "hold", "Hold a page, as a mapping of guest space does."),
    "release": ("lifecycle", "release", "Release a page that is held."),
    "alloc-memseg": ("memory", "alloc_memseg", "Allocate a memory segment (VM_ALLOC_MEMSEG)."),
    "map": ("memory", "map_memseg", "Map a part of a segment into the guest (VM_MMAP_MEMSEG)."),
    "unmap": ("memory", "unmap", "Take a memmap away (VM_MUNMAP_MEMSEG)."),
    "peek": ("contents", "peek", "Read memory, and show it in hex."),
    "poke": ("contents", "poke", "Write an integer to memory."),
    "fill": ("contents", "fill", "Write bytes of one value to memory."),
    "dirty": ("tracking", "dirty", "Get, set or reset the dirty bits of a range."),
    "npt": ("tracking", "npt", "Any VM_NPT_OPERATION, by its number."),
    "track-dirty": ("tracking", "track_dirty", "Read and clear the dirty bits of a range."),
    "destroy": ("lifecycle", "destroy", "Destroy a VM as the kernel does, and check for leaks."),
    "crash": ("crash", "crash", "List and show crash dumps."),
    "diff": ("diff", "diff", "Show what differs in maps, tables, entries and counters."),
    "run": ("scenarios", "run", "Run scenarios on every kernel of their matrix."),
    "matrix": ("matrix", "matrix", "Say on which kernels VMs are safe."),
    "check": ("advice", "check", "Review VM descriptions without running them."),
    "explain": ("advice", "explain", "Explain a panic with the numbers of its case."),
    "import": ("importing", "import_vm", "Write descriptions from other programs' files."),
    "config": ("starting", "config", "Write a commented VM description to begin with."),
    "completion": ("starting", "completion", "Print the completion script of a shell."),
    "schema": ("schema", "schema", "Print the JSON Schema of VM descriptions or scenarios."),
    "walk": ("walk", "walk", "Walk the tables for an address, and say what is allowed there."),
    "gpt": ("gpt", "gpt", "Show the page table, alike neighbours as one row."),
    "find": ("find", "find", "Find what maps a host page, or holds an entry."),
    "trace": ("trace", "trace", "Print the calls inside the kernel while a command runs."),
    "replay": ("replay", "replay", "Run recorded operations, a result a line."),
}


def _print_version(ctx: click.Context, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from bhyvesim.kernel.revisions import REVISIONS

    click.echo(f"bhyvesim {__version__}\n\nkernel revisions, oldest first:")
    for revision in REVISIONS.values():
        click.echo(f"  {revision.name:<7} {revision.date:<12} {revision.summary}")
        click.echo(f"  {'':<20} known: {revision.known}")
    ctx.exit()


class LazyGroup(Group):
    """A group that knows its commands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(import_module(f"bhyvesim.cli.commands.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0][:40]!r}{hint}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands and options, bhyvectl's included."""
        from bhyvesim.cli.bhyvectl.options import SIMULATED

        known = [
            CompletionItem(name, help=line)
            for name, (_, _, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        # The root's own options; click's group would load every command to see if it is hidden.
        known += click.Command.shell_complete(self, ctx, incomplete)
        mine = {item.value for item in known}
        theirs = (f"--{name}" for name in sorted(SIMULATED))
        if incomplete.startswith("-"):
            known += [
                CompletionItem(name)
                for name in theirs
                if name.startswith(incomplete) and name not in mine
            ]
        return known

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


_EPILOG = """\b
bhyvectl's own manner works as well:
  bhyvesim --vm=NAME --get-memmap --get-memseg --get-lowmem --get-highmem
           --get-eptp --get-gpa-pmap=GPA --get-stats
           --set-mem=MB --force-reset --force-poweroff --destroy
  bhyvesim --create --vm=NAME | --create --config=FILE [--vm=NAME] [--replace]

\b
Exit status: 0 fine, 1 refused by the simulated kernel or an expectation not met,
2 usage or configuration, 3 the simulated kernel panicked or hung, 4 the state is unusable.
"""


@click.group(
    cls=LazyGroup,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, param, value: _print_version(ctx, value),
    help="Show the version and the kernel revisions, and exit.",
)
@vm_option
@revision_option
@click.option("--quiet", is_flag=True, help="Say nothing but warnings and errors.")
@click.option("--verbose", is_flag=True, help="Say more of what was done.")
@click.pass_context
def root(ctx: click.Context, quiet: bool, verbose: bool) -> None:
    """Create, inspect, reboot and destroy simulated bhyve VMs.

    The host they run on is simulated too: an illumos kernel of one of several
    revisions, exact to the last page-table entry, panics included.
    """
    session = ctx.ensure_object(Session)
    session.quiet, session.verbose = quiet, verbose


def main(argv: list[str], session: Session) -> int:
    """Run a subcommand; returns the exit status, raises UsageError for click's complaints."""
    try:
        result = root.main(args=argv, prog_name="bhyvesim", standalone_mode=False, obj=session)
    except CommandMissing as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        hint = ""
        if isinstance(error, click.UsageError) and error.ctx is not None:
            hint = f" (see '{error.ctx.command_path} --help')"
        message = error.format_message().replace("\n", " ").rstrip(".")
        raise UsageError(f"{message[:1].lower()}{message[1:]}{hint}") from None
    except click.Abort:
        raise KeyboardInterrupt from None
    return result if isinstance(result, int) else 0
