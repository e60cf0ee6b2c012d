"""Zones in JSON: zadm's (OmniOS), and vmadm's (SmartOS)."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import partial
from typing import Any, NamedTuple, NoReturn

from bhyvesim.config.importers import zone
from bhyvesim.config.importers.draft import Draft, Found
from bhyvesim.config.importers.settings import Setting, Settings
from bhyvesim.config.importers.source import Source
from bhyvesim.units import shorten

_VMADM = {"alias", "uuid", "owner_uuid", "billing_id", "image_uuid", "nics", "max_physical_memory"}
_USED = ("ram", "bootrom", "vnc", "vnc_port", "brand", "alias", "zonename", "uuid", "zonepath")
_BLANK = re.compile(r"[\s,]*")


class _Zone(NamedTuple):
    """A zone's object, its line, and where its text begins and ends."""

    values: dict[str, Any]
    line: int
    start: int
    end: int


def looks_like(source: Source) -> bool:
    """Whether the text begins as a JSON object does, or as a list of them."""
    return re.match(r"\s*(\{|\[\s*[{\]])", source.text) is not None


def read(source: Source) -> list[Found]:
    """The bhyve zones of *source*: of an object, a list, or one object after the other.

    Zones of other brands beside them are passed over, and counted. Raises ImportProblem.
    """
    zones = _objects(source)
    if not zones:
        raise source.problem(1, "a list of nothing", "a zone")
    bhyve, others = zone.passing_over(zones, lambda z: str(z.values.get("brand")))
    return [Found(z.line, partial(_draft, source, z, others)) for z in bhyve]


def _draft(source: Source, found: _Zone, others: str) -> Draft:
    values = {key: _setting(source, found, key) for key in _USED if key in found.values}
    line = found.line
    zone.check_brand(values.get("brand"), source, line)
    is_vmadm = bool(found.values.keys() & _VMADM) or type(found.values.get("ram")) is int
    kind = "a SmartOS VM, as vmadm has it" if is_vmadm else "an illumos zone, as zadm has it"
    where = '"ram", a number of MiB' if is_vmadm else '"ram", such as "4G"'
    settings = Settings(source, kind, where, line)
    if others:
        settings.draft.assumed.append(others)
    attributes = {key: value for key, value in values.items() if key in zone.USED}
    _check(attributes, found, source)
    port = values.get("vnc_port")
    if port is not None and port.text != "-1":
        attributes["vnc"] = port._replace(text="on")
    for key in found.values:
        if key not in _USED:
            settings.ignore(key)
    name = values.get("alias") or values.get("zonename") or values.get("uuid")
    return zone.draft_of(settings, name, attributes, default_ram=not is_vmadm)


def _check(attributes: dict[str, Setting], found: _Zone, source: Source) -> None:
    for key, kinds, expected in (
        ("ram", (int, str), 'a number of MiB, or text such as "4G"'),
        ("bootrom", (str,), "text"),
    ):
        if key in attributes and type(found.values[key]) not in kinds:
            setting = attributes[key]
            raise source.problem(setting.line, f'"{key}" is {shorten(setting.text)}', expected)


def _setting(source: Source, found: _Zone, key: str) -> Setting:
    value = found.values[key]
    pattern = re.compile(re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:")
    place = pattern.search(source.text, found.start, found.end)
    line = _line_at(source, place.start() if place else found.start)
    text = _shown(value)
    return Setting(text, line, f"{key}, line {line}: {text}")


def _shown(value: Any) -> str:
    """*value* as a message and a reader of words want it."""
    if isinstance(value, dict):
        return str(value.get("enabled", "on"))
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    return "a list" if isinstance(value, list) else str(value)


def _line_at(source: Source, offset: int) -> int:
    return source.text.count("\n", 0, offset) + 1


def _objects(source: Source) -> list[_Zone]:
    """The objects at the top of the text, or in the list there. Raises ImportProblem."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
    text = source.text
    at = _after_blanks(text, 0)
    in_list = text.startswith("[", at)
    at = _after_blanks(text, at + 1) if in_list else at
    line, counted = 1, 0
    found = []
    while at < len(text) and not (in_list and text[at] == "]"):
        line, counted = line + text.count("\n", counted, at), at
        value, end = _decode(decoder, source, at, line)
        if not isinstance(value, dict):
            raise source.problem(line, f"{shorten(_shown(value))} is no zone", "an object")
        found.append(_Zone(value, line, at, end))
        at = _after_blanks(text, end)
    if in_list and at == len(text):
        raise source.problem(len(source.lines), "not JSON: a list without end", "a ]")
    return found


def _decode(decoder: json.JSONDecoder, source: Source, at: int, line: int) -> tuple[Any, int]:
    try:
        return decoder.raw_decode(source.text, at)
    except json.JSONDecodeError as error:
        raise source.problem(error.lineno, f"not JSON: {error.msg}", "JSON", error.colno) from None
    except RecursionError:
        raise source.problem(line, "not JSON: nested too deeply", "JSON") from None
    except ValueError as error:
        why = str(error).partition(":")[0]  # Python's own advice follows
        raise source.problem(line, f"not JSON: {why}", "JSON") from None


def _after_blanks(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {shorten(twice)} stands twice")
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")
