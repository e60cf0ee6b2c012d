"""One call of bhyve: its options, as the settings that they stand for."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from bhyvesim.config.importers.settings import MEMORY, NAME, ROM, WIRED, Setting, Settings
from bhyvesim.config.importers.source import Source
from bhyvesim.config.importers.variables import Argument, Unknown
from bhyvesim.units import shorten

# The options of illumos' and FreeBSD's bhyve; those with a colon take an argument.
OPTIONS = "aehuwxyACDEHIPSWYk:f:o:p:g:G:c:s:m:n:l:B:U:K:b:r:F:"
KIND = "a call of bhyve"
WHERE = "-m 8G or the like"

Options = list[tuple[str, Argument]]


def read_call(arguments: Sequence[Argument], source: Source, line: int) -> Settings:
    """The settings of bhyve's *arguments*. Raises ImportProblem."""
    options, operands = parse(arguments, OPTIONS, source, line)
    settings = Settings(source, KIND, WHERE, line)
    apply(options, settings)
    if operands and operands[0].unknown is None:
        name = operands[0]
        settings.put(NAME, Setting(name.text, name.line, "the last word of the command"))
    for operand in operands[1:]:
        settings.ignore(f"operand {operand.text}")
    return settings


def parse(
    arguments: Sequence[Argument], known: str, source: Source, line: int
) -> tuple[Options, list[Argument]]:
    """Options and operands, as getopt(3C) tells them apart. Raises ImportProblem."""
    options: Options = []
    rest = deque(arguments)
    while rest:
        word = rest[0]
        if word.unknown is not None and not word.text.startswith("-"):
            if len(rest) > 1:
                raise _problem(source, word.unknown, "options in plain words")
            break
        if word.text == "-" or not word.text.startswith("-"):
            break
        rest.popleft()
        if word.text == "--":
            break
        _cluster(word, rest, known, options, source, line)
    return options, list(rest)


def _cluster(
    word: Argument,
    rest: deque[Argument],
    known: str,
    options: Options,
    source: Source,
    line: int,
) -> None:
    """``-AHP``, ``-m4G`` or ``-m`` with the next word; that one is taken from *rest*."""
    for i, letter in enumerate(word.text[1:], start=2):
        place = known.find(letter)
        if place < 0 or letter == ":":
            raise source.problem(word.line, f"option -{letter} is not bhyve's", "bhyve's options")
        if known[place + 1 : place + 2] != ":":
            options.append((f"-{letter}", Argument("", word.line)))
        elif word.text[i:]:
            options.append((f"-{letter}", word._replace(text=word.text[i:])))
            return
        elif rest:
            options.append((f"-{letter}", rest.popleft()))
            return
        else:
            raise source.problem(line, f"option -{letter} requires argument", "bhyve's options")


def apply(options: Options, settings: Settings) -> None:
    """Put *options* into *settings*. Raises ImportProblem where one is not known in full."""
    for option, argument in options:
        _apply_option(option, argument, settings)
    if any(option == "-k" for option, _ in options):
        _check_config_file(options, settings)


def _apply_option(option: str, argument: Argument, settings: Settings) -> None:
    shown = f"{option} {argument.text}".strip()
    source = settings.source

    def put(key: str, text: str) -> None:
        settings.put(key, Setting(text, argument.line, f"{shown}, line {argument.line}"))

    if argument.unknown is not None and _decides(option, argument.text):
        raise _problem(source, argument.unknown, f"{option} with a value that is in this file")
    if option == "-m":
        put(MEMORY, argument.text)
    elif option == "-S":
        put(WIRED, "true")
    elif option == "-l" and argument.text.startswith("bootrom,"):
        put(ROM, argument.text.split(",")[1])
        if argument.text.count(",") > 1:
            settings.draft.notes.append(
                "The variable store of the ROM is trapped MMIO, and not mapped."
            )
    elif option == "-s" and argument.text.split(",")[1:2] == ["fbuf"]:
        put(f"pci.{argument.text.split(',')[0]}.device", "fbuf")
    elif option == "-n" and "size=" in argument.text:
        put("domains.N.size", argument.text)
    elif option == "-o" and "=" in argument.text:
        key, _, text = argument.text.partition("=")
        put(key, text)
    elif option != "-k":
        settings.ignore(shown)


def _decides(option: str, text: str) -> bool:
    """Whether an *option* whose *text* is not wholly known may be about memory."""
    if option in ("-l", "-s"):
        fields = text.split(",")
        index = 0 if option == "-l" else 1
        return "$" in fields[index] if len(fields) > index else True
    return option in ("-m", "-o", "-n")


def _check_config_file(options: Options, settings: Settings) -> None:
    """``-k FILE`` gives what the options leave out, and its file is not read."""
    argument = next(argument for option, argument in options if option == "-k")
    if all(option != "-m" for option, _ in options):
        raise settings.source.problem(
            argument.line,
            f"the memory may stand in the file of -k {shorten(argument.text)}",
            "-m beside it, or that file itself to import",
        )
    settings.draft.assumed.append(
        f"the file of -k {shorten(argument.text)} is not read: it may give a ROM or wired memory"
    )


def _problem(source: Source, unknown: Unknown, expected: str) -> Exception:
    return source.problem(unknown.line, unknown.why, expected)
