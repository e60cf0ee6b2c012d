"""What illumos' bhyve brand makes of a zone's attributes, however they are written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from bhyvesim.config.importers.draft import Draft
from bhyvesim.config.importers.settings import MEMORY, NAME, ROM, Setting, Settings
from bhyvesim.config.importers.source import Source
from bhyvesim.units import shorten

T = TypeVar("T")

BRAND = "bhyve"
DEFAULT_RAM = "1G"  # of the brand; SmartOS has another, and writes ram down
_FIRMWARE = "/usr/share/bhyve/firmware/{}.fd"  # where OmniOS keeps ROMs that have only a name
USED = ("ram", "bootrom", "vnc")


def check_brand(brand: Setting | None, source: Source, line: int) -> None:
    """Raises ImportProblem for a zone of another brand, or one that names none."""
    if brand is None:
        raise source.problem(line, "what seems to be a zone has no brand", f"brand {BRAND}")
    if brand.text != BRAND:
        raise source.problem(brand.line, f"a zone of brand {shorten(brand.text)}", f"brand {BRAND}")


def passing_over(zones: Sequence[T], brand_of: Callable[[T], str]) -> tuple[list[T], str]:
    """The bhyve zones among *zones*, and a note about the others; all, where none is bhyve."""
    bhyve = [zone for zone in zones if brand_of(zone) == BRAND]
    others = Counter(brand_of(zone) for zone in zones)
    del others[BRAND]
    if not bhyve or not others:
        return list(zones), ""
    listed = ", ".join(f"{count} {shorten(brand)}" for brand, count in others.items())
    return bhyve, f"zones of other brands are passed over: {listed}"


def draft_of(
    settings: Settings,
    name: Setting | None,
    attributes: Mapping[str, Setting],
    *,
    default_ram: bool = True,
) -> Draft:
    """The VM of a bhyve zone; its ROM is the brand's where none is named.

    Raises ImportProblem.
    """
    ram = attributes.get("ram")
    if ram is not None:
        settings.put(MEMORY, ram)
    elif default_ram:
        what = f"no ram is given: the brand's default of {DEFAULT_RAM} is taken"
        settings.put(MEMORY, Setting(DEFAULT_RAM, settings.line, what))
        settings.draft.assumed.append(what)
    settings.put(ROM, _rom(attributes.get("bootrom"), settings))
    if name is not None:
        settings.put(NAME, name)
    vnc = attributes.get("vnc")
    if vnc is not None and vnc.text.lower() not in ("off", "no", "false", "0", ""):
        settings.put("pci.vnc.device", vnc._replace(text="fbuf"))
    for key, setting in attributes.items():
        if key not in USED:
            settings.ignore(f"{key}={setting.text} (line {setting.line})")
    return settings.finish()


def _rom(bootrom: Setting | None, settings: Settings) -> Setting:
    if bootrom is None:
        return Setting(
            "", settings.line, "every bhyve zone has a ROM; none is named, so it is the brand's"
        )
    if "/" in bootrom.text:
        return bootrom
    return bootrom._replace(text=_FIRMWARE.format(bootrom.text))
