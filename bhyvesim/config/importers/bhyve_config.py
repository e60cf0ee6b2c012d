"""bhyve_config(5): the file that ``bhyve -k`` reads and ``-o config.dump=1`` writes."""

from __future__ import annotations

import re

from bhyvesim.config.importers.draft import Draft, Found
from bhyvesim.config.importers.settings import MEMORY, ROM, WIRED, Setting, Settings
from bhyvesim.config.importers.source import Source
from bhyvesim.units import shorten

KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*", re.ASCII)
_MAX_VALUE, _MAX_DEPTH = 4096, 40


def read(source: Source) -> list[Found]:
    """The one VM of *source*."""
    return [Found(1, lambda: _read(source))]


def _read(source: Source) -> Draft:
    settings = Settings(source, "a bhyve_config(5) file", "memory.size=8G or the like")
    given: list[tuple[str, str, int]] = []
    for number, line in source.said():
        key, equals, value = line.partition("=")
        key = key.strip()
        if not equals or not KEY.fullmatch(key):
            raise source.problem(number, shorten(line), "key=value")
        given.append((key, value.strip(), number))
    variables = _Variables({key: value for key, value, _ in given}, source)
    for key, value, number in given:
        text = variables.expand(value, number, (key,))
        origin = f"{key}, line {number}"
        if key in (MEMORY, ROM, WIRED):
            origin += f": {text}"
        settings.put(key, Setting(text, number, origin))
    return settings.finish()


class _Variables:
    """``%(other)`` stands for the value of another key, ``%%`` for a percent sign."""

    def __init__(self, values: dict[str, str], source: Source) -> None:
        self._values = values
        self._source = source
        self._expanded: dict[str, str] = {}

    def expand(self, text: str, line: int, open_keys: tuple[str, ...]) -> str:
        """*text* with its variables; *open_keys* are being expanded, and may not come again."""
        expanded = re.sub(r"%%|%\(([^)]*)\)", lambda match: self._one(match, line, open_keys), text)
        if len(expanded) > _MAX_VALUE:
            raise self._source.problem(line, "a value that grows without end", "a shorter one")
        return expanded

    def _one(self, match: re.Match[str], line: int, open_keys: tuple[str, ...]) -> str:
        if match[0] == "%%":
            return "%"
        key = match[1]
        if key not in self._values or key in open_keys or len(open_keys) > _MAX_DEPTH:
            raise self._source.problem(
                line, f"{shorten(match[0])} leads nowhere", "a key of the file"
            )
        if key not in self._expanded:
            self._expanded[key] = self.expand(self._values[key], line, (*open_keys, key))
        return self._expanded[key]


def looks_like(source: Source) -> bool:
    """Whether the first line that says anything is ``key=value``."""
    return any(is_assignment(line) for _, line in list(source.said())[:1])


def is_assignment(line: str) -> bool:
    """Whether *line* is ``key=value``, the key being one word."""
    key, equals, _ = line.partition("=")
    return bool(equals) and KEY.fullmatch(key.strip()) is not None
