"""VM descriptions: the keys, their defaults, and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike, fspath
from typing import cast

from bhyvesim.config import readers as r
from bhyvesim.config.document import MAX_BYTES, Node, Scalar, Sequence, parse
from bhyvesim.kernel.calls import Assertions
from bhyvesim.kernel.memory import Memmap
from bhyvesim.kernel.pte.format import PFN_BITS
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.prot import ALL
from bhyvesim.units import MIB, format_size, shorten
from bhyvesim.vm.layouts import BHYVE_ROM_WINDOW, LAYOUTS, PARTS
from bhyvesim.vm.spec import (
    Cpu,
    KernelSpec,
    SegmentSpec,
    TouchSpec,
    VmSpec,
    name_problem,
)
from bhyvesim.vm.vm import Vm

DEFAULT_BOOTROM = 2 * MIB
_COMMON = ("name", "kernel", "cpu", "apicv", "touch", "track_dirty")
_SHORT = ("vmm", "memory", "bootrom", "host_pfn")
_EXPLICIT = ("segments", "mappings")
KEYS = (*_COMMON, *_SHORT, *_EXPLICIT)


def load(text: str | bytes, source: str) -> VmSpec:
    """The VM that *text* describes; *source* is the file's name for messages.

    Raises ConfigError.
    """
    return read_vm(parse(text, source))


def load_vm(path: str | PathLike[str]) -> Vm:
    """The VM that the YAML file at *path* describes, in memory and not booted yet.

    Raises ConfigError where the file is wrong, OSError where it cannot be read, Refused and
    KernelStop where the kernel does not take the VM.
    """
    with open(path, "rb") as file:
        return Vm(load(file.read(MAX_BYTES + 1), fspath(path)))


def read_vm(node: Node) -> VmSpec:
    """The VM under *node*. Raises ConfigError."""
    fields = r.Fields(node, KEYS)
    name = fields.need("name", _name)
    cpu = cast(Cpu, fields.get("cpu", r.choice("amd", "intel"), "amd"))
    kernel = fields.get("kernel", _kernel, KernelSpec())
    apicv = fields.get("apicv", _apicv(cpu), cpu == "intel")
    touches = fields.get("touch", _touches, None)
    track_dirty = fields.get("track_dirty", r.boolean, False)
    if "segments" in fields or "mappings" in fields:
        for key in _SHORT:
            if key in fields:
                raise fields.place(key).error(
                    f"{key} together with segments", f"either {key}, or segments and mappings"
                )
        segments = fields.need("segments", r.items(_segment))
        mappings = fields.need("mappings", r.items(read_memmap))
        return VmSpec(name, kernel, cpu, segments, mappings, touches, track_dirty, apicv=apicv)
    vmm = fields.get("vmm", r.choice(*LAYOUTS), "propolis")
    memory = fields.need("memory", r.size)
    bootrom = fields.get("bootrom", _bootrom(vmm), DEFAULT_BOOTROM)
    pfns = fields.get("host_pfn", _pfns, dict[str, int]())
    layout = LAYOUTS[vmm](memory, bootrom, pfns)
    return VmSpec(
        name,
        kernel,
        cpu,
        layout.segments,
        layout.mappings,
        touches,
        track_dirty,
        vmm=vmm,
        apicv=apicv,
    )


def _name(node: Node) -> str:
    name = r.text(node)
    problem = name_problem(name)
    if problem is not None:
        raise node.error(
            f"{shorten(name)} {problem}", "a printable name of 1 to 127 bytes without /"
        )
    return name


def _apicv(cpu: str) -> Callable[[Node], bool]:
    def read(node: Node) -> bool:
        apicv = r.boolean(node)
        if apicv and cpu != "intel":
            raise node.error(f"apicv: true with cpu: {cpu}", "cpu: intel, or no apicv")
        return apicv

    return read


def _kernel(node: Node) -> KernelSpec:
    fields = r.Fields(node, ("gpt", "debug", "assertions"))
    default = KernelSpec()
    debug = fields.get("debug", r.boolean, default.debug)
    modes = r.choice(*(mode.value for mode in Assertions))
    assertions = fields.get("assertions", modes, default.assertions)
    if not debug and "assertions" in fields and assertions != Assertions.OFF.value:
        raise fields.place("assertions").error(
            f"assertions: {assertions} on a production kernel", "debug: true beside it"
        )
    return KernelSpec(fields.get("gpt", r.choice(*REVISIONS), default.gpt), debug, assertions)


def _bootrom(vmm: str) -> Callable[[Node], int]:
    def read(node: Node) -> int:
        size = r.byte_count(node)
        if vmm == "bhyve" and size > BHYVE_ROM_WINDOW:
            limit = format_size(BHYVE_ROM_WINDOW)
            raise node.error(f"a ROM of {format_size(size)}", f"at most {limit} under vmm: bhyve")
        return size

    return read


def _pfns(node: Node) -> dict[str, int]:
    fields = r.Fields(node, PARTS)
    return {part: fields.need(part, _pfn) for part in PARTS if part in fields}


def _pfn(node: Node) -> int:
    pfn = r.natural(node)
    if pfn >> PFN_BITS:
        raise node.error(f"{pfn:#x} is no page frame number", f"one below 2^{PFN_BITS}")
    return pfn


def _segment(node: Node) -> SegmentSpec:
    fields = r.Fields(node, ("id", "name", "size", "host_pfn"))
    name = fields.get("name", _segment_name, "")
    return SegmentSpec(
        fields.need("id", r.integer),
        "" if name == "sysmem" else name,
        fields.need("size", r.size),
        fields.get("host_pfn", _pfn, None),
    )


def _segment_name(node: Node) -> str:
    name = r.text(node)
    if not name.isprintable() or len(name.encode("utf-8", "surrogatepass")) > 63:
        raise node.error("the segment's name", "a printable name of at most 63 bytes")
    return name


def read_memmap(node: Node) -> Memmap:
    """One memmap, page-aligned. Raises ConfigError."""
    fields = r.Fields(node, ("gpa", "segment", "offset", "len", "prot", "wired"))
    return Memmap(
        gpa=fields.need("gpa", r.address),
        segid=fields.need("segment", r.integer),
        segoff=fields.get("offset", r.byte_count, 0),
        length=fields.need("len", r.size),
        prot=fields.get("prot", r.prot, ALL),
        wired=fields.get("wired", r.boolean, False),
    )


def _touches(node: Node) -> tuple[TouchSpec, ...] | None:
    if isinstance(node, Scalar):
        return {"all": None, "none": ()}[r.choice("all", "none")(node)]
    if not isinstance(node, Sequence):
        raise node.error("a mapping stands here", "all, none, or a list of {gpa, len, access}")
    return tuple(_touch(item) for item in node.items)


def _touch(node: Node) -> TouchSpec:
    fields = r.Fields(node, ("gpa", "len", "access", "by"))
    return TouchSpec(
        fields.need("gpa", r.any_address),
        fields.need("len", r.length),
        *r.access_by(fields),
    )
