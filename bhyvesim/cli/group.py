"""A group of commands, the same under every click that we declare."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from bhyvesim.cli.session import Session
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


def _quiet(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    session = ctx.ensure_object(Session)
    session.quiet = session.quiet or value


def _verbose(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    session = ctx.ensure_object(Session)
    session.verbose = session.verbose or value


def _has_no_format(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """As :func:`_verbose`, of a command that has no ``--format``."""
    if ctx.ensure_object(Session).form is not None:
        raise click.UsageError(f"{ctx.command_path} has no --format", ctx)
    _verbose(ctx, param, value)


def _form(usual: Any) -> Callable[[], Any]:
    """The ``--format`` that stands before the command, else *usual*."""

    def form() -> Any:
        return click.get_current_context().ensure_object(Session).form or usual

    return form


def voiced(command: click.Command) -> click.Command:
    """*command*, with the root's --quiet and --verbose; its --format may stand before it too."""
    if any("--quiet" in param.opts for param in command.params):
        return command
    formats = [param for param in command.params if "--format" in param.opts]
    for param in formats:
        param.default = _form(param.default)
    deaf = not formats and not isinstance(command, click.Group)
    says = _has_no_format if deaf else _verbose
    command.params += [
        voice("-q", "--quiet", _quiet, "Say nothing but warnings and errors."),
        voice("-v", "--verbose", says, "Say more of what was done."),
    ]
    return command


def voice(short: str, long: str, heard: Callable[..., None], about: str) -> click.Option:
    """A flag of which a callback is told."""
    return click.Option([short, long], is_flag=True, expose_value=False, callback=heard, help=about)


class Group(click.Group):
    """Its commands are :func:`voiced`; alone, it is a mistake that its help answers.

    That goes to standard error, with status 2: click does so itself from 8.2 on; before,
    it was standard output, and status 0.
    """

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        return None if command is None else dressed(command)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            raise CommandMissing(ctx)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The first paragraph of each, whole: click would cut it to a line."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, " ".join((command.help or "").split("\n\n")[0].split()))
                    for name, command in sorted(self.commands.items())
                ]
            )

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        super().add_command(voiced(cmd), name)
