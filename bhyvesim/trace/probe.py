"""Probes, as dtrace describes them: ``provider:module:function:name /predicate/``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import NamedTuple

from bhyvesim.errors import BadValue
from bhyvesim.kernel.functions import Function
from bhyvesim.trace.predicate import Predicate, parse
from bhyvesim.units import shorten

PROVIDER = "fbt"
NAMES = ("entry", "return")
_FIELDS = ("provider", "module", "function", "name")
_STRINGS = ("caller", "probefunc", "probemod", "probename")


class Probe(NamedTuple):
    """One place in the kernel: a function's entry, or its return."""

    function: Function
    returned: bool

    @property
    def fields(self) -> tuple[str, str, str, str]:
        """Provider, module, function and name."""
        return PROVIDER, self.function.module, self.function.name, NAMES[self.returned]

    @property
    def arguments(self) -> dict[str, type]:
        """What a predicate may name of it, and the types; without what is only a pointer."""
        names: dict[str, type] = dict.fromkeys(_STRINGS, str)
        for name, number in numbered(self.function, self.returned).items():
            names[name] = names[number] = int
        if self.returned and self.function.returns != "void":
            names["arg1"] = int
        return {**names, **{p.name: int for p in self.function.params if p.known}}

    def __str__(self) -> str:
        return ":".join(self.fields)


class Description(NamedTuple):
    """The probes that a text of four patterns and a predicate means."""

    text: str
    globs: tuple[str, str, str, str]
    predicate: Predicate | None

    def matches(self, probe: Probe) -> bool:
        """Whether *probe* is one of them, whatever the predicate says."""
        return all(map(_fits, probe.fields, self.globs))


def numbered(function: Function, returned: bool = False) -> dict[str, str]:
    """The arguments with a value, and their places as dtrace counts them: ``arg0`` is the first.

    At a return there are none: its ``arg1`` is the result.
    """
    if returned:
        return {}
    return {p.name: f"arg{i}" for i, p in enumerate(function.params) if p.known}


def probes(tables: Iterable[Mapping[str, Function]]) -> list[Probe]:
    """The probes of all functions in *tables*, each once, in alphabetic order."""
    functions = {function: None for table in tables for function in table.values()}
    found = [Probe(function, returned) for function in functions for returned in (False, True)]
    return sorted(found, key=lambda probe: (probe.fields, str(probe.function)))


def describe(text: str, known: list[Probe]) -> Description:
    """The description *text*, where there are the probes *known*.

    Raises BadValue, with the column, where it is malformed, matches none of them, or names
    an argument that no probe of it has.
    """
    plain, slash, rest = text.partition("/")
    if "{" in text:
        column = text.index("{") + 1
        raise _wrong(text, column, "an action stands here", "none: all arguments are shown")
    description = Description(text, _globs(text, plain), None)
    matched = [probe for probe in known if description.matches(probe)]
    if not matched:
        raise _nothing(text, plain, description.globs, known)
    if not slash:
        return description
    body, closed, tail = rest.rpartition("/")
    if not closed:
        raise _wrong(text, len(plain) + 1, "the predicate has no end", "a '/' after it")
    if tail.strip():
        column = len(text) - len(tail.lstrip()) + 1
        raise _wrong(text, column, f"{shorten(tail.strip())} stands here", "the end")
    return description._replace(predicate=parse(body, names_of(matched, body)))


def names_of(matched: Iterable[Probe], text: str = "") -> dict[str, type]:
    """What may be named of the probes *matched*, and the types.

    Raises BadValue where *text* names an argument that is a pointer in all of them.
    """
    names: dict[str, type] = {}
    pointers: dict[str, Probe] = {}
    for probe in matched:
        names |= probe.arguments
        pointers |= dict.fromkeys(_pointers(probe), probe)
    for word in re.finditer(r'"[^"]*"|[A-Za-z_]\w*', text):
        if word[0] in pointers and word[0] not in names:
            raise _pointer(word[0], pointers[word[0]])
    return names


def _pointers(probe: Probe) -> Iterator[str]:
    for i, param in enumerate(probe.function.params):
        if not param.known:
            yield param.name
            if not probe.returned:
                yield f"arg{i}"
    if probe.returned:
        yield "arg0"  # where in the function it returned from: no code has an address here


def _pointer(name: str, probe: Probe) -> BadValue:
    params = probe.function.params
    number = int(name[3:]) if name[:3] == "arg" and name[3:].isdigit() else None
    if number is not None and not probe.returned:
        what = f"{params[number]!s}, for which the simulation has no value"
    elif number is not None:
        what = "an offset into the code, which is not simulated"
    else:
        what = "of a kind for which the simulation has no value"
    known = ", ".join(n for n, kind in probe.arguments.items() if kind is int)
    problem = f"{name} of {probe.function.name}:{NAMES[probe.returned]} is {what}"
    return BadValue(problem, f"one of {known}" if known else "none of its arguments")


def _globs(text: str, plain: str) -> tuple[str, str, str, str]:
    fields = [field.strip() for field in plain.split(":")]
    if len(fields) > len(_FIELDS):
        column = len(":".join(plain.split(":")[:4])) + 1
        raise _wrong(text, column, "a fifth field begins here", "provider:module:function:name")
    if not plain.strip():
        raise _wrong(text, 1, "no probe stands here", "provider:module:function:name")
    for field in fields:
        if more := re.search("[ ,]", field):
            column = plain.index(field) + more.start() + 1
            raise _wrong(text, column, "a second probe begins here", "a -n for each")
    provider, module, function, name = [""] * (len(_FIELDS) - len(fields)) + fields
    return provider, module, function, name


def _fits(value: str, glob: str) -> bool:
    return not glob or fnmatchcase(value, glob)


def _nothing(text: str, plain: str, globs: tuple[str, ...], known: list[Probe]) -> BadValue:
    """No probe matches: the first field that no probe has, else the nearest whole."""
    given = plain.split(":")
    for i, glob in enumerate(globs):
        values = sorted({probe.fields[i] for probe in known})
        if not any(_fits(value, glob) for value in values):
            before = i - (len(_FIELDS) - len(given))
            column = len("".join(f"{field}:" for field in given[:before])) + 1
            near = get_close_matches(glob[:100], values, n=1) or values
            listed = near[0] if len(near) == 1 else " or ".join(near) if i != 2 else "see trace -l"
            if i == len(globs) - 1 and any(_fits(probe.fields[2], glob) for probe in known):
                listed += f" after it: {shorten(f'{glob}:entry')}"
            return _wrong(text, column, f"no {_FIELDS[i]} is {shorten(glob)}", listed)
    names = [str(probe) for probe in known]
    near = get_close_matches(":".join(globs)[:200], names, n=1, cutoff=0.0)
    return _wrong(text, 1, "no probe matches all of it", near[0])


def _wrong(text: str, column: int, problem: str, expected: str) -> BadValue:
    return BadValue(f"column {column} of the probe {shorten(text, 60)}: {problem}", expected)
