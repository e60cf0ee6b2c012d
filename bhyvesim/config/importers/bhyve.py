"""bhyve's own configuration: ``bhyve_config(5)`` files, and its command line."""

from __future__ import annotations

import getopt
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from bhyvesim.config.importers.draft import Draft, ImportProblem
from bhyvesim.units import MIB, PAGE_SIZE, U64_END, format_size, shorten
from bhyvesim.vmm.layouts import BHYVE_ROM_WINDOW, LAYOUTS, Layout
from bhyvesim.vmm.spec import MappingSpec, SegmentSpec

DEFAULT_MEMORY = "256M"
DEFAULT_ROM = 2 * MIB
FRAMEBUFFER = 16 * MIB
FRAMEBUFFER_GPA = 0xC0000000  # where the 32-bit window of the PCI devices begins
FRAMEBUFFER_SEGID = 3

# The options of illumos' and FreeBSD's bhyve; those with a colon take an argument.
_OPTIONS = "aehuwxyACDHIPSWYk:f:o:p:g:G:c:s:m:n:l:B:U:K:b:r:F:"
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*", re.ASCII)
_TRUE, _FALSE = ("true", "on", "yes", "1"), ("false", "off", "no", "0")

FileSize = Callable[[str], int | None]


class _Value(NamedTuple):
    text: str
    line: int
    origin: str


def looks_like_config(lines: list[str]) -> bool:
    """Whether the first line that says anything is ``key=value``."""
    for _, line in _said(lines):
        key, equals, _ = line.partition("=")
        return bool(equals) and _KEY.fullmatch(key.strip()) is not None
    return False


def looks_like_command(lines: list[str]) -> bool:
    """Whether the first line that says anything calls bhyve."""
    for _, line in _said(lines):
        return any(word.rsplit("/", 1)[-1] == "bhyve" for word in line.split()[:3])
    return False


def _said(lines: list[str]) -> Iterator[tuple[int, str]]:
    """The lines, with their numbers, that are neither blank nor a comment."""
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def read_config(lines: list[str], source: str, file_size: FileSize) -> Draft:
    """The VM of a bhyve_config(5) file. Raises ImportProblem."""
    values: dict[str, _Value] = {}
    for number, line in _said(lines):
        key, equals, value = line.partition("=")
        key = key.strip()
        if not equals or not _KEY.fullmatch(key):
            raise ImportProblem(source, number, shorten(line), "key=value")
        values[key] = _Value(value.strip(), number, f"{key}, line {number}")
    return _draft(Draft(source, "bhyve_config(5)"), values, file_size)


def read_command(lines: list[str], source: str, file_size: FileSize) -> Draft:
    """The VM of a bhyve command line, over one line or several. Raises ImportProblem."""
    text = "\n".join(lines)
    try:
        words = shlex.split(text.replace("\\\n", " "), comments=True)
    except ValueError as error:
        raise ImportProblem(source, 1, f"a command line: {error}", "closed quotes") from None
    start = next((i for i, w in enumerate(words) if w.rsplit("/", 1)[-1] == "bhyve"), -1)
    try:
        options, operands = getopt.getopt(words[start + 1 :], _OPTIONS)
    except getopt.GetoptError as error:
        raise ImportProblem(source, 1, error.msg, "bhyve's options") from None
    draft = Draft(source, "bhyve command line")
    values: dict[str, _Value] = {}
    for option, argument in options:
        _apply_option(option, argument, values, draft)
    if operands:
        values["name"] = _Value(operands[0], 1, "the last word of the command")
        draft.ignored += [f"operand {word}" for word in operands[1:]]
    return _draft(draft, values, file_size)


def _apply_option(option: str, argument: str, values: dict[str, _Value], draft: Draft) -> None:
    def put(key: str, text: str) -> None:
        values[key] = _Value(text, 1, f"{option} {argument}".strip())

    if option == "-m":
        put("memory.size", argument)
    elif option == "-S":
        put("memory.wired", "true")
    elif option == "-l" and argument.startswith("bootrom,"):
        put("lpc.bootrom", argument.split(",")[1])
        if argument.count(",") > 1:
            draft.notes.append("The variable store of the ROM is trapped MMIO, and not mapped.")
    elif option == "-s" and argument.split(",")[1:2] == ["fbuf"]:
        put(f"pci.{argument.split(',')[0]}.device", "fbuf")
    elif option == "-o" and "=" in argument:
        key, _, text = argument.partition("=")
        put(key, text)
    else:
        draft.ignored.append(f"{option} {argument}".strip())


