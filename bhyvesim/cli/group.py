"""A group of commands, the same under every click that we declare."""

from __future__ import annotations

import click


class CommandMissing(click.UsageError):
    """A group was called with no word at all; the message is its help."""

    def __init__(self, ctx: click.Context) -> None:
        super().__init__(ctx.get_help(), ctx)


class Group(click.Group):
    """Alone, it is a mistake that its help answers: on standard error, with status 2.

    click does so itself from 8.2 on; before, that was standard output, and status 0.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            raise CommandMissing(ctx)
        return super().parse_args(ctx, args)
