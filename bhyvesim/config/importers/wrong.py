"""Naming what a file is that cannot be imported."""

from __future__ import annotations

import re

from bhyvesim.config.importers.source import ImportProblem, Source
from bhyvesim.scenario.discover import looks_like_a_scenario

_EXPECTED = (
    "the output of bhyvectl --get-memmap, zonecfg or virsh dumpxml, a script that calls bhyve, "
    "or a configuration of bhyve, vm-bhyve, zadm, vmadm or Propolis"
)
_OWN_KEYS = re.compile(r"(memory|segments|vmm|bootrom|host_pfn|mappings):(\s|$)")
_PANIC = re.compile(
    r"panic\[cpu|assertion failed:|BAD TRAP|panicstr|panicstack|^panic(string|msg|: )|"
    r"SUNOS-8000-|^> ::(status|stack|msgbuf)|vmm_gpt_\w+\+0x"
)
_QEMU = re.compile(r"(^|[\s/])(qemu-system-\w+|qemu-kvm|kvm)\s+-")
_MEMSEG = re.compile(r"ID\s+Length\s+Name")
_YAML_KEY = re.compile(r"[A-Za-z_][\w-]*:(\s|$)|---$|- \S")


def replay(source: Source) -> str | None:
    """Whether *source* is one of ours in JSON lines."""
    first = next((line for _, line in source.said()), "")
    if re.match(r'\s*\{\s*"op"\s*:', first):
        return "a file of recorded operations: see 'bhyvesim replay'"
    if first.lstrip().startswith("{") and '"ops"' in first:
        return "a trace of operations: see 'bhyvesim replay'"
    return None


def own(source: Source) -> str | None:
    """Whether *source* is one of this program's YAML files."""
    if looks_like_a_scenario(source.text.encode()):
        return "a scenario: see 'bhyvesim run'"
    keys = [line for _, line in source.said() if not line[:1].isspace()]
    named = any(line.startswith("name:") for line in keys)
    if named and any(_OWN_KEYS.match(line) for line in keys):
        return "a VM description already: see 'bhyvesim create' and 'bhyvesim check'"
    return None


def panic(source: Source) -> str | None:
    """Whether *source* tells of a kernel's panic."""
    if any(_PANIC.search(line) for line in source.lines):
        return "the text of a panic, without its message or stack"
    return None


def qemu(source: Source) -> str | None:
    """Whether *source* calls QEMU, and does not so much as name bhyve."""
    lines = [line for _, line in source.said()]
    if any(map(_QEMU.search, lines)) and not any("bhyve" in line for line in lines):
        return "a call of QEMU, not of bhyve"
    return None


def refuse(source: Source) -> ImportProblem:
    """The message for a file of no kind that is known."""
    said = list(source.said())
    if not said:
        empty = not source.text.strip()
        return source.problem(1, "an empty file" if empty else "nothing but comments", _EXPECTED)
    line = said[0][0]
    for number, text in said:
        if _MEMSEG.fullmatch(text.strip()):
            what = "the output of bhyvectl --get-memseg alone, which has no addresses"
            return source.problem(number, what, "that of --get-memmap with it")
    if all(_YAML_KEY.match(text.lstrip()) for _, text in said):
        return source.problem(line, "this is YAML of some other kind", _EXPECTED)
    return source.problem(line, "this is no file that can be imported", _EXPECTED)