def _draft(draft: Draft, values: dict[str, _Value], file_size: FileSize) -> Draft:
    values = {key: _expanded(key, values, draft) for key in values}
    known = {"name", "memory.size", "memory.wired", "lpc.bootrom"}
    framebuffer = None
    for key, value in values.items():
        if re.fullmatch(r"pci\..*\.device", key) and value.text == "fbuf":
            framebuffer = value
        elif key not in known:
            draft.ignored.append(f"{key}={value.text} ({value.origin})")
    if "name" in values:
        draft.name, draft.name_origin = values["name"].text, values["name"].origin
    memory = values.get("memory.size", _Value(DEFAULT_MEMORY, 0, "bhyve's default"))
    draft.memory = parse_memsize(memory.text, draft.source, memory.line)
    draft.memory_origin = f"{memory.origin}: {memory.text}"
    _rom(draft, values.get("lpc.bootrom"), file_size)
    wired = values.get("memory.wired")
    is_wired = wired is not None and _boolean(wired, draft)
    if is_wired or framebuffer is not None:
        _spell_out(draft, is_wired, framebuffer)
    return draft


def _rom(draft: Draft, rom: _Value | None, file_size: FileSize) -> None:
    if rom is None:
        draft.bootrom_origin = "no bootrom is given"
        return
    size = file_size(rom.text)
    draft.bootrom = DEFAULT_ROM if size is None else size
    guess = "not to be found here, so its size is a guess" if size is None else "its size"
    draft.bootrom_origin = f"{rom.origin}: {rom.text}, {guess}"
    if not 0 < draft.bootrom <= BHYVE_ROM_WINDOW or draft.bootrom % PAGE_SIZE:
        limit = format_size(BHYVE_ROM_WINDOW)
        raise ImportProblem(
            draft.source, rom.line, f"a ROM of {draft.bootrom} bytes", f"whole pages, up to {limit}"
        )


def _spell_out(draft: Draft, wired: bool, framebuffer: _Value | None) -> None:
    """Segments one by one, for what the short form has no key for."""
    layout = LAYOUTS["bhyve"](draft.memory, draft.bootrom, {})
    mappings = [m if m.segid == 2 else replace(m, wired=wired) for m in layout.mappings]
    segments = list(layout.segments)
    origins = [draft.bootrom_origin if m.segid == 2 else draft.memory_origin for m in mappings]
    if framebuffer is not None:
        segments.append(SegmentSpec(FRAMEBUFFER_SEGID, "framebuffer", FRAMEBUFFER))
        gpa = FRAMEBUFFER_GPA
        mappings.append(MappingSpec(gpa, FRAMEBUFFER_SEGID, 0, FRAMEBUFFER, prot=3))
        origins.append(f"{framebuffer.origin}; the guest's firmware may place it elsewhere")
    draft.layout = Layout(tuple(segments), tuple(mappings))
    draft.layout_origins = origins


def _boolean(value: _Value, draft: Draft) -> bool:
    word = value.text.lower()
    if word not in _TRUE + _FALSE:
        raise ImportProblem(
            draft.source, value.line, f"{shorten(value.text)} is no boolean", "true or false"
        )
    return word in _TRUE


def _expanded(key: str, values: dict[str, _Value], draft: Draft) -> _Value:
    """``%(other)`` stands for the value of another key, ``%%`` for a percent sign."""

    def expand(text: str, line: int, open_keys: tuple[str, ...]) -> str:
        def one(match: re.Match[str]) -> str:
            if match[0] == "%%":
                return "%"
            other = match[1]
            if other not in values or other in open_keys:
                raise ImportProblem(
                    draft.source, line, f"{shorten(match[0])} leads nowhere", "a key of the file"
                )
            return expand(values[other].text, line, (*open_keys, other))

        expanded = re.sub(r"%%|%\(([^)]*)\)", one, text)
        if len(expanded) > 4096:
            raise ImportProblem(
                draft.source, line, "a value that grows without end", "a shorter one"
            )
        return expanded

    value = values[key]
    return value._replace(text=expand(value.text, value.line, (key,)))


def parse_memsize(text: str, source: str, line: int) -> int:
    """Bytes; a bare number below 1 MiB is mebibytes. Source: vm_parse_memsize()."""
    match = re.fullmatch(r"(0[xX][0-9a-fA-F]+|[0-9]+)([A-Za-z][A-Za-z]*)?", text, re.ASCII)
    units = {letter: 1 << (10 * power) for power, letter in enumerate("bkmgtpe")}
    if match is None or (match[2] and match[2][0].lower() not in units):
        raise ImportProblem(
            source, line, f"the memory size {shorten(text)}", "such as 8G, or MiB as a number"
        )
    digits = match[1].lower()
    octal = digits.startswith("0") and not digits.startswith("0x") and digits.isdigit()
    try:
        number = int(digits[:80], 8 if octal and digits != "0" else 0)
    except ValueError:
        raise ImportProblem(source, line, f"{shorten(text)} is no octal", "digits 0-7") from None
    if match[2]:
        number *= units[match[2][0].lower()]
    elif number < MIB:
        number *= MIB
    if not 0 < number < U64_END or number % PAGE_SIZE:
        raise ImportProblem(
            source, line, f"the memory size {shorten(text)}", "whole pages, less than 2^64 bytes"
        )
    return number
