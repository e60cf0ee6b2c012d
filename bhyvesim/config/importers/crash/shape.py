"""The guest that a crash was about, as far as its stack, its message or its memory map tell."""

from __future__ import annotations

from typing import NamedTuple

from bhyvesim.config.importers.crash.cause import Known
from bhyvesim.config.importers.crash.reader import Crash, Reader
from bhyvesim.config.importers.draft import Draft
from bhyvesim.config.importers.memmap import described
from bhyvesim.config.importers.source import ImportProblem
from bhyvesim.kernel.memory import Memmap
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.kernel.revisions.revision import VMSPACE_END
from bhyvesim.span import Span
from bhyvesim.units import GIB, MIB, PAGE_SIZE, format_size
from bhyvesim.vm.layouts import HIGHMEM_BASE, LAYOUTS, LOWMEM_LIMIT, ROM_END, Layout
from bhyvesim.vm.spec import SegmentSpec

_ROM = 2 * MIB
_MAX_ROM = 16 * MIB
_SEGID = {1: "bhyve", 2: "propolis"}  # that of highmem
_MADE = ("vm_mmap_memseg", "vmspace_map", "vm_map_find", "vmm_gpt_populate_region")
_FREED = ("vmspace_unmap", "vm_map_remove", "rvi_ops_unmap", "ept_ops_unmap")
_VACATED = (*_FREED, "vm_munmap_memseg", "vmm_gpt_vacate_region")


class Asked(NamedTuple):
    """A range that a function of the stack was asked for."""

    function: str
    span: Span
    segid: int | None


def shape_of(reader: Reader, crash: Crash, known: Known, source: str) -> Draft | None:
    """The guest, with what was assumed; None where nothing tells of its memory.

    Raises ImportProblem where what is told contradicts itself.
    """
    draft = Draft(source, "the crash of a kernel", memory_line=crash.line)
    _processor(draft, crash)
    if reader.rows:
        described(reader.rows, draft)
        if known.stop.letter in ("C", "D"):
            _check_map(draft, crash, known)
        if len(reader.crashes) > 1:
            draft.assumed.append("the memory map is taken for that of this crash's VM")
        return draft
    if known.stop.letter == "C":
        return _across(draft, crash, known)
    if known.stop.letter == "A" and "13932" in known.revisions:
        return _after_the_rom(draft, crash, known)
    return None


def _check_map(draft: Draft, crash: Crash, known: Known) -> None:
    """The map has the memmap that was to be made; of several, it was made last.

    Lengths are compared as loosely as bhyvectl prints them. Raises ImportProblem.
    """
    asked = asked_of(crash, known, _MADE)
    end, _ = known.values or (None, None)
    wanted = asked[0].span if asked else None
    if known.stop.letter == "C" and wanted is None and end is not None and end > HIGHMEM_BASE:
        wanted = Span(HIGHMEM_BASE, end)
    layout = draft.layout or LAYOUTS[draft.vmm](draft.memory, draft.bootrom, {})
    if wanted is None:
        return
    there = [i for i, m in enumerate(layout.mappings) if _alike(m, wanted)]
    if not there:
        raise ImportProblem(
            draft.source,
            crash.line,
            f"the memory map has no memmap {wanted}, which the crash was about",
            "the map of the VM that crashed",
        )
    if draft.layout is not None:
        mappings = list(layout.mappings)
        mappings.append(mappings.pop(there[0]))
        draft.layout_origins.append(draft.layout_origins.pop(there[0]))
        draft.layout = Layout(layout.segments, tuple(mappings))


def _alike(memmap: Memmap, span: Span) -> bool:
    length = span.end - span.start
    return memmap.gpa == span.start and abs(memmap.length - length) <= length // 1000


def asked_of(crash: Crash, known: Known, functions: tuple[str, ...]) -> list[Asked]:
    """What those of *functions* that are on the stack with all their arguments were asked for."""
    found = []
    table = REVISIONS[known.revisions[0]].functions
    for name in functions:
        args = next((f.args for f in crash.frames if f.function == name and f.args), None)
        if name not in table or args is None or len(args) != len(table[name].params):
            continue
        values = dict(zip((p.name for p in table[name].params), args, strict=True))
        start = values.get("gpa", values.get("addr", values.get("start", 0)))
        end = values["end"] if "end" in values else start + values.get("len", 0)
        if end > start:
            found.append(Asked(name, Span(start, end), values.get("segid")))
    return found


def _processor(draft: Draft, crash: Crash) -> None:
    for frame in crash.frames:
        for prefixes, cpu in ((("rvi_", "svm_"), "amd"), (("ept_", "vmx_"), "intel")):
            if frame.function.startswith(prefixes):
                draft.cpu, draft.cpu_origin = cpu, f"{frame.function}, line {frame.line}"
                return


