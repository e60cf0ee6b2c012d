"""What is recorded of a live host: which functions, and the lines that tell of their calls.

One table. The D script prints by it (``bhyvesim.ops.dscript``), and what it printed is read by
it (``bhyvesim.ops.recording``); arguments and their places are those of the prototypes that
the revisions have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from bhyvesim.errors import BadValue
from bhyvesim.kernel import npt
from bhyvesim.kernel.functions import Function, Param
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.ops import ioctls
from bhyvesim.ops.operation import Operation

FORMAT = 1  # of the lines; another number is another format
WIRED = 1 << 0  # a memmap's flag. Source: vmm_dev.h, VM_MEMMAP_F_WIRED
TRACK_DIRTY = 1 << 1  # a flag of create. Source: vmm.h, VCF_TRACK_DIRTY
CREATE = "vm_create"
DESTROY = "vm_destroy"
RUN = "vm_run"  # within it a vCPU faults

Arguments = Mapping[str, int]


class Field(NamedTuple):
    """One key of a line: its name, how printf() prints it, and the D expression that it is.

    Without an expression it is in every line the same, or a part of an aggregation.
    """

    name: str
    format: str
    source: str = ""


class Line(NamedTuple):
    """One kind of line: its keys in order."""

    fields: tuple[Field, ...]

    @property
    def format(self) -> str:
        """For printf(), D's and Python's alike."""
        keys = ",".join(f'"{field.name}":{field.format}' for field in self.fields)
        return f"{{{keys}}}\n"

    @property
    def sources(self) -> tuple[str, ...]:
        """What is printed, in D."""
        return tuple(field.source for field in self.fields if field.source)


class Recorded(NamedTuple):
    """A function that is recorded, and what operation a call of it is.

    *operation* makes it from the arguments; None where they are none that a machine can do.
    *fault*: it is a vCPU's, inside of vm_run(), and so frequent that one line tells all of it;
    of the others one tells that it began, and one what it answered. *more* are arguments after
    those of the prototype, which has only what a stack trace can show: the first six.
    """

    function: str
    operation: Callable[[Arguments], Operation | None]
    fault: bool = False
    more: tuple[Param, ...] = ()

    def arguments(self, function: Function) -> dict[str, tuple[int, Param]]:
        """Those that are recorded, by name: their places, counted from 0, and what they are."""
        return {
            param.name: (place, param)
            for place, param in enumerate((*function.params, *self.more))
            if param.known
        }


def _alloc(args: Arguments) -> Operation:
    # Which name a segment of a device has is the driver's, above this function.
    return ioctls.AllocMemseg(args["segid"], args["len"], "" if args["sysmem"] else "devmem")


def _mmap(args: Arguments) -> Operation | None:
    wired = args["flags"] == WIRED
    if args["flags"] and not wired:
        return None
    where = args["gpa"], args["segid"], args["segoff"], args["len"], args["prot"]
    return ioctls.MmapMemseg(*where, wired)


def _npt(args: Arguments) -> Operation:
    # Of the bitmap nothing is recorded: it changes no answer, and has been read by then.
    size = min(npt.bitmap_bytes(args["len"]), npt.MAX_BITMAP_BYTES)
    return ioctls.NptOp(args["gpa"], args["len"], args["oper"], bytes(size))


def _fault(args: Arguments) -> Operation:
    return ioctls.Access(args["gpa"], 1, args["prot"])


_TABLE = (
    Recorded("vm_alloc_memseg", _alloc),
    Recorded("vm_mmap_memseg", _mmap, more=(Param("int", "flags", known=True),)),
    Recorded("vm_munmap_memseg", lambda args: ioctls.MunmapMemseg(args["gpa"], args["len"])),
    Recorded("vm_reinit", lambda args: ioctls.Reinit()),
    Recorded(DESTROY, lambda args: ioctls.Destroy()),
    Recorded("vm_npt_do_operation", _npt),
    Recorded("vm_track_dirty_pages", lambda args: ioctls.TrackDirtyPages(args["gpa"], args["len"])),
    # The memory of a device that is passed through: nothing of it is modelled.
    Recorded("vm_map_mmio", lambda args: None),
    Recorded("vm_fault", _fault, fault=True),
    Recorded("vmc_fault", _fault, fault=True),
)
RECORDED = {each.function: each for each in _TABLE}
NUMBERS = {each.function: number for number, each in enumerate(_TABLE, start=1)}
PASSED_THROUGH = "vm_map_mmio"

# How D is told what an argument is: a register may have more in it than the type.
_UNSIGNED = ("%u", "(uint64_t)")
_PRINTED = {
    "bool": ("%d", "(uint8_t)"),
    "int": ("%d", "(int)"),
    "vm_prot_t": ("%d", "(uint8_t)"),
    "uint32_t": ("%u", "(uint32_t)"),
    "vm_ooffset_t": ("%d", "(int64_t)"),
    **dict.fromkeys(("size_t", "uint64_t", "uintptr_t", "vm_offset_t", "vm_paddr_t"), _UNSIGNED),
}
_HEAD = (
    Field("vm", '"%x"', "self->vm"),
    Field("pid", "%d", "pid"),
    Field("tid", "%d", "tid"),
    Field("n", "%d", "self->n[self->vm]"),
    Field("t", "%d", "timestamp"),
    Field("fn", '"%s"', "probefunc"),
)
_ANSWER = Field("ret", "%d", "(int)arg1")
_NO_ANSWER = Field("ret", "%d", "0")

# A name that would need to be escaped is not printed.
_QUOTABLE = 'index(self->name, "\\"") < 0 && index(self->name, "\\\\") < 0'
_NAME = f'self->named ? ({_QUOTABLE} ? self->name : "?") : "?"'

CREATED = Line((*_HEAD, Field("name", '"%s"', _NAME), Field("flags", "%d", "self->flags"), _ANSWER))
# How many lines each thread printed of each VM: dtrace counts, and prints them at the end.
TOTAL = Line(
    (
        Field("live", '"lines"'),
        Field("vm", '"%x"'),
        Field("pid", "%d"),
        Field("tid", "%d"),
        Field("lines", "%@d"),
    )
)
END = Line((Field("live", '"end"'),))


def begun(*, faults: bool) -> Line:
    """The first line: the format, and whether faults are recorded."""
    return Line((Field("live", str(FORMAT)), Field("faults", str(int(faults)))))


def functions(gpts: Iterable[str]) -> dict[str, Function]:
    """The functions that are recorded on kernels of *gpts*, by name.

    Raises BadValue where two of them take the recorded arguments in other places.
    """
    found: dict[str, Function] = {}
    for gpt in gpts:
        for name, recorded in RECORDED.items():
            function = REVISIONS[gpt].functions.get(name)
            if function is None:
                continue
            unknown = [p.type for _, p in recorded.arguments(function).values()]
            if not set(unknown) <= _PRINTED.keys():
                raise BadValue(f"an argument of {name} of {gpt} is {unknown}", "types known here")
            if recorded.arguments(found.setdefault(name, function)) != recorded.arguments(function):
                raise BadValue(f"{name} of {gpt} takes other arguments", "one of them: --gpt")
    return found


def entered(function: Function) -> Line:
    """The line that tells of its call."""
    return Line((*_HEAD, *_arguments(function, lambda name, place: f"arg{place}")))


def returned(function: Function) -> Line:
    """The line that tells of its answer; of a fault, all of it."""
    answer = _NO_ANSWER if function.returns == "void" else _ANSWER
    if RECORDED[function.name].fault:
        return Line((*_HEAD, *_arguments(function, lambda name, _: f"self->{name}"), answer))
    return Line((*_HEAD, answer))


def kept(function: Function) -> dict[str, str]:
    """What the entry of a fault has to keep for its return, by name, in D."""
    return {f.name: f.source for f in _arguments(function, lambda name, place: f"arg{place}")}


def _arguments(function: Function, source: Callable[[str, int], str]) -> list[Field]:
    fields = []
    for name, (place, param) in RECORDED[function.name].arguments(function).items():
        printed, cast = _PRINTED[param.type]
        fields.append(Field(name, printed, f"{cast}{source(name, place)}"))
    return fields
