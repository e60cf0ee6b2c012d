"""VM descriptions: the keys, their defaults, and what they mean."""

from __future__ import annotations

from os import PathLike, fspath
from typing import cast

from bhyvesim import limits
from bhyvesim.config import readers as r
from bhyvesim.config.document import Node, Scalar, Sequence, parse
from bhyvesim.config.readers import Key
from bhyvesim.kernel.calls import Assertions
from bhyvesim.kernel.memory import Memmap
from bhyvesim.kernel.pte.format import PFN_BITS
from bhyvesim.kernel.revisions import NEWEST, REVISIONS
from bhyvesim.prot import ALL
from bhyvesim.units import MIB, format_size, shorten
from bhyvesim.vm.layouts import BHYVE_ROM_WINDOW, LAYOUTS, PARTS
from bhyvesim.vm.names import MAX_NAME_BYTES, name_problem
from bhyvesim.vm.spec import (
    NPT_OF_CPU,
    Cpu,
    KernelSpec,
    SegmentSpec,
    TouchSpec,
    VmSpec,
)
from bhyvesim.vm.vm import Vm

DEFAULT_BOOTROM = 2 * MIB
_MAX_SEGMENT_NAME = 63  # bytes
FREE = "the next free"


@r.reader(
    {
        "anyOf": [
            {"enum": list(REVISIONS)},
            {"enum": [int(name) for name in REVISIONS if name.isdigit()]},
        ]
    },
    "gpt",
)
def _gpt(node: Node) -> str:
    return r.choice(*REVISIONS)(node)  # at each reading: a file may have added one


@r.reader({"type": "string", "minLength": 1, "maxLength": MAX_NAME_BYTES, "pattern": "^[^/]+$"})
def _name(node: Node) -> str:
    name = r.text(node)
    problem = name_problem(name)
    if problem is not None:
        raise node.error(
            f"{shorten(name)} {problem}", "a printable name of 1 to 127 bytes without /"
        )
    return name


@r.reader(r.natural.schema, "natural")
def _pfn(node: Node) -> int:
    pfn = r.natural(node)
    if pfn >> PFN_BITS:
        raise node.error(f"{pfn:#x} is no page frame number", f"one below 2^{PFN_BITS}")
    return pfn


@r.reader({"type": "string", "maxLength": _MAX_SEGMENT_NAME})
def _segment_name(node: Node) -> str:
    name = r.text(node)
    length = len(name.encode("utf-8", "surrogatepass"))
    if not name.isprintable() or length > _MAX_SEGMENT_NAME:
        raise node.error("the segment's name", "a printable name of at most 63 bytes")
    return "" if name == "sysmem" else name


GPT = Key("gpt", _gpt, "The revision of the kernel's page-table code.", default=NEWEST)
DEBUG = Key("debug", r.boolean, "Whether ASSERTs are live.", default=True)
ASSERTIONS = Key(
    "assertions",
    r.choice(*(mode.value for mode in Assertions)),
    "What a failing ASSERT of a DEBUG kernel does.",
    default=Assertions.PANIC.value,
)
KERNEL_KEYS = (GPT, DEBUG, ASSERTIONS)

TOUCH_GPA = Key("gpa", r.any_address, "Where it begins.", needed=True, example="0x100000000")
TOUCH_LEN = Key("len", r.length, "How many bytes.", needed=True, example="2M")
_TOUCH_KEYS = (TOUCH_GPA, TOUCH_LEN, r.ACCESS, r.AGENT)

SEGMENT_ID = Key("id", r.integer, "Its id.", needed=True, example="0")
SEGMENT_NAME = Key(
    "name", _segment_name, "Empty or sysmem: RAM. Otherwise device memory.", default=""
)
SEGMENT_SIZE = Key("size", r.size, "How many bytes.", needed=True, example="3G")
HOST_PFN = Key(
    "host_pfn", _pfn, "Its first host page frame; the next free one if left out.", otherwise=FREE
)
_SEGMENT_KEYS = (SEGMENT_ID, SEGMENT_NAME, SEGMENT_SIZE, HOST_PFN)

