"""What an experienced reviewer sees in a VM description, without running anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from bhyvesim.gpt.levels import LEAF_SHIFT, LEAF_SPAN, table_span
from bhyvesim.gpt.revisions import REVISIONS
from bhyvesim.gpt.revisions.revision import VMSPACE_END
from bhyvesim.machine.memory import MAX_MEMMAPS
from bhyvesim.vmm.layouts import ROM_END
from bhyvesim.vmm.spec import MappingSpec, SegmentSpec, VmSpec

_LINE = table_span(3)


class Severity(IntEnum):
    """NOTE: a shape to know of. WARNING: some kernel is endangered. ERROR: the VM's own is."""

    NOTE = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is looked for."""

    code: str
    name: str
    summary: str
    why: str  # what comes of it, for ``explain``


RULES = {
    rule.code: rule
    for rule in (
        Rule(
            "BV101",
            "shared-leaf",
            "two mappings share the leaf table of 2 MiB",
            "Kernels before 14367 free a leaf with the first mapping that is unmapped from "
            "it. A DEBUG kernel panics over the entries of the other (panic A); a production "
            "kernel loses them.",
        ),
        Rule(
            "BV102",
            "ends-on-neighbour",
            "a mapping ends where another begins",
            "13932 takes the end of a range as inclusive: unmapping the first mapping also "
            "zeroes the first page of the second, and then vacates it (bug 14042). Harmless "
            "where the second one is gone by then.",
        ),
        Rule(
            "BV103",
            "crosses-512-gib",
            "a mapping crosses a multiple of 512 GiB",
            "15844 finds no leaf past such a line when it makes the mapping, and fails a "
            "VERIFY: every kernel of that revision panics, DEBUG or not (panic C, or D where "
            "a table exists there already).",
        ),
        Rule(
            "BV104",
            "above-vmspace",
            "a mapping reaches past the end of the vmspace, 64 TiB",
            "The kernel refuses it with EFAULT. 13932 and 14042 look only at where it begins.",
        ),
        Rule(
            "BV105",
            "overlap",
            "two mappings overlap",
            "The kernel refuses the second with EFAULT.",
        ),
        Rule(
            "BV106",
            "rom-off-4-gib",
            "a boot ROM does not end at 4 GiB",
            "A processor starts 16 bytes below 4 GiB; the guest would find no firmware there.",
        ),
        Rule(
            "BV107",
            "unmapped-segment",
            "a segment is never mapped",
            "Its memory is taken from the host, and the guest cannot reach it.",
        ),
        Rule(
            "BV108",
            "partly-mapped-segment",
            "a segment is mapped only in part",
            "The rest of its memory is taken from the host, and the guest cannot reach it.",
        ),
        Rule(
            "BV109",
            "too-many-maps",
            "there are more mappings than slots",
            "A VM has eight slots; the ninth mapping is refused with ENOSPC.",
        ),
        Rule(
            "BV110",
            "bad-segment",
            "a mapping has no segment to lie in",
            "The kernel refuses it with EINVAL: there is no such segment, or the mapping "
            "reaches past its end.",
        ),
        Rule(
            "BV111",
            "bad-segment-id",
            "a segment id that not every kernel has",
            "Ids are 0 to 3, and 4 only from 15844 on; others are refused with EINVAL.",
        ),
        Rule(
            "BV112",
            "hole-beside-mapping",
            "a mapping leaves a hole in the leaf it ends in",
            "On 13896 a guest that touches a page of that leaf which no mapping covers panics "
            "the host, DEBUG or not (panic B).",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a description meets.

    *gpa* is where, or None; *revisions* are endangered by it, oldest first. *mapping* and
    *segment* are indices into the description's lists.
    """

    rule: Rule
    severity: Severity
    message: str
    revisions: tuple[str, ...]
    gpa: int | None = None
    mapping: int | None = None
    segment: int | None = None


def review(spec: VmSpec, *, kernel_is_named: bool) -> list[Finding]:
    """The findings, by address; those without one at the end.

    Where the description names its kernel, that one and later ones count as endangered;
    otherwise all of them may.
    """
    reviewer = _Reviewer(spec, kernel_is_named)
    findings = [*reviewer.segments(), *reviewer.single_mappings(), *reviewer.neighbours()]
    return sorted(findings, key=lambda f: (f.gpa is None, f.gpa or 0, f.rule.code))


