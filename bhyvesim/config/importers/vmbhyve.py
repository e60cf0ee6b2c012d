"""vm-bhyve's NAME.conf and its templates (FreeBSD): ``key="value"`` at the beginning of a line."""

from __future__ import annotations

import re
import textwrap

from bhyvesim.config.importers.bhyve_config import is_assignment
from bhyvesim.config.importers.draft import Draft, Found
from bhyvesim.config.importers.settings import MEMORY, ROM, WIRED, Setting, Settings
from bhyvesim.config.importers.source import Source
from bhyvesim.units import shorten

_KEY = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_OWN = re.compile(
    r"(loader|guest|memory|wired_memory|cpu|cpu_\w+|uefi_vars|graphics\w*|bhyve_options|"
    r"bhyveload_\w+|grub_\w+|(disk|network|passthru|virt_console|virtio_)\w+)",
    re.ASCII,
)
_WITH_ROM = ("uefi", "uefi-csm", "uefi-devel", "uefi-custom")
_WITHOUT_ROM = ("bhyveload", "grub")
_DECIDING = ("memory", "loader", "wired_memory", "graphics", "bhyve_options")
_WHERE = 'memory="4G" or the like'


def looks_like(source: Source) -> bool:
    """Whether all lines are assignments, some to keys of vm-bhyve's and none with a dot."""
    lines = [line.strip() for _, line in source.said()]
    keys = [line.partition("=")[0].strip() for line in lines]
    return (
        all(map(is_assignment, lines))
        and any(_OWN.fullmatch(key) for key in keys)
        and not any("." in key for key in keys)
    )


def read(source: Source) -> list[Found]:
    """The one VM of *source*."""
    return [Found(1, lambda: _read(source))]


def _read(source: Source) -> Draft:
    settings = Settings(source, "a vm-bhyve configuration", _WHERE)
    given: dict[str, Setting] = {}
    # What is indented as a whole was pasted so; vm-bhyve itself reads no indented line.
    for number, line in enumerate(textwrap.dedent(source.text).split("\n"), start=1):
        # A # begins a comment even between quotes. Source: vm-bhyve's config.sample.
        said = line.partition("#")[0].rstrip()
        if said.strip():
            _take(said, number, source, settings, given)
    settings.memory()  # without it, nothing else is worth a message
    _apply_loader(given.get("loader"), given.get("graphics"), settings)
    if "bhyve_options" in given:
        _refuse_memory_options(given["bhyve_options"], source)
    return settings.finish()


def _take(
    line: str, number: int, source: Source, settings: Settings, given: dict[str, Setting]
) -> None:
    key, equals, value = line.partition("=")
    bare = key.strip()
    if not equals or not _KEY.fullmatch(bare):
        raise source.problem(number, shorten(line), 'key="value"')
    if bare in _DECIDING and bare != key:
        raise source.problem(
            number,
            f"vm-bhyve passes over {shorten(bare)} with blanks around it",
            f'{bare}="value" at the beginning of the line',
        )
    text = _unquoted(value)
    setting = Setting(text, number, f"{bare}, line {number}: {text}")
    before = given.setdefault(bare, setting)
    if bare in _DECIDING and before.text != text:
        raise source.problem(
            number,
            f"{bare} is {shorten(text)} here and {shorten(before.text)} on line {before.line}",
            "one value",
        )
    if bare == "memory":
        settings.put(MEMORY, setting)
    elif bare == "wired_memory":
        settings.put(WIRED, setting)
    elif bare not in ("loader", "graphics"):
        settings.ignore(f"{bare}={text} (line {number})")


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1].strip()
    return value


def _apply_loader(loader: Setting | None, graphics: Setting | None, settings: Settings) -> None:
    """The loader decides whether there is a ROM, and whether graphics are possible."""
    expected = f"one of {', '.join(_WITH_ROM + _WITHOUT_ROM)}: it decides about the ROM"
    if loader is None:
        raise settings.source.problem(1, "no loader is given", f'loader="…", {expected}')
    if loader.text in _WITHOUT_ROM:
        settings.without_rom = f"{loader.origin}, which needs none"
    elif loader.text in _WITH_ROM:
        settings.put(ROM, Setting(loader.text, loader.line, loader.origin))
        if graphics is not None and graphics.text.lower() in ("yes", "true", "on", "1"):
            settings.put("pci.graphics.device", graphics._replace(text="fbuf"))
    else:
        raise settings.source.problem(
            loader.line, f"the loader {shorten(loader.text)} is not known", expected
        )


def _refuse_memory_options(options: Setting, source: Source) -> None:
    match = re.search(r"(^|\s)-(m|S|l\s*bootrom|o\s*(memory|lpc)\.)", options.text)
    if match is not None:
        raise source.problem(
            options.line,
            f"bhyve_options has {shorten(match[0].strip())}",
            "memory, wired_memory and loader to say it",
        )
