"""What may come next on a command line: commands, options, and the values of both.

The words are gone through once, without calling anything: click's own way would read the
values, and knows nothing of bhyvectl's options.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from bhyvesim.cli.bhyvectl.main import OURS
from bhyvesim.cli.bhyvectl.options import SIMULATED, TABLE
from bhyvesim.cli.helps import HELPS
from bhyvesim.cli.params import complete_crash
from bhyvesim.cli.root import root
from bhyvesim.cli.session import FORMATS
from bhyvesim.cli.shells import Offer

_FILES = ("FILE", "FOLDER", "PATH")  # in a metavar: names of files stand there
_WITH_ARGUMENT = {name for name, argument in (*TABLE, *OURS.items()) if argument}


def complete(words: Sequence[str], unfinished: str) -> Sequence[Offer]:
    """The ways to go on after *words* and *unfinished*, which may be empty."""
    place = _Place(_root())
    for word in words:
        place = place.after(word)
    offers = place.offers(unfinished)
    return list(dict.fromkeys(offer for offer in offers if offer.value.isprintable()))


def _root() -> click.Context:
    return click.Context(
        root, info_name="bhyvesim", resilient_parsing=True, **root.context_settings
    )


class _Place:
    """A place on the line: in which command, after which options and operands."""

    def __init__(self, ctx: click.Context) -> None:
        self.ctx = ctx
        self.params = ctx.command.get_params(ctx)
        self.given: set[str] = set()
        self.operands = 0
        self.only_operands = False  # after --
        self.bhyvectl = False  # after an option that only bhyvectl has
        self.pending: str | None = None  # the option whose value comes next

    def after(self, word: str) -> _Place:
        """The place after *word*."""
        if self.pending is not None:
            self.pending = None
        elif word == "--":
            self.only_operands = True
        elif word.startswith("-") and word != "-" and not self.only_operands:
            name, equals, _ = word.partition("=")
            self.given.add(name)
            if self._takes_value(name) and not equals:
                self.pending = name
        else:
            return self._after_operand(word)
        return self

    def _takes_value(self, name: str) -> bool:
        option = self._option(name)
        if option is not None:
            return not (option.is_flag or option.count)
        if self.ctx.command is root:
            self.bhyvectl = True
            return name.removeprefix("--") in _WITH_ARGUMENT
        return False

    def _after_operand(self, word: str) -> _Place:
        command = self.ctx.command
        if isinstance(command, click.Group):
            inner = command.get_command(self.ctx, word)
            if inner is not None:
                return _Place(
                    click.Context(inner, self.ctx, info_name=word, resilient_parsing=True)
                )
        elif not self._interspersed():
            return _Place(_root()).after(word)  # a command in a command, as of trace
        self.operands += 1
        return self

    def _interspersed(self) -> bool:
        settings = self.ctx.command.context_settings
        return bool(settings.get("allow_interspersed_args", True))

    def offers(self, unfinished: str) -> Iterator[Offer]:
        """The ways to go on from here."""
        if self.pending is not None:
            yield from self._values_of(self.pending, unfinished)
        elif unfinished.startswith("-") and not self.only_operands:
            name, equals, value = unfinished.partition("=")
            if equals:
                for offer in self._values_of(name, value):
                    yield offer._replace(value=f"{name}={offer.value}")
            else:
                yield from self._options(unfinished)
        elif isinstance(self.ctx.command, click.Group):
            yield from self._commands(self.ctx.command, unfinished)
        else:
            yield from self._values(self._argument(), unfinished)

    def _commands(self, group: click.Group, unfinished: str) -> Iterator[Offer]:
        if self.bhyvectl:
            return
        for name in group.list_commands(self.ctx):
            if name.startswith(unfinished):
                inner = None if group is root else group.get_command(self.ctx, name)
                yield Offer(name, HELPS[name] if inner is None else inner.get_short_help_str(80))

    def _options(self, unfinished: str) -> Iterator[Offer]:
        for param in self.params:
            if isinstance(param, click.Option) and not param.hidden:
                if self.given.isdisjoint(param.opts) or param.multiple:
                    for name in (*param.opts, *param.secondary_opts):
                        if name.startswith(unfinished):
                            yield Offer(name, (param.help or "").replace("\n", " "))
        if self.ctx.command is root:
            for name in sorted(f"--{name}" for name in SIMULATED | OURS.keys()):
                if name.startswith(unfinished) and name not in self.given and not self._has(name):
                    yield Offer(name)

    def _has(self, name: str) -> bool:
        return self._option(name) is not None

    def _option(self, name: str) -> click.Option | None:
        for param in self.params:
            if isinstance(param, click.Option) and name in (*param.opts, *param.secondary_opts):
                return param
        return None

    def _argument(self) -> click.Parameter | None:
        """The argument in whose place the next operand stands."""
        arguments = [param for param in self.params if isinstance(param, click.Argument)]
        left = self.operands
        for number, argument in enumerate(arguments):
            takes_all = argument.nargs < 0 and number == len(arguments) - 1
            if takes_all or not left:
                return argument
            left -= 1
        return None

    def _values_of(self, name: str, unfinished: str) -> Iterator[Offer]:
        option = self._option(name)
        if option is not None or self.ctx.command is not root:
            yield from self._values(option, unfinished)
        elif name in ("--config", "--crash"):
            if name == "--crash":
                for item in complete_crash(self.ctx, self.params[0], unfinished):
                    yield Offer(item.value, item.help or "")
            yield Offer("", files=True)
        elif name == "--format":
            yield from (Offer(known) for known in FORMATS if known.startswith(unfinished))

    def _values(self, param: click.Parameter | None, unfinished: str) -> Iterator[Offer]:
        if param is None or getattr(param, "is_flag", False):
            return
        for item in param.shell_complete(self.ctx, unfinished):
            if item.type == "plain":
                yield Offer(str(item.value), item.help or "")
        metavar = param.metavar or ""
        if isinstance(param.type, click.Path) or any(word in metavar for word in _FILES):
            yield Offer("", files=True)
