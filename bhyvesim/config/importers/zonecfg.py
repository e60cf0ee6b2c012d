"""illumos zones as ``zonecfg export`` and ``zonecfg info`` print them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial

from bhyvesim.config.importers import zone
from bhyvesim.config.importers.draft import Draft, Found
from bhyvesim.config.importers.settings import Setting, Settings
from bhyvesim.config.importers.source import Source
from bhyvesim.units import shorten

_EXPORT = re.compile(r"\s*(create\b\s*(-\w.*)?|set\s+(brand|zonepath|zonename)\s*=.*)(;|$)")
_INFO = re.compile(r"\s*(zonename|zonepath|brand):(\s|$)")
_PROMPT = re.compile(r"\s*zonecfg:[^>]*>\s*")
_COMMANDS = re.compile(r'(?:[^;"]|"[^"]*"?)+')
_SET = re.compile(r"set\s+([\w.-]+)\s*=\s*(.*)")
_SELECT = re.compile(r"(select|remove)\s+(?:-F\s+)?(\w[\w-]*)(?:\s+name\s*=\s*(\S+))?")
_PAIR = re.compile(r"(\s*)([\w.-]+):\s*(.*)")
_WHERE = "an attr named ram, such as 4G"


@dataclass(slots=True)
class _Zone:
    """One zone: its own properties, and its attributes by name."""

    line: int = 1
    properties: dict[str, Setting] = field(default_factory=dict)
    attributes: dict[str, Setting] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


def looks_like(source: Source) -> bool:
    """Whether a line is one of ``zonecfg export``, or of ``zonecfg info``."""
    return _is_info(source) or any(_EXPORT.match(_bare(line)) for _, line in source.said())


def read(source: Source) -> list[Found]:
    """The zones in *source*. Raises ImportProblem."""
    zones = _read_info(source) if _is_info(source) else [_Export(source).zone]
    bhyve, others = zone.passing_over(zones, _brand)
    return [Found(found.line, partial(_draft, source, found, others)) for found in bhyve]


def _is_info(source: Source) -> bool:
    return any(_INFO.match(line) for _, line in source.said())


def _brand(found: _Zone) -> str:
    brand = found.properties.get("brand")
    return "none" if brand is None else brand.text


def _draft(source: Source, found: _Zone, others: str) -> Draft:
    zone.check_brand(found.properties.get("brand"), source, found.line)
    kind = "an illumos zone, as zonecfg prints it"
    settings = Settings(source, kind, _WHERE, found.line)
    settings.draft.ignored += found.ignored
    if others:
        settings.draft.assumed.append(others)
    return zone.draft_of(settings, _name(found.properties), found.attributes)


def _name(properties: dict[str, Setting]) -> Setting | None:
    if "zonename" in properties:
        return properties["zonename"]
    path = properties.get("zonepath")
    if path is None:
        return None
    return path._replace(text=path.text.rstrip("/").rsplit("/", 1)[-1])


def _bare(line: str) -> str:
    """*line* without the prompt of an interactive zonecfg."""
    return _PROMPT.sub("", line, count=1) if "zonecfg:" in line else line.strip()


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def _put_attribute(found: _Zone, name: Setting, value: Setting, source: Source) -> None:
    before = found.attributes.get(name.text)
    if before is not None and before.text != value.text:
        raise source.problem(
            value.line,
            f"attr {shorten(name.text)} is {shorten(value.text)} here and "
            f"{shorten(before.text)} on line {before.line}",
            "one value",
        )
    origin = f"attr {name.text}, line {value.line}: {value.text}"
    found.attributes[name.text] = value._replace(origin=origin)


class _Export:
    """Carries out the commands of ``zonecfg export``, or of a file for ``zonecfg -f``."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.zone = _Zone()
        self.resource: str | None = None
        self.open: dict[str, Setting] = {}  # the properties of the resource under way
        self.created = False
        for number, line in source.said():
            for command in _COMMANDS.findall(_bare(line)):
                if command.strip():
                    self._command(command.strip(), number)
        if self.resource is not None:
            raise source.problem(len(source.lines), f"add {self.resource} without end", "end")

    def _command(self, text: str, number: int) -> None:
        word = text.split()[0]
        assignment = _SET.fullmatch(text)
        if assignment is not None:
            value = _unquoted(assignment[2])
            self._set(assignment[1], Setting(value, number, f"{assignment[1]}, line {number}"))
        elif word == "add" and self.resource is None:
            self.resource, self.open = text[3:].strip(), {}
        elif word == "end":
            self._end(number)
        elif word in ("select", "remove") and self.resource is None:
            self._select(text, number)
        elif word == "create":
            if self.created:
                raise self.source.problem(number, "a second create", "one zone in a file")
            self.created = True
        elif word in ("cancel", "delete", "revert", "clear"):
            raise self.source.problem(number, shorten(text), "what zonecfg export prints")
        elif word not in ("verify", "commit", "exit", "info"):
            self.zone.ignored.append(f"{text} (line {number})")

    def _set(self, key: str, setting: Setting) -> None:
        if self.resource is not None:
            self.open[key] = setting
        elif key in ("brand", "zonename", "zonepath"):
            self.zone.properties[key] = setting
        else:
            self.zone.ignored.append(f"{key}={setting.text} (line {setting.line})")

    def _end(self, number: int) -> None:
        resource, self.resource = self.resource, None
        name, value = self.open.get("name"), self.open.get("value")
        if resource == "attr" and name is not None and value is not None:
            _put_attribute(self.zone, name, value, self.source)
        elif resource is None:
            raise self.source.problem(number, "end without add", "add before it")
        else:
            self.zone.ignored.append(f"{resource} (line {number})")

    def _select(self, text: str, number: int) -> None:
        match = _SELECT.match(text)
        if match is None or match[2] != "attr":
            if text.startswith("select"):
                self.resource, self.open = "other", {}
            return
        name = _unquoted(match[3] or "")
        if name not in self.zone.attributes:
            raise self.source.problem(
                number, f"{match[1]} attr {shorten(name)}, which is not above", "an attr that is"
            )
        before = self.zone.attributes.pop(name)
        if match[1] == "select":
            self.resource = "attr"
            self.open = {"name": before._replace(text=name), "value": before}


def _read_info(source: Source) -> list[_Zone]:
    """The zones that ``zonecfg info`` tells of, one for each ``zonename:``."""
    zones = [_Zone()]
    resource, pending = "", dict[str, Setting]()
    for number, line in source.said():
        match = _PAIR.fullmatch(line)
        if match is None:
            zones[-1].ignored.append(f"{line.strip()} (line {number})")
            continue
        key, value = match[2], _unquoted(match[3])
        setting = Setting(value, number, f"{key}, line {number}")
        if match[1]:
            if resource == "attr" and key == "value" and "name" not in pending:
                raise source.problem(number, "a value of an attr without a name", "name: before it")
            pending[key] = setting
            if resource == "attr" and {"name", "value"} <= pending.keys():
                _put_attribute(zones[-1], pending["name"], pending["value"], source)
                pending = {}
            elif resource != "attr":
                zones[-1].ignored.append(f"{resource} {key}={value} (line {number})")
            continue
        resource, pending = ("" if value else key), {}
        if key == "zonename" and zones[-1].properties:
            zones.append(_Zone(number))
        if key in ("zonename", "zonepath", "brand"):
            zones[-1].properties[key] = setting
        elif value:
            zones[-1].ignored.append(f"{key}={value} (line {number})")
    return zones
