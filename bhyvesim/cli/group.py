"""A group of commands, the same under every click that we declare."""

from __future__ import annotations

import sys

import click

from bhyvesim.cli.streams import coloured, columns


class CommandMissing(click.UsageError):
    """A group was called with no word at all; the message is its help."""

    def __init__(self, ctx: click.Context) -> None:
        super().__init__(ctx.get_help(), ctx)


_WIDEST, _NARROWEST = 80, 38  # columns of help, where nobody says otherwise


class _Formatter(click.HelpFormatter):
    """Headings that stand out, where there are colours."""

    def write_heading(self, heading: str) -> None:
        self.write(f"{'':>{self.current_indent}}{_bold(f'{heading}:')}\n")

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, f"{_bold('Usage:')} " if prefix is None else prefix)


def _bold(text: str) -> str:
    return click.style(text, bold=True, fg="cyan") if coloured(sys.stdout) else text


class HelpContext(click.Context):
    """A context whose help has colours where standard output has some."""

    formatter_class = _Formatter

    def make_formatter(self) -> click.HelpFormatter:
        # Asked for before the help is printed: click would strip what is for no terminal.
        self.color = coloured(sys.stdout)
        fitting = max(min(columns(sys.stdout), self.max_content_width or _WIDEST) - 2, _NARROWEST)
        return self.formatter_class(width=self.terminal_width or fitting)


def dressed(command: click.Command) -> click.Command:
    """*command*, with help as ours looks: click asks each for the class of its context."""
    vars(command)["context_class"] = HelpContext
    return command


class Group(click.Group):
    """Alone, it is a mistake that its help answers: on standard error, with status 2.

    click does so itself from 8.2 on; before, that was standard output, and status 0.
    """

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        return None if command is None else dressed(command)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            raise CommandMissing(ctx)
        return super().parse_args(ctx, args)
