"""libvirt's domain XML of its bhyve driver, as ``virsh dumpxml`` prints it."""

from __future__ import annotations

import re
from functools import partial

from bhyvesim.config.importers import call
from bhyvesim.config.importers.draft import Draft, Found
from bhyvesim.config.importers.elements import Element, parse
from bhyvesim.config.importers.settings import MEMORY, NAME, ROM, WIRED, Setting, Settings
from bhyvesim.config.importers.source import Source
from bhyvesim.config.importers.variables import Argument
from bhyvesim.units import KIB, MIB, U64_END, shorten

_WHERE = "<memory unit='GiB'>4</memory> or the like"
_UNIT = re.compile(r"([kmgtpe])(i?b)?", re.IGNORECASE)
_READ = {"name", "memory", "os", "bootloader", "memoryBacking"}


def looks_like(source: Source) -> bool:
    """Whether the text begins as XML does."""
    return source.text.lstrip().startswith("<")


def read(source: Source) -> list[Found]:
    """The domains in *source*, wherever they stand. Raises ImportProblem."""
    domains = [element for element in parse(source).everything() if element.tag == "domain"]
    if not domains:
        raise source.problem(1, "XML without a <domain>", "libvirt's <domain type='bhyve'>")
    return [Found(domain.line, partial(_draft, source, domain)) for domain in domains]


def _draft(source: Source, domain: Element) -> Draft:
    kind = domain.attributes.get("type", "")
    if kind != "bhyve":
        raise source.problem(
            domain.line, f"a libvirt domain of type {shorten(kind)}", "<domain type='bhyve'>"
        )
    settings = Settings(source, "a libvirt domain", _WHERE, domain.line)
    for element in domain.all("name"):
        settings.put(NAME, Setting(element.text, element.line, f"<name>, line {element.line}"))
    for element in domain.all("memory"):
        settings.put(MEMORY, _memory(element, source))
    for backing in domain.all("memoryBacking"):
        for locked in backing.all("locked"):
            settings.put(WIRED, Setting("true", locked.line, f"<locked/>, line {locked.line}"))
    _apply_boot(domain, settings)
    for graphics in (g for devices in domain.all("devices") for g in devices.all("graphics")):
        settings.put(
            "pci.graphics.device",
            Setting("fbuf", graphics.line, f"<graphics>, line {graphics.line}"),
        )
    _apply_arguments(domain, settings)
    for element in domain.children:
        if element.tag not in _READ:
            settings.ignore(f"<{element.tag}> (line {element.line})")
    return settings.finish()


def _memory(element: Element, source: Source) -> Setting:
    """The size in bytes; libvirt gives bhyve whole MiB. Raises ImportProblem."""
    number = element.text
    unit = element.attributes.get("unit", "KiB")
    scale = _scale(unit)
    if scale is None:
        raise source.problem(
            element.line, f"the unit {shorten(unit)}", "one such as KiB, MiB, GiB (KB is 1000)"
        )
    if not re.fullmatch(r"[0-9]{1,20}", number, re.ASCII):
        raise source.problem(element.line, f"<memory> of {shorten(number)}", "a number")
    size = int(number) * scale
    if size % MIB or not 0 < size < U64_END:
        raise source.problem(
            element.line,
            f"<memory> of {number} {shorten(unit)}, which is {size} bytes",
            "whole MiB, as libvirt gives them to bhyve",
        )
    origin = f"<memory>, line {element.line}: {number} {unit}"
    return Setting(f"{size}b", element.line, origin)


def _scale(unit: str) -> int | None:
    """Bytes in *unit*, in any case. Source: libvirt's virScaleInteger()."""
    if unit.lower() in ("b", "byte", "bytes"):
        return 1
    match = _UNIT.fullmatch(unit)
    if match is None:
        return None
    base = 1000 if (match[2] or "").lower() == "b" else KIB
    return int(base ** ("kmgtpe".index(match[1].lower()) + 1))


def _apply_boot(domain: Element, settings: Settings) -> None:
    """``<os>`` with a loader or firmware='efi' has a ROM; ``<bootloader>`` has none."""
    settings.without_rom = "no <loader> is given: libvirt boots it with bhyveload"
    for os in domain.all("os"):
        for loader in os.all("loader"):
            origin = f"<loader>, line {loader.line}: {loader.text}"
            settings.put(ROM, Setting(loader.text, loader.line, origin))
        if os.attributes.get("firmware") == "efi" and not list(os.all("loader")):
            settings.put(ROM, Setting("", os.line, f"firmware='efi', line {os.line}"))
        for element in os.children:
            if element.tag != "loader":
                settings.ignore(f"<os> <{element.tag}> (line {element.line})")
    for bootloader in domain.all("bootloader"):
        settings.without_rom = f"<bootloader>, line {bootloader.line}, needs none"


def _apply_arguments(domain: Element, settings: Settings) -> None:
    """What ``<bhyve:commandline>`` adds to the call of bhyve."""
    arguments = [
        Argument(arg.attributes.get("value", ""), arg.line)
        for commandline in domain.children
        if commandline.tag.endswith(":commandline")
        for arg in commandline.children
    ]
    if arguments:
        line = arguments[0].line
        call.apply(call.parse(arguments, call.OPTIONS, settings.source, line)[0], settings)
