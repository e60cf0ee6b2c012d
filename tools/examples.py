"""Examples of commands: those that the documentation shows, and its tests run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click

from tools.commands import all_commands

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
ROOT_COMMAND = "bhyvesim"
# Options of many commands, which are the same in each.
COMMON = ("--at", "--crash", "--dask", "--dry-run", "--format", "--jobs", "--revision-file", "--vm")
_MADE = "<!-- Made by"  # what is made shows what others show
_MAX = 150  # characters: an example is to be taken in at a glance


class Example(NamedTuple):
    """A call of a command: its words, as they stand in a console block."""

    command: str
    text: str
    options: frozenset[str]


@cache
def examples() -> tuple[Example, ...]:
    """Every call of bhyvesim in the documentation's console blocks, the shortest first."""
    paths = {path.removeprefix("bhyvesim "): ctx for path, ctx in all_commands()}
    found = {example for call in _calls() for example in _example(call, set(paths))}
    return tuple(sorted(found, key=lambda one: (len(one.text), one.text)))


def options_of(ctx: click.Context) -> list[click.Option]:
    """The options of a command that its help shows, but --help."""
    options = [p for p in ctx.command.get_params(ctx) if isinstance(p, click.Option)]
    return [one for one in options if not one.hidden and "--help" not in one.opts]


def of_option(command: str, names: Iterable[str]) -> str:
    """The shortest call of *command* with an option of these names; empty if there is none.

    Of a common option it may be a call of any command.
    """
    wanted = set(names)
    having = [example for example in examples() if example.options & wanted]
    own = [example for example in having if example.command == command]
    found = own or (having if wanted & set(COMMON) else [])
    return found[0].text if found else ""


def is_of(command: str, text: str) -> bool:
    """Whether *text* is a call of *command*."""
    return any(one.command == command and one.text == text for one in examples())


def _calls() -> Iterator[str]:
    for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        if text.startswith(_MADE):
            continue
        for line in re.findall(r"^ *\w*\$ (.*)$", text, re.MULTILINE):
            for part in re.split(r" (?:\||\|\||&&|2>&1|2>/dev/null|>(?!=)) ?|; ", line):
                if part.strip().startswith("bhyvesim "):
                    yield part.strip()


def _example(call: str, commands: set[str]) -> Iterator[Example]:
    try:
        words = shlex.split(call, comments=True)[1:]
    except ValueError:  # cut in the midst of a quotation
        return
    if len(call) > _MAX:
        return
    at = next((i for i, word in enumerate(words) if word in commands), len(words))
    before, after = words[:at], words[at:]
    command = next((name for n in (2, 1) if (name := " ".join(after[:n])) in commands), "")
    if command:
        yield Example(command, call, _options(after))
    if before:
        yield Example(ROOT_COMMAND, call, _options(before))


def _options(words: list[str]) -> frozenset[str]:
    return frozenset(word.partition("=")[0] for word in words if word.startswith("-"))