GPA = Key("gpa", r.address, "Where in the guest.", needed=True, example="0xffe00000")
SEGMENT = Key("segment", r.integer, "The segment's id.", needed=True, example="1")
OFFSET = Key("offset", r.byte_count, "Where in the segment.", default=0)
LEN = Key("len", r.size, "How many bytes.", needed=True, example="2M")
PROT = Key("prot", r.prot, "What is granted.", default=ALL, example="r-x")
WIRED = Key("wired", r.boolean, "Put all pages in the tables at once.", default=False)
_MEMMAP_KEYS = (GPA, SEGMENT, OFFSET, LEN, PROT, WIRED)


def _read_segment(fields: r.Fields) -> SegmentSpec:
    name = fields.value(SEGMENT_NAME)
    return SegmentSpec(
        fields.value(SEGMENT_ID),
        name,
        fields.value(SEGMENT_SIZE),
        fields.optional(HOST_PFN),
    )


def _read_memmap(fields: r.Fields) -> Memmap:
    return Memmap(
        gpa=fields.value(GPA),
        segid=fields.value(SEGMENT),
        segoff=fields.value(OFFSET),
        length=fields.value(LEN),
        prot=fields.value(PROT),
        wired=fields.value(WIRED),
    )


def _read_touch(fields: r.Fields) -> TouchSpec:
    return TouchSpec(fields.value(TOUCH_GPA), fields.value(TOUCH_LEN), *r.access_by(fields))


def _read_kernel(fields: r.Fields) -> KernelSpec:
    debug, assertions = fields.value(DEBUG), fields.value(ASSERTIONS)
    if not debug and ASSERTIONS.name in fields and assertions != Assertions.OFF.value:
        raise fields.place(ASSERTIONS.name).error(
            f"assertions: {assertions} on a production kernel", "debug: true beside it"
        )
    return KernelSpec(fields.value(GPT), debug, assertions)


_touch = r.mapping(_TOUCH_KEYS, _read_touch, **r.DEVICES_READ_OR_WRITE)
_kernel = r.mapping(KERNEL_KEYS, _read_kernel)
read_memmap = r.mapping(_MEMMAP_KEYS, _read_memmap)


@r.reader({"anyOf": [{"enum": ["all", "none"]}, r.items(_touch)]})
def _touches(node: Node) -> tuple[TouchSpec, ...] | None:
    if isinstance(node, Scalar):
        return {"all": None, "none": ()}[r.choice("all", "none")(node)]
    if not isinstance(node, Sequence):
        raise node.error("a mapping stands here", "all, none, or a list of {gpa, len, access}")
    return tuple(_touch(item) for item in node.items)


_PFN_KEYS = tuple(Key(part, _pfn, f"Of {part}.", otherwise=FREE) for part in PARTS)


def _read_pfns(fields: r.Fields) -> dict[str, int]:
    return {key.name: fields.need(key.name, _pfn) for key in _PFN_KEYS if key.name in fields}


NAME = Key("name", _name, "What the VM is called.", needed=True, example="testvm")
KERNEL = Key("kernel", _kernel, "The simulated host's kernel.", otherwise="as below")
CPU = Key("cpu", r.choice(*NPT_OF_CPU), "amd: RVI tables; intel: EPT tables.", default="amd")
APICV = Key(
    "apicv",
    r.boolean,
    "Intel: whether the host virtualises the APIC; then every VM has a page for it at "
    "0xfee00000. Default: true on intel.",
    otherwise="`true` on intel",
)
TOUCH = Key("touch", _touches, "What the running guest touches.", otherwise="`all`", example="none")
TRACK_DIRTY = Key("track_dirty", r.boolean, "Dirty tracking from the start.", default=False)
RESERVOIR = Key(
    "reservoir",
    r.boolean,
    "Whether its memory comes from the host's reservoir (VCF_RESERVOIR_MEM).",
    default=False,
)
VMM = Key("vmm", r.choice(*LAYOUTS), "Whose segment ids and slot order.", default="propolis")
MEMORY = Key(
    "memory",
    r.size,
    "RAM, where no segments are given.",
    otherwise="*needed*, or segments",
    example="8G",
)
BOOTROM = Key("bootrom", r.byte_count, "The boot ROM; 0: none.", default=DEFAULT_BOOTROM)
PFNS = Key("host_pfn", r.mapping(_PFN_KEYS, _read_pfns), "First host page frames.")
SEGMENTS = Key("segments", r.items(r.mapping(_SEGMENT_KEYS, _read_segment)), "One by one.")
MAPPINGS = Key("mappings", r.items(read_memmap), "In slot order.")

