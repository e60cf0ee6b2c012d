"""The root of the subcommands; each is imported when it is called, not before."""

from __future__ import annotations

from importlib import import_module

import click
from click.shell_completion import CompletionItem

from bhyvesim import __version__
from bhyvesim.cli.group import CommandMissing, Group
from bhyvesim.cli.helps import HELPS
from bhyvesim.cli.params import revision_option, vm_option
from bhyvesim.cli.session import Session
from bhyvesim.errors import STATUSES, UsageError

# name: (module, attribute); its line in --help is its docstring's first (cli/helps.py)
COMMANDS = {
    "create": ("lifecycle", "create"),
    "list": ("inspect", "list_vms"),
    "reboot": ("lifecycle", "reboot"),
    "pause": ("lifecycle", "pause"),
    "resume": ("lifecycle", "resume"),
    "touch": ("lifecycle", "touch"),
    "hold": ("lifecycle", "hold"),
    "release": ("lifecycle", "release"),
    "alloc-memseg": ("memory", "alloc_memseg"),
    "map": ("memory", "map_memseg"),
    "unmap": ("memory", "unmap"),
    "peek": ("contents", "peek"),
    "poke": ("contents", "poke"),
    "fill": ("contents", "fill"),
    "dirty": ("tracking", "dirty"),
    "npt": ("tracking", "npt"),
    "track-dirty": ("tracking", "track_dirty"),
    "destroy": ("lifecycle", "destroy"),
    "crash": ("crash", "crash"),
    "log": ("history", "log"),
    "undo": ("history", "undo"),
    "why": ("history", "why"),
    "diff": ("diff", "diff"),
    "run": ("scenarios", "run"),
    "matrix": ("matrix", "matrix"),
    "explore": ("explore", "explore"),
    "prove": ("prove", "prove"),
    "bisect": ("bisect", "bisect"),
    "check": ("advice", "check"),
    "explain": ("advice", "explain"),
    "host": ("host", "host"),
    "state": ("state", "state"),
    "import": ("importing", "import_vm"),
    "config": ("starting", "config"),
    "completion": ("starting", "completion"),
    "schema": ("schema", "schema"),
    "walk": ("walk", "walk"),
    "gpt": ("gpt", "gpt"),
    "find": ("find", "find"),
    "leaks": ("leaks", "leaks"),
    "fsck": ("fsck", "fsck"),
    "report": ("report", "report"),
    "trace": ("trace", "trace"),
    "identify": ("identify", "identify"),
    "lockstep": ("lockstep", "lockstep"),
    "replay": ("replay", "replay"),
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
        module, attribute = COMMANDS[cmd_name]
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
            CompletionItem(name, help=HELPS[name])
            for name in COMMANDS
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
            formatter.write_dl([(name, HELPS[name]) for name in COMMANDS])


_EPILOG = """\b
bhyvectl's own manner works as well:
  bhyvesim --vm=NAME --get-memmap [--graph] --get-memseg --get-lowmem --get-highmem
           --get-eptp --get-gpa-pmap=GPA --get-stats
           --set-mem=MB --pause --resume --force-reset --force-poweroff --destroy
  bhyvesim --create --vm=NAME | --create --config=FILE [--vm=NAME] [--replace]

\b
Exit status:
""" + "\n".join(f"  {status:<3}  {meaning}" for status, meaning in STATUSES.items())


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
@click.option(
    "--trust-state",
    is_flag=True,
    help="Believe a state that others may write; else $BHYVESIM_TRUST_STATE=1.",
)
@click.pass_context
def root(ctx: click.Context, quiet: bool, verbose: bool, trust_state: bool) -> None:
    """Create, inspect, reboot and destroy simulated bhyve VMs.

    The host they run on is simulated too: an illumos kernel of one of several
    revisions, exact to the last page-table entry, panics included.
    """
    session = ctx.ensure_object(Session)
    session.quiet, session.verbose = quiet, verbose
    session.store.trusted |= trust_state


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
