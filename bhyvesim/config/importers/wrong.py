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
_IOCTL = re.compile(
    r"ioctl\(\d+, \(\('v'<<16\)\|\('(?P<group>[lm])'<<8\)\|(?P<number>\d{1,3})\), 0x[0-9A-Fa-f]+\)"
    r"\s*(= \d+|Err#\d+ (?P<errno>E[A-Z0-9]+))"
)
_IOCTLS = {
    ("l", 0x01): "VM_REINIT",
    ("l", 0x05): "VM_ALLOC_MEMSEG",
    ("l", 0x06): "VM_MMAP_MEMSEG",
    ("l", 0x08): "VM_MUNMAP_MEMSEG",
    ("l", 0x0A): "VM_PAUSE",
    ("l", 0x0B): "VM_RESUME",
    ("l", 0xFF): "VM_WRLOCK_CYCLE",
    ("m", 0x01): "VM_GET_GPA_PMAP",
    ("m", 0x02): "VM_GET_MEMSEG",
    ("m", 0x03): "VM_MMAP_GETNEXT",
    ("m", 0x12): "VM_SUSPEND",
    ("m", 0x20): "VM_TRACK_DIRTY_PAGES",
    ("m", 0x25): "VM_DESTROY_SELF",
    ("m", 0x28): "VM_NPT_OPERATION",
}
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


def truss(source: Source) -> str | None:
    """Whether *source* is truss's; and which ioctl of bhyve's was refused in it, and how."""
    calls = [(number, match) for number, line in source.said() if (match := _IOCTL.search(line))]
    if not calls:
        return None
    what = "a truss of ioctls, which shows their order and their errors but no VM"
    for number, match in calls:
        ioctl = _IOCTLS.get((match["group"], int(match["number"])))
        if ioctl is not None and match["errno"]:
            what += f"; {ioctl} is refused with {match['errno']} on line {number}"
            if (ioctl, match["errno"]) == ("VM_ALLOC_MEMSEG", "ENOMEM"):
                what += ": the host's memory is short, not the VM's shape (see 'bhyvesim host')"
            return what
    return what


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