_COMMON = (NAME, KERNEL, CPU, APICV, TOUCH, TRACK_DIRTY, RESERVOIR)
_SHORT = (VMM, MEMORY, BOOTROM, PFNS)
_EXPLICIT = (SEGMENTS, MAPPINGS)
VM_KEYS = (*_COMMON, *_SHORT, *_EXPLICIT)
KEYS = r.names(VM_KEYS)


def _none_of(keys: r.Keys) -> r.Schema:
    return {"not": {"anyOf": [{"required": [key.name]} for key in keys]}}


# A VM in short, or segment by segment; and the APIC page needs Intel.
VM_RULES: r.Schema = {
    "oneOf": [
        {"required": [NAME.name, MEMORY.name], **_none_of(_EXPLICIT)},
        {"required": [NAME.name, *r.names(_EXPLICIT)], **_none_of(_SHORT)},
    ],
    "allOf": [
        {
            "if": {"properties": {"apicv": {"const": True}}, "required": ["apicv"]},
            "then": {"properties": {"cpu": {"const": "intel"}}, "required": ["cpu"]},
        }
    ],
}


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
        return Vm(load(file.read(limits.DOCUMENT.most + 1), fspath(path)))


def read_vm(node: Node) -> VmSpec:
    """The VM under *node*. Raises ConfigError."""
    fields = r.Fields(node, VM_KEYS)
    name = fields.value(NAME)
    cpu = cast(Cpu, fields.value(CPU))
    kernel = fields.get(KERNEL.name, _kernel, KernelSpec())
    apicv = _apicv(fields, cpu)
    touches = fields.optional(TOUCH)
    track_dirty = fields.value(TRACK_DIRTY)
    reservoir = fields.value(RESERVOIR)
    if any(key.name in fields for key in _EXPLICIT):
        for key in r.names(_SHORT):
            if key in fields:
                raise fields.place(key).error(
                    f"{key} together with segments", f"either {key}, or segments and mappings"
                )
        segments = fields.need(SEGMENTS.name, SEGMENTS.read)
        mappings = fields.need(MAPPINGS.name, MAPPINGS.read)
        return VmSpec(
            name,
            kernel,
            cpu,
            segments,
            mappings,
            touches,
            track_dirty,
            apicv=apicv,
            reservoir=reservoir,
        )
    vmm = fields.value(VMM)
    memory = fields.need(MEMORY.name, MEMORY.read)
    bootrom = _bootrom(fields, vmm)
    pfns = fields.get(PFNS.name, PFNS.read, dict[str, int]())
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
        reservoir=reservoir,
    )


def _apicv(fields: r.Fields, cpu: str) -> bool:
    apicv = fields.optional(APICV)
    if apicv and cpu != "intel":
        place = fields.node.items[APICV.name]
        raise place.error(f"apicv: true with cpu: {cpu}", "cpu: intel, or no apicv")
    return cpu == "intel" if apicv is None else apicv


def _bootrom(fields: r.Fields, vmm: str) -> int:
    size = fields.value(BOOTROM)
    if vmm == "bhyve" and size > BHYVE_ROM_WINDOW:
        limit = format_size(BHYVE_ROM_WINDOW)
        raise fields.node.items[BOOTROM.name].error(
            f"a ROM of {format_size(size)}", f"at most {limit} under vmm: bhyve"
        )
    return size
