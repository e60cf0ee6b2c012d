"""What a bhyve is told, in the keys of bhyve_config(5), and the VM that comes of it."""

from __future__ import annotations

import re
from typing import NamedTuple

from bhyvesim.config.importers.draft import Draft
from bhyvesim.config.importers.memsize import parse_memsize
from bhyvesim.config.importers.source import Source
from bhyvesim.kernel.memory import Memmap
from bhyvesim.units import MIB, PAGE_SIZE, format_size, shorten
from bhyvesim.vm.layouts import BHYVE_ROM_WINDOW, LAYOUTS, Layout
from bhyvesim.vm.spec import SegmentSpec

NAME, MEMORY, WIRED, ROM = "name", "memory.size", "memory.wired", "lpc.bootrom"
ASSUMED_ROM = 2 * MIB
FRAMEBUFFER = 16 * MIB
FRAMEBUFFER_GPA = 0xC0000000  # where the 32-bit window of the PCI devices begins
FRAMEBUFFER_SEGID = 3

_TRUE, _FALSE = ("true", "on", "yes", "1"), ("false", "off", "no", "0")
_FBUF_KEY = re.compile(r"pci\..*\.device")
_DOMAIN_KEY = re.compile(r"domains\..*\.size")


class Setting(NamedTuple):
    """A value as it stands in the file; *origin* is for the comment beside it."""

    text: str
    line: int
    origin: str


class Settings:
    """The settings of one VM; the same one twice, with two values, is refused.

    *where* says how memory is given in a file of this *kind*, for the one that gives none.
    """

    def __init__(self, source: Source, kind: str, where: str, line: int = 1) -> None:
        self.source = source
        self.draft = Draft(source.name, kind)
        self.where = where
        self.line = line
        self.without_rom = "no bootrom is given"
        self._values: dict[str, Setting] = {}
        self._framebuffer: Setting | None = None

    def put(self, key: str, setting: Setting) -> None:
        """Take *setting*; keys that decide nothing about memory are counted as ignored."""
        if _FBUF_KEY.fullmatch(key) and setting.text == "fbuf":
            self._framebuffer = setting
        elif _DOMAIN_KEY.fullmatch(key):
            raise self.source.problem(
                setting.line,
                f"{shorten(setting.text)} gives a NUMA domain memory of its own",
                "a VM without NUMA domains, or its map from bhyvectl --get-memmap",
            )
        elif key not in (NAME, MEMORY, WIRED, ROM):
            self.ignore(f"{key}={setting.text} ({setting.origin})")
        else:
            self._refuse_another(key, setting)
            self._values[key] = setting

    def ignore(self, what: str) -> None:
        """Count *what* among the settings that have no meaning here."""
        self.draft.ignored.append(what)

    def _refuse_another(self, key: str, setting: Setting) -> None:
        before = self._values.get(key)
        if before is None or key == NAME or self._same(key, before, setting):
            return
        raise self.source.problem(
            setting.line,
            f"{key} is {shorten(setting.text)} here and {shorten(before.text)} on line "
            f"{before.line}",
            "one value",
        )

    def _same(self, key: str, one: Setting, other: Setting) -> bool:
        if key == MEMORY:
            return self._memsize(one) == self._memsize(other)
        if key == WIRED:
            return self._boolean(one) == self._boolean(other)
        return one.text == other.text

    def memory(self) -> int:
        """Bytes of guest memory. Raises ImportProblem where none are given."""
        setting = self._values.get(MEMORY)
        if setting is None:
            raise self.source.problem(
                self.line, f"no memory is given in what seems to be {self.draft.kind}", self.where
            )
        return self._memsize(setting)

    def finish(self) -> Draft:
        """The VM. Raises ImportProblem."""
        draft = self.draft
        draft.memory = self.memory()
        memory = self._values[MEMORY]
        draft.memory_origin, draft.memory_line = memory.origin, memory.line
        name = self._values.get(NAME)
        if name is not None:
            draft.name, draft.name_line, draft.name_origin = name
        self._set_rom(self._values.get(ROM))
        wired = self._values.get(WIRED)
        is_wired = wired is not None and self._boolean(wired)
        if is_wired or self._framebuffer is not None:
            _spell_out(draft, is_wired, self._framebuffer)
        return draft

    def _memsize(self, setting: Setting) -> int:
        return parse_memsize(setting.text, self.source, setting.line)

    def _boolean(self, setting: Setting) -> bool:
        word = setting.text.lower()
        if word not in _TRUE + _FALSE:
            raise self.source.problem(
                setting.line, f"{shorten(setting.text)} is no boolean", "true or false"
            )
        return word in _TRUE

    def _set_rom(self, rom: Setting | None) -> None:
        draft = self.draft
        if rom is None:
            draft.bootrom_origin = self.without_rom
            return
        size = self.source.file_size(rom.text)
        draft.bootrom = ASSUMED_ROM if size is None else size
        draft.bootrom_origin = rom.origin
        if size is None:
            draft.bootrom_origin += "; its size is assumed: its file is not here"
            draft.assumed.append(
                f"the ROM's size, {format_size(ASSUMED_ROM)}, is assumed: its file is not here"
            )
        if not 0 < draft.bootrom <= BHYVE_ROM_WINDOW or draft.bootrom % PAGE_SIZE:
            limit = format_size(BHYVE_ROM_WINDOW)
            raise self.source.problem(
                rom.line, f"a ROM of {draft.bootrom} bytes", f"whole pages, up to {limit}"
            )


def _spell_out(draft: Draft, wired: bool, framebuffer: Setting | None) -> None:
    """Segments one by one, for what the short form has no key for."""
    layout = LAYOUTS["bhyve"](draft.memory, draft.bootrom, {})
    mappings = [m if m.segid == 2 else m._replace(wired=wired) for m in layout.mappings]
    segments = list(layout.segments)
    origins = [draft.bootrom_origin if m.segid == 2 else draft.memory_origin for m in mappings]
    if framebuffer is not None:
        segments.append(SegmentSpec(FRAMEBUFFER_SEGID, "framebuffer", FRAMEBUFFER))
        gpa = FRAMEBUFFER_GPA
        mappings.append(Memmap(gpa, FRAMEBUFFER, FRAMEBUFFER_SEGID, segoff=0, prot=3))
        origins.append(f"{framebuffer.origin}; the guest's firmware may place it elsewhere")
    draft.layout = Layout(tuple(segments), tuple(mappings))
    draft.layout_origins = origins
