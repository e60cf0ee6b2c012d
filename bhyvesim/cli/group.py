"""A group of commands, the same under every click that we declare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from bhyvesim.cli.session import Session


class CommandMissing(click.UsageError):
    """A group was called with no word at all; the message is its help."""

    def __init__(self, ctx: click.Context) -> None:
        super().__init__(ctx.get_help(), ctx)


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

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            raise CommandMissing(ctx)
        return super().parse_args(ctx, args)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        super().add_command(voiced(cmd), name)