def _across(draft: Draft, crash: Crash, known: Known) -> Draft | None:
    """Panic C: the memmap that crosses a line is highmem, where it begins at 4 GiB."""
    asked = asked_of(crash, known, _MADE)
    end, line = known.values or (None, None)
    _check_agreement(draft, crash, asked, end)
    if asked:
        span = asked[0].span
        segid = next((a.segid for a in asked if a.segid is not None), None)
        origin = f"{asked[0].function}, line {_line_of(crash, asked[0].function)}"
    elif end is not None and line is not None and end > max(line, HIGHMEM_BASE):
        span, segid = Span(HIGHMEM_BASE, end), None
        origin = f"the message's {end:#x}, line {crash.message_line}"
        draft.assumed.append(
            "the stack has no arguments: the memmap is taken for highmem, from 4 GiB "
            f"to the message's end {end:#x}"
        )
    else:
        return None
    _check_range(draft, crash, span)
    if span.start == HIGHMEM_BASE and segid in (None, *_SEGID):
        return _of_vmm(draft, span, segid, origin)
    return _alone(draft, span, segid, origin)


def _of_vmm(draft: Draft, highmem: Span, segid: int | None, origin: str) -> Draft:
    size = highmem.end - highmem.start
    draft.vmm = _SEGID.get(segid or 2, "propolis")
    draft.memory = LOWMEM_LIMIT + size
    draft.memory_origin = f"{format_size(size)} of highmem ({origin}), and 3G of lowmem"
    draft.assumed.append("lowmem of 3G, as every VMM makes it before there is highmem")
    if segid is None:
        draft.assumed.append("Propolis' layout: no segment's number is there")
    _assume_rom(draft)
    return draft


def _alone(draft: Draft, span: Span, segid: int | None, origin: str) -> Draft:
    size = span.end - span.start
    number = segid if segid is not None and segid < 4 else 0
    draft.layout = Layout(
        (SegmentSpec(number, "", size),), (Memmap(span.start, size, segid=number, segoff=0),)
    )
    draft.layout_origins = [origin]
    draft.assumed.append("nothing but this memmap: what else the VM maps is not there")
    return draft


def _after_the_rom(draft: Draft, crash: Crash, known: Known) -> Draft | None:
    """Panic A of 13932: the ROM ends where highmem begins; how much that is does not matter."""
    asked = asked_of(crash, known, _VACATED)
    if asked and (asked[0].span.end != ROM_END or ROM_END - asked[0].span.start > _MAX_ROM):
        return None
    draft.vmm, draft.memory = "propolis", 4 * GIB
    draft.memory_origin = "assumed: the text does not tell it"
    draft.assumed.append(
        "memory of 4G: the text does not tell it, and any VM with highmem after its ROM does so"
    )
    draft.assumed.append("Propolis' layout: nothing names the VMM")
    others = [name for name in known.revisions if name != "13932"]
    if others:
        draft.assumed.append(
            f"revision 13932: on {' and '.join(others)} a VM comes to it "
            "where two memmaps share a leaf of 2M"
        )
    if asked:
        draft.bootrom = ROM_END - asked[0].span.start
        draft.bootrom_origin = f"{asked[0].function}, line {_line_of(crash, asked[0].function)}"
    else:
        _assume_rom(draft)
    return draft


def _assume_rom(draft: Draft) -> None:
    draft.bootrom, draft.bootrom_origin = _ROM, "assumed: the text does not tell it"
    draft.assumed.append(f"a ROM of {format_size(_ROM)}: the text does not tell its size")


def _check_agreement(draft: Draft, crash: Crash, asked: list[Asked], end: int | None) -> None:
    """All that the stack says is of one memmap, which ends where the message says."""
    spans = {a.span for a in asked}
    ends = {span.end for span in spans} | ({end} if end is not None else set())
    if len(spans) > 1 or len(ends) > 1:
        told = ", ".join(sorted({f"{a.function} {a.span}" for a in asked}))
        more = f"; the message ends at {end:#x}" if end is not None else ""
        raise ImportProblem(
            draft.source,
            crash.line,
            f"the stack contradicts itself or the message ({told}{more})",
            "the text of one crash, without cut numbers",
        )


def _check_range(draft: Draft, crash: Crash, span: Span) -> None:
    if span.start % PAGE_SIZE or span.end % PAGE_SIZE or span.end > VMSPACE_END:
        raise ImportProblem(
            draft.source, crash.line, f"a memmap {span}", "whole pages below 64 TiB"
        )


def _line_of(crash: Crash, function: str) -> int:
    return next(f.line for f in crash.frames if f.function == function and f.args)
