"""help: the help of a command."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    group = ctx.find_root().command
    names = group.list_commands(ctx) if isinstance(group, click.Group) else []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.command("help")
@click.argument("words", metavar="[COMMAND...]", nargs=-1, shell_complete=_complete)
@click.pass_context
def help_of(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a command, as its --help does.

    Without a COMMAND, that of bhyvesim itself. 'help crash show' is of a command's command.
    """
    seen = ctx.find_root()
    for word in words:
        group = seen.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"{seen.command_path} has no commands", ctx)
        name, command, _ = group.resolve_command(seen, [word])
        assert command is not None
        seen = click.Context(command, seen, info_name=name)
    click.echo(seen.get_help())
