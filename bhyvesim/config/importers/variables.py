"""What the variables of a shell script are known to hold, where a command uses them.

A value counts as known when every assignment that may have come before agrees on it: the
nearest one on the way, those under a condition since, and those of functions. Nothing is run.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bhyvesim.config.importers.commands import Command, Path
from bhyvesim.config.importers.shell import Part, Word

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?=)", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_DECLARING = {"export", "local", "readonly", "declare", "typeset"}
_READING = {"read", "getopts", "for", "select", "unset", "mapfile", "readarray", "let"}
_ELSEWHERE = {".", "source", "eval"}  # commands that may set any variable
_MAX_DEPTH, _MAX_LENGTH = 20, 4096


Open = tuple[tuple[str, int], ...]  # the variables being looked up, and where


class Unknown(NamedTuple):
    """Why a value is not known, for a message, and the line that shows it."""

    why: str
    line: int


class Argument(NamedTuple):
    """A word after its expansions; where one is unknown, the text has it as it stands."""

    text: str
    line: int
    unknown: Unknown | None = None


class _Assignment(NamedTuple):
    name: str | None  # None: whatever variable there is
    value: Word | Unknown
    place: int  # the index of its command
    path: Path
    in_function: bool


class Variables:
    """The assignments of a script's commands."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self._commands = commands
        self._assignments: defaultdict[str | None, list[_Assignment]] = defaultdict(list)
        for i, command in enumerate(commands):
            for assignment in _assignments(i, command):
                self._assignments[assignment.name].append(assignment)
        self._known: dict[tuple[str, int], str | Unknown] = {}

    def expand(self, word: Word, index: int) -> list[Argument]:
        """The arguments that *word* becomes in the command at *index*; one, as a rule."""
        return self._expand(word, index, ())

    def program(self, index: int) -> list[Argument]:
        """The command at *index* without the assignments in front of it, expanded."""
        words = self._commands[index].words
        start = 0
        while start < len(words) and _assigned(words[start]) is not None:
            start += 1
        return [argument for word in words[start:] for argument in self.expand(word, index)]

    def _expand(self, word: Word, index: int, underway: Open) -> list[Argument]:
        fields = [""]
        unknown: dict[int, Unknown] = {}
        for part in word.parts:
            value = self._value(part, index, word.line, underway)
            if isinstance(value, Unknown):
                unknown.setdefault(len(fields) - 1, value)
                fields[-1] += _raw(part)
            elif part.quoted or part.kind == "text":
                fields[-1] += value
            else:
                pieces = re.split(r"[ \t\n]+", value)
                fields[-1] += pieces[0]
                fields += pieces[1:]
        quoted = any(part.quoted for part in word.parts)
        return [
            Argument(text, word.line, unknown.get(i))
            for i, text in enumerate(fields)
            if text or quoted
        ]

    def _value(self, part: Part, index: int, line: int, underway: Open) -> str | Unknown:
        if part.kind == "text":
            return part.text
        if part.kind == "hard":
            return Unknown(f"{part.text} is known only when the script runs", line)
        if not _VARIABLE.fullmatch(part.text):
            return Unknown(f"${part.text} is given when the script runs", line)
        key = part.text, index
        if key not in self._known:
            self._known[key] = self._lookup(part.text, index, line, underway)
        return self._known[key]

    def _lookup(self, name: str, index: int, line: int, underway: Open) -> str | Unknown:
        if (name, index) in underway or len(underway) > _MAX_DEPTH:
            return Unknown(f"${name} stands for itself", line)
        candidates, outside = self._candidates(name, index)
        values: dict[str, int] = {}
        for assignment in candidates:
            value = self._assigned_value(assignment, (*underway, (name, index)))
            if isinstance(value, Unknown):
                own = value.why.startswith(f"${name} ")
                return Unknown(value.why if own else f"${name}: {value.why}", line)
            if len(value) > _MAX_LENGTH:
                return Unknown(f"${name} grows without end", line)
            values.setdefault(value, self._commands[assignment.place].line)
        if not values:
            return Unknown(f"${name} is set nowhere in this file", line)
        if len(values) > 1:
            (one, first), (other, second) = list(values.items())[:2]
            return Unknown(
                f"${name} may be {one[:40]!r} (line {first}) or {other[:40]!r} (line {second})",
                line,
            )
        if outside:
            return Unknown(f"${name} is set only under a condition", line)
        return next(iter(values))

    def _assigned_value(self, assignment: _Assignment, underway: Open) -> str | Unknown:
        if isinstance(assignment.value, Unknown):
            return assignment.value
        expanded = self._expand(assignment.value, assignment.place, underway)
        unknown = next((a.unknown for a in expanded if a.unknown is not None), None)
        return unknown or " ".join(argument.text for argument in expanded)

    def _candidates(self, name: str, index: int) -> tuple[list[_Assignment], bool]:
        """The assignments that *name* may have its value from; whether it may have none."""
        here = self._commands[index]
        mine = [*self._assignments[name], *self._assignments[None]]
        mine.sort(key=lambda a: a.place)
        candidates: list[_Assignment] = []
        nearest = None
        for a in reversed([a for a in mine if a.place < index]):
            candidates.append(a)
            if a.name is not None and a.path == here.path[: len(a.path)]:
                nearest = a
                break
        if nearest is None or not nearest.in_function:
            # A function may run in between; in one, what follows it may have run before.
            others = [a for a in mine if a.name is not None and a not in candidates]
            late = [a for a in others if a.in_function or (here.in_function and a.place > index)]
            candidates += [a for a in late if nearest is None or a.place > nearest.place]
        if all(a.name is None for a in candidates):
            return [], True
        always = any(not a.path for a in candidates if a.place > index)
        return candidates, nearest is None and not always


def _assigned(word: Word) -> tuple[str, Word | Unknown] | None:
    """The variable that *word* assigns, and its value; None for other words."""
    first = word.parts[0] if word.parts else None
    if first is None or first.kind != "text" or first.quoted:
        return None
    match = _ASSIGNMENT.match(first.text)
    if match is None:
        return None
    if match[2] == "+=":
        return match[1], Unknown(f"${match[1]} is put together by +=", word.line)
    rest = first._replace(text=first.text[match.end() :], quoted=True)
    # Of what is assigned nothing is split into words.
    parts = tuple(part._replace(quoted=True) for part in (rest, *word.parts[1:]))
    return match[1], Word(parts, word.line)


def _assignments(index: int, command: Command) -> Iterator[_Assignment]:
    program = command.words[0].plain
    path, in_function = command.path, command.in_function
    if program in _ELSEWHERE:
        why = f"'{program}' on line {command.line} may set it"
        yield _Assignment(None, Unknown(why, command.line), index, path, in_function)
    elif program in _READING:
        for word in command.words[1:]:
            name = (word.plain or "").partition("=")[0]
            if _VARIABLE.fullmatch(name) and name != "in":
                why = f"${name} is set by '{program}' on line {word.line}"
                yield _Assignment(name, Unknown(why, word.line), index, path, in_function)
            if program in ("for", "select"):
                break
    else:
        declaring = program in _DECLARING
        words = command.words[1:] if declaring else command.words
        assigned = [_assigned(word) for word in words]
        if declaring or None not in assigned:  # else they are for the command behind them
            yield from (
                _Assignment(*pair, index, path, in_function)
                for pair in assigned
                if pair is not None
            )


def _raw(part: Part) -> str:
    return f"${part.text}" if part.kind == "variable" else part.text
