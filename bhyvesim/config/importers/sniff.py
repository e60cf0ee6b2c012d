"""Telling by its text which program a file belongs to, and reading it."""

from __future__ import annotations

from bhyvesim.config.importers import bhyve, memmap, propolis
from bhyvesim.config.importers.draft import Draft, ImportProblem
from bhyvesim.errors import UsageError
from bhyvesim.units import shorten

KINDS = ("memmap", "bhyve-config", "bhyve-command", "propolis")
MAX_BYTES = 1 << 20


def read_foreign(data: bytes, source: str, kind: str | None, file_size: bhyve.FileSize) -> Draft:
    """The VM that *data* describes; without *kind*, its text tells.

    *file_size* gives the size of a ROM's file, or None. Raises ImportProblem.
    """
    lines = _lines(data, source)
    kind = kind or _kind(lines)
    if kind == "memmap":
        return memmap.read(lines, source)
    if kind == "propolis":
        return propolis.read(lines, source)
    if kind == "bhyve-config":
        return bhyve.read_config(lines, source, file_size)
    if kind == "bhyve-command":
        return bhyve.read_command(lines, source, file_size)
    raise UsageError(
        f"{source}:1: this is no file that can be imported: expected the output of bhyvectl "
        "--get-memmap, a bhyve_config(5) file, a bhyve command line, or Propolis' TOML"
    )


def _lines(data: bytes, source: str) -> list[str]:
    if len(data) > MAX_BYTES:
        raise ImportProblem(source, 1, f"over {MAX_BYTES} bytes", "a smaller file")
    lines = []
    for number, raw in enumerate(data.split(b"\n"), start=1):
        try:
            line = raw.rstrip(b"\r").decode("utf-8")
        except UnicodeDecodeError:
            raise ImportProblem(source, number, "not UTF-8", "text in UTF-8") from None
        # bhyvectl itself prints one NUL, in front of the flags of a map.
        line = line.replace("   \0", "   ")
        odd = next((c for c in line if not c.isprintable() and c != "\t"), None)
        if odd is not None:
            raise ImportProblem(source, number, f"the character {shorten(odd)}", "printable text")
        lines.append(line)
    return lines


def _kind(lines: list[str]) -> str | None:
    if memmap.looks_like(lines):
        return "memmap"
    if propolis.looks_like(lines):
        return "propolis"
    if bhyve.looks_like_command(lines):
        return "bhyve-command"
    return "bhyve-config" if bhyve.looks_like_config(lines) else None
