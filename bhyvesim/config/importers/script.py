"""Shell scripts: the calls of bhyve in them, wherever they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial

from bhyvesim import limits
from bhyvesim.config.importers import call
from bhyvesim.config.importers.bhyve_config import is_assignment
from bhyvesim.config.importers.commands import TooDeep, commands
from bhyvesim.config.importers.draft import Draft, Found
from bhyvesim.config.importers.memsize import parse_memsize
from bhyvesim.config.importers.settings import Settings
from bhyvesim.config.importers.shell import tokens
from bhyvesim.config.importers.source import ImportProblem, Source
from bhyvesim.config.importers.variables import Argument, Variables

_NAMED = re.compile(r"(^|[\s\"'/;&|(`])bhyve([\"'\s;]|$)")
# Programs that run the command behind them, and those that only talk about it.
_WRAPPERS = re.compile(
    r"sudo|doas|pfexec|exec|nohup|env|time|nice|ionice|command|daemon|setsid|protect|cpuset|"
    r"chroot|jexec|timeout|stdbuf|truss|ktrace|builtin|priocntl|ppriv"
)
_TALKERS = re.compile(
    r"echo|printf|print|logger|[ef]?grep|pgrep|pkill|killall|kill|ps|which|whereis|type|hash|"
    r"man|ls|test|\[\[?|rm|cp|mv|cat|cd|mkdir|chmod|chown|find|awk|sed|pkg|kldload|kldstat|alias"
)
_SHELLS = re.compile(r"(ba|da|z|k)?sh|ksh93|su|eval|ssh|tmux|screen")
_LOADERS = {"bhyveload": ("-m", "CSc:d:e:h:l:m:"), "grub-bhyve": ("-M", "Sb:c:d:e:m:M:n:r:v")}
_MAX_NESTING = 4


def names_bhyve(line: str) -> bool:
    """Whether *line* has bhyve as a word, or as the end of a path."""
    return _NAMED.search(line) is not None


def looks_like(source: Source) -> bool:
    """Whether it says that it is a script, or names bhyve in a line that is no comment."""
    first = source.lines[0] if source.lines else ""
    shebang = first.startswith("#!") and re.search(r"sh\b", first) is not None
    lines = [line for _, line in source.said()]
    return shebang or (any(map(names_bhyve, lines)) and not all(map(is_assignment, lines)))


def read(source: Source) -> list[Found]:
    """The calls of bhyve in *source*, in order. Raises ImportProblem where there are none."""
    calls: list[tuple[int, list[Argument]]] = []
    loads: list[tuple[str, list[Argument]]] = []
    for program, arguments in _calls(source, None, 1, 0):
        if [argument.text for argument in arguments[-1:]] in (["-h"], ["help"]):
            continue  # which asks for help, and makes no VM
        if program.text == "bhyve":
            calls.append((program.line, arguments))
        else:
            loads.append((program.text, arguments))
    if not calls:
        named = next((number for number, line in source.said() if names_bhyve(line)), None)
        why = "bhyve is named here, but not called" if named else "a script that calls no bhyve"
        raise source.problem(named or 1, why, "a command such as bhyve -m 8G … NAME")
    return [
        Found(line, partial(_read_call, source, line, arguments, loads))
        for line, arguments in calls
    ]


def _read_call(
    source: Source, line: int, arguments: list[Argument], loads: list[tuple[str, list[Argument]]]
) -> Draft:
    settings = call.read_call(arguments, source, line)
    memory = settings.memory()
    draft = settings.finish()
    for program, loading in loads:
        _check_loader(program, loading, draft.name, memory, settings, line)
    return draft


def _check_loader(
    program: str,
    arguments: list[Argument],
    name: str | None,
    memory: int,
    settings: Settings,
    line: int,
) -> None:
    """The loader of this VM makes its memory: raises ImportProblem where its size is another."""
    option, known = _LOADERS[program]
    source = settings.source
    try:
        options, operands = call.parse(arguments, known, source, line)
    except ImportProblem:
        return  # long options, or variables: of no more use than a loader without memory
    given = [argument for letter, argument in options if letter == option and not argument.unknown]
    if operands and operands[0].unknown is None and name not in (None, operands[0].text):
        return
    for argument in given:
        if parse_memsize(argument.text, source, argument.line) != memory:
            raise source.problem(
                line,
                f"bhyve's memory is not that of {program} {option} {argument.text} on line "
                f"{argument.line}",
                "one size",
            )


def _calls(
    source: Source, text: str | None, line: int, depth: int
) -> Iterator[tuple[Argument, list[Argument]]]:
    """``(program, arguments)`` of bhyve and its loaders; the program is its bare name."""
    try:
        found = commands(tokens(source, text, line))
    except TooDeep:
        raise source.problem(line, "too deeply nested", str(limits.BLOCKS)) from None
    refused = limits.COMMANDS.refusal(len(found))
    if refused is not None:
        raise source.problem(line, f"a script of {refused[0]}", refused[1])
    variables = Variables(found)
    for index in range(len(found)):
        words = variables.program(index)
        place = _place_of_call(words)
        if place is not None:
            program = words[place]
            yield program._replace(text=_base(program)), words[place + 1 :]
        elif words and _runs_others(words[0]) and depth < _MAX_NESTING:
            for word in words[1:]:
                if " " in word.text and names_bhyve(word.text):
                    yield from _calls(source, word.text, word.line, depth + 1)


def _place_of_call(words: Sequence[Argument]) -> int | None:
    """The index of the program that is called, behind whatever runs it."""
    for i, word in enumerate(words):
        if _base(word) in ("bhyve", *_LOADERS):
            runs = i == 0 or _WRAPPERS.fullmatch(_base(words[0]))
            has_options = words[i + 1 : i + 2] and words[i + 1].text.startswith("-")
            return i if runs or has_options else None
        if _TALKERS.fullmatch(_base(word)):
            return None
    return None


def _runs_others(word: Argument) -> bool:
    """Whether this program runs commands that are given to it as one word."""
    base = _base(word)
    return bool(_SHELLS.fullmatch(base) or _WRAPPERS.fullmatch(base))


def _base(word: Argument) -> str:
    return word.text.rsplit("/", 1)[-1]
