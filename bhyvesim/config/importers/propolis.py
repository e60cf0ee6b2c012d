"""The TOML configurations of Propolis: standalone, and the server's, which has no memory."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from bhyvesim.config.importers.draft import Draft, Found
from bhyvesim.config.importers.source import Source
from bhyvesim.units import MIB, shorten

ROM = 2 * MIB  # Propolis' ROM segment, whatever the file's size

_STANDALONE = re.compile(r"\s*(\[main\]|main\.\w+\s*=)")
_SERVER = re.compile(r'\s*(\[\[?(dev|block_dev|pci_bridge|chipset)\b|bootrom\s+=\s*")')


def looks_like(source: Source) -> bool:
    """Whether there is a ``[main]`` table or a key of it, or a table of the server's."""
    return any(_STANDALONE.match(line) or _SERVER.match(line) for line in source.lines)


def read(source: Source) -> list[Found]:
    """The one VM of *source*."""
    return [Found(1, lambda: _read(source))]


def _read(source: Source) -> Draft:
    document = _parse(source)
    if "main" not in document:
        raise source.problem(
            1,
            "this seems to be a propolis-server configuration, which holds no memory",
            "the memory of such a VM in the instance spec of the API request that creates it; "
            "here [main] with memory = MiB, as propolis-standalone has it",
        )
    main = document["main"]
    if not isinstance(main, dict):
        raise source.problem(_line_of(source, "main"), "main is no table", "[main]")
    draft = Draft(source.name, "propolis-standalone TOML", vmm="propolis")
    memory = main.get("memory")
    line = _line_of(source, "memory")
    if memory is None:
        raise source.problem(
            _line_of(source, "main"),
            "no memory is given in what seems to be a propolis-standalone file",
            "main.memory, a number of MiB",
        )
    if type(memory) is not int or not 0 < memory < 1 << 44:
        raise source.problem(line, f"main.memory {shorten(_shown(memory))}", "a number of MiB")
    rom = main.get("bootrom")
    if not isinstance(rom, str):
        rom_line = _line_of(source, "bootrom")
        raise source.problem(rom_line, f"main.bootrom {shorten(_shown(rom))}", "a path")
    draft.memory, draft.memory_line = memory * MIB, line
    draft.memory_origin = f"main.memory, line {line}: {memory} MiB"
    draft.bootrom = ROM
    draft.bootrom_origin = f"main.bootrom: {rom}; the segment is 2 MiB whatever the file's size"
    name = main.get("name")
    if isinstance(name, str):
        draft.name, draft.name_line = name, _line_of(source, "name")
        draft.name_origin = f"main.name, line {draft.name_line}"
    used = {"main.memory", "main.bootrom", "main.name"}
    draft.ignored += [f"{path} = {value}" for path, value in _leaves(document) if path not in used]
    return draft


def _parse(source: Source) -> dict[str, Any]:
    try:
        return tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        line = int(place[1]) if place else len(source.lines)
        raise source.problem(line, f"not TOML: {error}", "TOML") from None
    except RecursionError:
        raise source.problem(1, "not TOML: nested too deeply", "TOML") from None
    except ValueError as error:  # of a number with thousands of digits
        raise source.problem(1, f"not TOML: {error}", "TOML") from None


def _leaves(table: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every value that is no table, by its dotted path."""
    open_tables = [("", table)]
    while open_tables:
        above, inner = open_tables.pop(0)
        for key, value in inner.items():
            if isinstance(value, dict):
                open_tables.append((f"{above}{key}.", value))
            else:
                yield f"{above}{key}", _shown(value)


def _shown(value: Any) -> str:
    """*value* for a message; Python refuses to print numbers of thousands of digits."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    return "a list" if isinstance(value, list) else str(value)


def _line_of(source: Source, key: str) -> int:
    pattern = re.compile(rf"\s*(main\.)?{key}\s*=|\s*\[{key}\]")
    lines = source.lines
    return next((i for i, line in enumerate(lines, start=1) if pattern.match(line)), len(lines))
