"""A VM description in the making: values with the place that each came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from bhyvesim.prot import format_prot
from bhyvesim.units import format_size
from bhyvesim.vm.layouts import Layout


@dataclass(slots=True)
class Draft:
    """What an importer found. ``origin`` tells where a value came from, for its comment."""

    source: str
    kind: str
    name: str | None = None
    name_origin: str = ""
    name_line: int = 1
    vmm: str = "bhyve"
    memory: int = 0
    memory_origin: str = ""
    memory_line: int = 1
    bootrom: int = 0
    bootrom_origin: str = ""
    cpu: str = ""  # amd or intel; empty where nothing tells
    cpu_origin: str = ""
    layout: Layout | None = None  # instead of vmm, memory and bootrom
    layout_origins: list[str] = field(default_factory=list)  # one a mapping
    notes: list[str] = field(default_factory=list)  # for the comments at the top
    assumed: list[str] = field(default_factory=list)  # what the file does not say; for people
    ignored: list[str] = field(default_factory=list)

    def text(self, *, verbose: bool = False) -> str:
        """The description in YAML; its comments count what was ignored, or list it."""
        lines = [f"# From {_comment(self.source)} ({self.kind})."]
        lines += [f"# {_comment(note)}" for note in self.notes]
        if verbose:
            lines += [f"# Ignored: {_comment(what)}" for what in self.ignored]
        elif self.ignored:
            lines.append(f"# {meaningless(len(self.ignored))}")
        if not self.cpu:
            lines.append(
                "# Of which make the processor is, is not known: on Intel, add cpu: intel."
            )
        name = json.dumps(self.name, ensure_ascii=False)
        lines.append(_line("name", name, self.name_origin))
        if self.cpu:
            lines.append(_line("cpu", self.cpu, self.cpu_origin))
        if self.layout is None:
            lines.append(_line("vmm", self.vmm, "its layout of segments and slots"))
            lines.append(_line("memory", format_size(self.memory), self.memory_origin))
            lines.append(_line("bootrom", format_size(self.bootrom), self.bootrom_origin))
        else:
            lines += self._explicit(self.layout)
        return "\n".join(lines) + "\n"

    def shape(self) -> tuple[object, ...]:
        """What makes two drafts describe the same VM."""
        return self.name, self.vmm, self.memory, self.bootrom, self.layout

    def _explicit(self, layout: Layout) -> Iterable[str]:
        yield "segments:"
        for s in layout.segments:
            name = json.dumps(s.name or "sysmem", ensure_ascii=False)
            yield f"  - {{id: {s.segid}, name: {name}, size: {format_size(s.length)}}}"
        yield "mappings:"
        for m, origin in zip(layout.mappings, self.layout_origins, strict=True):
            wired = ", wired: true" if m.wired else ""
            values = (
                f"gpa: {m.gpa:#x}, segment: {m.segid}, offset: {m.segoff:#x}, "
                f"len: {format_size(m.length)}, prot: {format_prot(m.prot)}{wired}"
            )
            yield f"  - {{{values}}}{_origin(origin)}"


class Found(NamedTuple):
    """One VM of a file: where it begins, and how to read it. Reading raises ImportProblem."""

    line: int
    read: Callable[[], Draft]


def meaningless(count: int) -> str:
    """How many settings have no meaning here, in a sentence without its full stop."""
    if count == 1:
        return "1 setting has no meaning here; --verbose lists it"
    return f"{count} settings have no meaning here; --verbose lists them"


def _line(key: str, value: str, origin: str) -> str:
    return f"{key}: {value}{_origin(origin)}"


def _origin(origin: str) -> str:
    return f"  # {_comment(origin)}" if origin else ""


def _comment(text: str) -> str:
    """*text* fit for a comment: one line, printable, bounded."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= 160 else shown[:159] + "…"
