"""Telling by its text which program a file belongs to, and reading it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from bhyvesim import limits
from bhyvesim.config.importers import wrong
from bhyvesim.config.importers.crash.lines import SIGN
from bhyvesim.config.importers.draft import Draft, Found
from bhyvesim.config.importers.kinds import KINDS
from bhyvesim.config.importers.source import (
    FileSize,
    ImportProblem,
    OwnFile,
    Source,
    decode,
    tolerant,
)
from bhyvesim.units import format_size, shorten
from bhyvesim.vm.names import MAX_NAME_BYTES, name_problem

_MAX_LISTED = 20
_NAMELESS = "imported"
_CRASH = "crash"
# What a text is taken for, the surest signs first; between the kinds, what is refused by name.
_ORDER: tuple[str | Callable[[Source], str | None], ...] = (
    wrong.replay,
    "memmap",
    "libvirt",
    "zone-json",
    wrong.own,
    "propolis",
    "zonecfg",
    "vm-bhyve",
    wrong.panic,
    wrong.truss,
    wrong.qemu,
    "bhyve-command",
    "bhyve-config",
)
_OWN = (wrong.replay, wrong.own)


def find(
    data: bytes, name: str, kind: str | None, file_size: FileSize, vm: str | None = None
) -> list[Found]:
    """The VMs that *data* describes, each read when it is asked for; there is at least one.

    Without *kind* the text tells. *file_size* gives the size of a ROM's file, or None; *vm*
    is a name to use instead of theirs. What describes the same VM again, as scripts do, is
    left out. Raises ImportProblem.
    """
    crashed = is_crash(data, kind)
    source = tolerant(data, name) if crashed else decode(data, name, file_size)
    found: list[Found] = _reader(kind or (_CRASH if crashed else _kind(source))).read(source)
    if len(found) > limits.VMS.most:
        raise ImportProblem(name, 1, f"{len(found)} VMs", f"{limits.VMS} in a file")
    named = [Found(one.line, partial(_named, one, source, vm)) for one in found]
    return _distinct(named) if len(named) > 1 else named


def is_crash(data: bytes, kind: str | None) -> bool:
    """Whether *data* is to be read as the text of a crash: *kind* says so, or its own signs do.

    Our own files, which quote panics in comments, are none.
    """
    if kind is not None or not SIGN.search(data):
        return kind == _CRASH
    if not _reader(_CRASH).is_crash(data):
        return False
    source = tolerant(data, "")
    return not any(is_own(source) for is_own in _OWN)


def choose(found: list[Found], name: str, pick: int | None) -> Found:
    """The one of *found*, or the one that *pick* counts to.

    Raises ImportProblem, with a list, where there are several, or not so many.
    """
    if pick is not None and pick > len(found):
        raise ImportProblem(name, 1, f"--pick {pick} of {len(found)}", _choices(found))
    if pick is None and len(found) > 1:
        raise ImportProblem(name, found[0].line, f"{len(found)} VMs", _choices(found))
    return found[(pick or 1) - 1]


def read_foreign(data: bytes, name: str, kind: str | None, file_size: FileSize) -> Draft:
    """The one VM that *data* describes. Raises ImportProblem."""
    return choose(find(data, name, kind, file_size), name, None).read()


def _distinct(found: list[Found]) -> list[Found]:
    """*found* without those that describe the same VM as one before."""
    shapes: list[object] = []
    kept = []
    for one in found:
        try:
            shape: object = one.read().shape()
        except ImportProblem:
            shape = one
        if shape not in shapes:
            shapes.append(shape)
            kept.append(one)
    return kept


def _choices(found: list[Found]) -> str:
    shown = []
    for number, one in enumerate(found[:_MAX_LISTED], start=1):
        try:
            draft = one.read()
            what = f"{draft.name}, {format_size(draft.memory)}"
        except ImportProblem:
            what = "unreadable"
        shown.append(f"{number} (line {one.line}: {what})")
    more = ", …" if len(found) > _MAX_LISTED else ""
    return f"--pick with one of {', '.join(shown)}{more}; or all, with -o FOLDER/"


def _named(one: Found, source: Source, vm: str | None) -> Draft:
    """The draft with a name that a VM can have: *vm*, else its own, else the file's."""
    draft = one.read()
    if vm is not None:
        draft.name, draft.name_origin = vm, "--vm"
    if draft.name is not None:
        problem = name_problem(draft.name)
        if problem is not None:
            raise source.problem(
                draft.name_line, f"the name {shorten(draft.name)} {problem}", "--vm NAME"
            )
        return draft
    draft.name, draft.name_origin = _NAMELESS, "none is given"
    if source.stem is not None:
        draft.name, draft.name_origin = _fit(source.stem), "none is given: the file's"
    return draft


def _fit(stem: str) -> str:
    """*stem* as a VM's name: what no name can hold becomes ``_``."""
    name = "".join(c if c.isprintable() else "_" for c in stem)
    short = name.encode()[:MAX_NAME_BYTES].decode("utf-8", "ignore")
    return _NAMELESS if name_problem(short) else short


def _reader(kind: str) -> Any:
    return import_module(f"bhyvesim.config.importers.{KINDS[kind]}")


def _kind(source: Source) -> str:
    """The name of the kind that *source* is. Raises ImportProblem, saying what else it is."""
    for seems in _ORDER:
        if isinstance(seems, str):
            if _reader(seems).looks_like(source):
                return seems
        elif (what := seems(source)) is not None:
            kind = OwnFile if seems in _OWN else ImportProblem
            raise kind(source.name, 1, f"this is {what}", "another program's file")
    raise wrong.refuse(source)