class _Reviewer:
    def __init__(self, spec: VmSpec, kernel_is_named: bool) -> None:
        self.spec = spec
        self.segments_by_id = {segment.segid: segment for segment in spec.segments}
        names = list(REVISIONS)
        self.concerned = names[names.index(spec.kernel.gpt) :] if kernel_is_named else names

    def finding(
        self,
        code: str,
        message: str,
        revisions: tuple[str, ...] = (),
        gpa: int | None = None,
        mapping: int | None = None,
        segment: int | None = None,
    ) -> Finding:
        endangered = tuple(name for name in revisions if name in self.concerned)
        own = self.spec.kernel.gpt in endangered
        some = Severity.WARNING if endangered else Severity.NOTE
        severity = Severity.ERROR if own else some
        return Finding(RULES[code], severity, message, endangered, gpa, mapping, segment)

    def segments(self) -> Iterator[Finding]:
        by_vmm = self.spec.vmm is not None  # a VMM's own layout is as it must be
        for i, s in enumerate(self.spec.segments):
            name = s.name or "sysmem"
            lacking = tuple(n for n, r in REVISIONS.items() if not 0 <= s.segid < r.segids)
            if lacking:
                yield self.finding(
                    "BV111", f"segment id {s.segid} is refused (EINVAL)", lacking, segment=i
                )
            mapped = sum(m.length for m in self.spec.mappings if m.segid == s.segid)
            if not mapped:
                yield self.finding(
                    "BV107", f"segment {s.segid} ({name}) is never mapped", segment=i
                )
            elif mapped < s.length and not by_vmm:
                yield self.finding(
                    "BV108",
                    f"{mapped:#x} of the {s.length:#x} bytes of segment {s.segid} ({name}) "
                    "are mapped",
                    segment=i,
                )

    def single_mappings(self) -> Iterator[Finding]:
        for i, m in enumerate(self.spec.mappings):
            if i == MAX_MEMMAPS:
                yield self.finding(
                    "BV109",
                    f"mapping {i + 1} finds none of the {MAX_MEMMAPS} slots free (ENOSPC)",
                    tuple(REVISIONS),
                    m.gpa,
                    i,
                )
            yield from self.one_mapping(i, m, self.segments_by_id.get(m.segid))

    def one_mapping(self, i: int, m: MappingSpec, seg: SegmentSpec | None) -> Iterator[Finding]:
        end = m.span.end
        if seg is None or m.segoff + m.length > seg.length:
            why = f"past the end of segment {m.segid}" if seg else f"there is no segment {m.segid}"
            yield self.finding("BV110", f"{m.span}: {why} (EINVAL)", tuple(REVISIONS), m.gpa, i)
        line = (m.gpa // _LINE + 1) * _LINE
        if end > line:
            yield self.finding(
                "BV103",
                f"{m.span} crosses {line:#x}; 15844 finds no tables past that line and panics",
                ("15844",),
                line,
                i,
            )
        refusing = tuple(
            name
            for name, revision in REVISIONS.items()
            if m.gpa >= VMSPACE_END or (end >= VMSPACE_END and not revision.may_reach_the_end)
        )
        if refusing:
            yield self.finding(
                "BV104",
                f"{m.span} does not end below {VMSPACE_END:#x} (EFAULT)",
                refusing,
                m.gpa,
                i,
            )
        if seg is not None and seg.name == "bootrom" and end != ROM_END:
            yield self.finding(
                "BV106", f"the ROM ends at {end:#x}, not at {ROM_END:#x}", (), m.gpa, i
            )

    def neighbours(self) -> Iterator[Finding]:
        order = sorted(range(len(self.spec.mappings)), key=lambda i: self.spec.mappings[i].gpa)
        for i, j in pairwise(order):
            a, b = self.spec.mappings[i], self.spec.mappings[j]
            if a.span.overlaps(b.span):
                yield self.finding(
                    "BV105", f"{a.span} and {b.span} overlap (EFAULT)", tuple(REVISIONS), b.gpa, j
                )
            elif a.span.last >> LEAF_SHIFT == b.gpa >> LEAF_SHIFT:
                yield self.finding(
                    "BV101",
                    f"{a.span} and {b.span} share the leaf at {b.gpa & -LEAF_SPAN:#x}; kernels "
                    "that do not count its users free it with the first of them",
                    ("13932", "14042", "13896"),
                    b.gpa,
                    j,
                )
            elif a.span.end == b.gpa:
                yield self.ends_on_neighbour(i, a, j, b)
        yield from self.holes(order)

    def ends_on_neighbour(self, i: int, a: MappingSpec, j: int, b: MappingSpec) -> Finding:
        """Dangerous to closed ranges where *a* is unmapped while *b* still has pages."""
        seg = self.segments_by_id.get(a.segid)
        at_reboot = seg is not None and bool(seg.name)
        when = "at every reboot" if at_reboot else "when the VM is destroyed" if i < j else ""
        danger = (
            f"; with closed ranges, unmapping it takes the first page of the other, {when}"
            if when
            else ""
        )
        message = f"{a.span} ends where {b.span} begins, at {b.gpa:#x}{danger}"
        return self.finding("BV102", message, ("13932",) if when else (), b.gpa, i)

    def holes(self, order: list[int]) -> Iterator[Finding]:
        """A leaf that exists with pages of no mapping in it: fatal to touch on 13896."""
        spans = [self.spec.mappings[i].span for i in order]
        for position, i in enumerate(order):
            end = spans[position].end
            following = spans[position + 1].start if position + 1 < len(order) else None
            border = -(-end // LEAF_SPAN) * LEAF_SPAN
            if end != border and (following is None or following > end):
                hole = min(border, following if following is not None else border)
                yield self.finding(
                    "BV112",
                    f"[{end:#x}, {hole:#x}) is a hole in the leaf of {spans[position]}; a guest "
                    "that touches it panics the host",
                    ("13896",),
                    end,
                    i,
                )
