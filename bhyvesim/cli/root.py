"""The root of the subcommands; each is imported when it is called, not before."""

from __future__ import annotations

from importlib import import_module

import click

from bhyvesim.cli.group import CommandMissing, Group, HelpContext, dressed, voiced
from bhyvesim.cli.helps import HELPS
from bhyvesim.cli.params import colour_option, revision_option, vm_option
from bhyvesim.cli.session import FORMATS, Session
from bhyvesim.errors import STATUSES, UsageError

# By what they are for: {name: (module, attribute)}; a line in --help is its docstring's first
# (cli/helps.py).
GROUPS = {
    "The life of a VM": {
        "create": ("lifecycle", "create"),
        "list": ("inspect", "list_vms"),
        "show": ("show", "show"),
        "reboot": ("lifecycle", "reboot"),
        "pause": ("lifecycle", "pause"),
        "resume": ("lifecycle", "resume"),
        "migrate": ("migrate", "migrate"),
        "destroy": ("lifecycle", "destroy"),
        "undo": ("history", "undo"),
        "touch": ("lifecycle", "touch"),
        "hold": ("lifecycle", "hold"),
        "release": ("lifecycle", "release"),
        "alloc-memseg": ("memory", "alloc_memseg"),
        "map": ("memory", "map_memseg"),
        "unmap": ("memory", "unmap"),
        "poke": ("contents", "poke"),
        "fill": ("contents", "fill"),
        "dirty": ("tracking", "dirty"),
        "track-dirty": ("tracking", "track_dirty"),
        "npt": ("tracking", "npt"),
        "host": ("host", "host"),
        "state": ("state", "state"),
    },
    "Looking inside": {
        "log": ("history", "log"),
        "diff": ("diff", "diff"),
        "why": ("history", "why"),
        "walk": ("walk", "walk"),
        "gpt": ("gpt", "gpt"),
        "peek": ("contents", "peek"),
        "find": ("find", "find"),
        "leaks": ("leaks", "leaks"),
        "fsck": ("fsck", "fsck"),
        "trace": ("trace", "trace"),
        "report": ("report", "report"),
    },
    "Bugs and crash dumps": {
        "crash": ("crash", "crash"),
        "explain": ("advice", "explain"),
        "identify": ("identify", "identify"),
        "bisect": ("bisect", "bisect"),
        "explore": ("explore", "explore"),
        "prove": ("prove", "prove"),
        "lockstep": ("lockstep", "lockstep"),
    },
    "Scenarios, checks and CI": {
        "run": ("scenarios", "run"),
        "check": ("advice", "check"),
        "matrix": ("matrix", "matrix"),
        "replay": ("replay", "replay"),
        "record": ("record", "record"),
    },
    "Files and the shell": {
        "config": ("starting", "config"),
        "import": ("importing", "import_vm"),
        "schema": ("schema", "schema"),
        "completion": ("starting", "completion"),
        "help": ("helping", "help_of"),
    },
}
COMMANDS = {name: where for group in GROUPS.values() for name, where in group.items()}


def _print_version(ctx: click.Context, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from bhyvesim.cli.version import Row, show
    from bhyvesim.kernel.revisions import REVISIONS

    show([Row(r.name, r.date, r.summary, r.known) for r in REVISIONS.values()])
    ctx.exit()


class LazyGroup(Group):
    """A group that knows its commands' names and one-line helps without importing them."""

    context_class = HelpContext

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command = getattr(import_module(f"bhyvesim.cli.commands.{module}"), attribute)
        assert isinstance(command, click.Command)
        return dressed(voiced(command))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0][:40]!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, HELPS[name]) for name in names])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The epilog's lines as they are; what is too long for the terminal is wrapped."""
        from textwrap import TextWrapper

        wrapper = TextWrapper(formatter.width, break_long_words=False, break_on_hyphens=False)
        for block in (self.epilog or "").split("\n\n"):
            formatter.write_paragraph()
            for line in block.removeprefix("\b\n").splitlines():
                wrapper.initial_indent = " " * (len(line) - len(line.lstrip()) + 2)
                wrapper.subsequent_indent = f"{wrapper.initial_indent}     "
                formatter.write(wrapper.fill(line.lstrip()) + "\n")


_EPILOG = """\b
bhyvectl's own manner works as well:
  bhyvesim --vm=NAME --get-memmap [--graph] --get-memseg --get-lowmem
           --get-highmem --get-eptp --get-gpa-pmap=GPA --get-stats
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
    "-V",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, param, value: _print_version(ctx, value),
    help="Show the version and the kernel revisions, and exit.",
)
@vm_option
@revision_option
@colour_option
@click.option(
    "--format",
    "fmt",
    metavar="FORMAT",
    shell_complete=lambda ctx, param, word: [known for known in FORMATS if known.startswith(word)],
    help="The command's own --format, before it.",
)
@click.option(
    "--trust-state",
    is_flag=True,
    help="Believe a state that others may write; else $BHYVESIM_TRUST_STATE=1.",
)
@click.pass_context
def root(ctx: click.Context, fmt: str | None, trust_state: bool) -> None:
    """Create, inspect, reboot and destroy simulated bhyve VMs.

    The host they run on is simulated too: an illumos kernel of one of several
    revisions, exact to the last page-table entry, panics included.
    """
    session = ctx.ensure_object(Session)
    session.form, session.trusted = fmt, session.trusted or trust_state


voiced(root)


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
