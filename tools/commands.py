"""The commands of bhyvesim, with nothing left lazy."""

from __future__ import annotations

from collections.abc import Iterator

import click

from bhyvesim.cli.root import LazyGroup, root

Commands = Iterator[tuple[str, click.Context]]


def eager_root() -> click.Group:
    """The root group with all of its commands loaded."""
    ctx = click.Context(root)
    commands = {name: root.get_command(ctx, name) for name in root.list_commands(ctx)}
    return LazyGroup(
        "bhyvesim",
        commands={name: command for name, command in commands.items() if command is not None},
        params=root.params,
        help=root.help,
        epilog=root.epilog,
        context_settings=root.context_settings,
    )


def all_commands() -> Commands:
    """``("bhyvesim crash show", its context)`` of every command, the root first."""

    def below(name: str, command: click.Command, parent: click.Context | None) -> Commands:
        # A command's own settings are the root's: -h comes from there.
        settings = {**eager.context_settings, "terminal_width": 84}
        ctx = click.Context(command, parent, info_name=name, **settings)
        yield ctx.command_path, ctx
        if isinstance(command, click.Group):
            for inner_name, inner in command.commands.items():
                yield from below(inner_name, inner, ctx)

    eager = eager_root()
    yield from below("bhyvesim", eager, None)
