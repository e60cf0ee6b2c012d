"""The TOML configuration of Propolis standalone."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from bhyvesim.config.importers.draft import Draft, ImportProblem
from bhyvesim.units import MIB, shorten

ROM = 2 * MIB  # Propolis' ROM segment, whatever the file's size


def looks_like(lines: list[str]) -> bool:
    """Whether there is a ``[main]`` table, or a key of it."""
    return any(re.match(r"\s*(\[main\]|main\.\w+\s*=)", line) for line in lines)


def read(lines: list[str], source: str) -> Draft:
    """The VM of a propolis-standalone file. Raises ImportProblem."""
    try:
        document = tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        line = int(place[1]) if place else len(lines)
        raise ImportProblem(source, line, f"not TOML: {error}", "TOML") from None
    except RecursionError:
        raise ImportProblem(source, 1, "not TOML: nested too deeply", "TOML") from None
    draft = Draft(source, "propolis-standalone TOML", vmm="propolis")
    main = document.get("main")
    if not isinstance(main, dict):
        raise ImportProblem(source, _line_of(lines, "main"), "main is no table", "[main]")
    memory = main.get("memory")
    if type(memory) is not int or not 0 < memory < 1 << 44:
        line = _line_of(lines, "memory")
        raise ImportProblem(source, line, f"main.memory {shorten(repr(memory))}", "a number of MiB")
    rom = main.get("bootrom")
    if not isinstance(rom, str):
        line = _line_of(lines, "bootrom")
        raise ImportProblem(source, line, f"main.bootrom {shorten(repr(rom))}", "a path")
    draft.memory = memory * MIB
    draft.memory_origin = f"main.memory, line {_line_of(lines, 'memory')}: {memory} MiB"
    draft.bootrom = ROM
    draft.bootrom_origin = f"main.bootrom: {rom}; the segment is 2 MiB whatever the file's size"
    name = main.get("name")
    if isinstance(name, str):
        draft.name, draft.name_origin = name, f"main.name, line {_line_of(lines, 'name')}"
    used = {"main.memory", "main.bootrom", "main.name"}
    draft.ignored += [f"{path} = {value}" for path, value in _leaves(document) if path not in used]
    return draft


def _leaves(table: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        path = f"{above}{key}"
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _line_of(lines: list[str], key: str) -> int:
    pattern = re.compile(rf"\s*(main\.)?{key}\s*=|\s*\[{key}\]")
    return next((i for i, line in enumerate(lines, start=1) if pattern.match(line)), len(lines))
