"""Options and value types that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bhyvesim.cli.session import FORMATS, Session
from bhyvesim.errors import BadValue
from bhyvesim.prot import parse_prot
from bhyvesim.units import parse_address, parse_size

F = TypeVar("F", bound=Callable[..., Any])


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.5 on
    """A value read by one of our parsers, with its message on failure."""

    def __init__(self, name: str, parse: Callable[[str], int]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return self._parse(value)
        except BadValue as error:
            self.fail(str(error), param, ctx)


ADDRESS = Parsed("address", parse_address)
SIZE = Parsed("size", parse_size)
ACCESS = Parsed("r,w,x", parse_prot)

format_option = click.option(
    "--format",
    "fmt",
    type=click.Choice(FORMATS),
    help="How to print; a table on a terminal, else plain.",
)


def _set_vm(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    session = ctx.ensure_object(Session)
    if value is not None:
        session.vm = value


vm_option = click.option(
    "--vm",
    metavar="NAME",
    expose_value=False,
    is_eager=True,
    callback=_set_vm,
    help="The VM; else $BHYVESIM_VM, else the only one there is.",
)
