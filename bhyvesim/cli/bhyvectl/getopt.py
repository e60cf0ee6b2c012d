"""getopt_long() as illumos libc has it: abbreviations, permutation, its words for mistakes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from bhyvesim.errors import UsageError


class OptionError(UsageError):
    """What getopt_long() prints to standard error, without the program's name.

    ``typed`` is the option, where there is none of that name.
    """

    typed = ""


def _illegal(word: str, typed: str) -> OptionError:
    error = OptionError(f"illegal option -- {word}")
    error.typed = typed
    return error


def parse(
    argv: Sequence[str],
    table: Sequence[tuple[str, bool]],
    exact_only: Mapping[str, bool],
    short: Mapping[str, str] | None = None,
) -> tuple[dict[str, str], list[str]]:
    """Options by full name (last one wins; ``""`` for a flag), and the operands.

    *table* has each option's name and whether it takes an argument; a unique prefix is
    enough for those. Names in *exact_only* must be typed in full; words in *short* are some
    of them, which take nothing. Raises OptionError.
    """
    options: dict[str, str] = {}
    operands: list[str] = []
    permute = "POSIXLY_CORRECT" not in os.environ
    i = 0
    while i < len(argv):
        word = argv[i]
        i += 1
        if word == "--":
            operands += argv[i:]
            break
        if word == "-" or not word.startswith("-"):
            operands.append(word)
            if not permute:
                operands += argv[i:]
                break
            continue
        if short and word in short:
            options[short[word]] = ""
            continue
        if not word.startswith("--"):
            raise OptionError(f"illegal option -- {word[1]}")
        typed, equals, value = word[2:].partition("=")
        name, takes_argument = _resolve(word[2:], typed, table, exact_only)
        if not takes_argument:
            if equals:
                raise OptionError(f"option doesn't take an argument -- {name}")
            value = ""
        elif not equals:
            if i == len(argv):
                raise OptionError(f"option requires an argument -- {name}")
            value = argv[i]
            i += 1
        options[name] = value
    return options, operands


def _resolve(
    word: str, typed: str, table: Sequence[tuple[str, bool]], exact_only: Mapping[str, bool]
) -> tuple[str, bool]:
    if typed in exact_only:
        return typed, exact_only[typed]
    candidates = [(name, argument) for name, argument in table if name.startswith(typed)]
    for name, argument in candidates:
        if name == typed:
            return name, argument
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        names = ", ".join(sorted(f"--{name}" for name, _ in candidates))
        raise OptionError(f"ambiguous option -- {typed} (could be {names})")
    raise _illegal(word, typed)
