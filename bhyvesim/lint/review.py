"""What an experienced reviewer sees in a VM description, without running anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from bhyvesim.kernel.gpt.levels import LEAF_SHIFT, LEAF_SPAN, REACH, table_span
from bhyvesim.kernel.memory import MAX_MEMMAPS, Memmap
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.kernel.revisions.revision import VMSPACE_END
from bhyvesim.lint.places import APIC_NAME, Place, holes, places_of
from bhyvesim.lint.rules import RULES, Rule, Severity
from bhyvesim.prot import READ
from bhyvesim.units import GIB
from bhyvesim.vm.layouts import ROM_END
from bhyvesim.vm.spec import SegmentSpec, VmSpec
from bhyvesim.vm.tables import table_bytes, tables_of

_LINE = table_span(3)
HEAVY_TABLES = GIB // 4  # bytes, from which on they are worth a note


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
    findings = [
        *reviewer.segments(),
        *reviewer.single_mappings(),
        *reviewer.neighbours(),
        *reviewer.holds(),
    ]
    if table_bytes(spec) >= HEAVY_TABLES:
        findings.append(tables_finding(spec))
    return by_place(findings)


def by_place(findings: Iterable[Finding]) -> list[Finding]:
    """*findings* by address; those without one at the end, by code."""
    return sorted(findings, key=lambda f: (f.gpa is None, f.gpa or 0, f.rule.code))


def tables_finding(spec: VmSpec) -> Finding:
    """What the tables of *spec* cost: nothing that a shape of that size could avoid."""
    count = sum(tables_of(spec).values())
    message = (
        f"its page tables take {table_bytes(spec) / GIB:.2f} GiB of kernel memory that no limit "
        f"counts ({count} tables)"
    )
    return Finding(RULES["BV118"], Severity.NOTE, message, ())


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

    def one_mapping(self, i: int, m: Memmap, seg: SegmentSpec | None) -> Iterator[Finding]:
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
            unknown = [name for name in REVISIONS if name not in refusing and end >= REACH]
            others = f"; what {' and '.join(unknown)} make of it is not modelled" if unknown else ""
            yield self.finding(
                "BV104",
                f"{m.span} does not end below {VMSPACE_END:#x} (EFAULT){others}",
                (*unknown, *refusing),
                m.gpa,
                i,
            )
        if seg is not None and seg.name == "bootrom" and end != ROM_END:
            yield self.finding(
                "BV106", f"the ROM ends at {end:#x}, not at {ROM_END:#x}", (), m.gpa, i
            )
        if self.spec.cpu == "amd" and not m.prot & READ:
            asserting = tuple(name for name, r in REVISIONS.items() if r.map_assert is not None)
            yield self.finding(
                "BV113",
                f"{m.span} may not be read; a DEBUG kernel panics when it maps a page of it",
                asserting,
                m.gpa,
                i,
            )

    def neighbours(self) -> Iterator[Finding]:
        places = places_of(self.spec)
        for a, b in pairwise(places):
            if a.span.overlaps(b.span):
                yield self.overlap(a, b)
            elif a.span.last >> LEAF_SHIFT == b.span.start >> LEAF_SHIFT:
                yield self.finding(
                    "BV101",
                    f"{a} and {b} share the leaf at {b.span.start & -LEAF_SPAN:#x}; kernels "
                    "that do not count its users free it with the first of them",
                    ("13932", "14042", "13896"),
                    b.span.start,
                    a.mapping if b.mapping is None else b.mapping,
                )
            elif a.span.end == b.span.start and a.mapping is not None:
                yield self.ends_on_neighbour(a, b)
        for gap, beside in holes(places):
            yield self.finding(
                "BV112",
                f"{gap} is a hole in the leaf of {beside}; a device that the guest makes reach "
                "into it panics the host",
                ("13896",),
                gap.start,
                beside.mapping,
            )

    def overlap(self, a: Place, b: Place) -> Finding:
        """The kernel refuses the one that comes later; the APIC access page was there before."""
        if a.mapping is None or b.mapping is None:
            ours = b if a.mapping is None else a
            message = f"{ours} lies over the {APIC_NAME} (EFAULT)"
            return self.finding("BV114", message, tuple(REVISIONS), ours.span.start, ours.mapping)
        message = f"{a} and {b} overlap (EFAULT)"
        return self.finding("BV105", message, tuple(REVISIONS), b.span.start, b.mapping)

    def ends_on_neighbour(self, a: Place, b: Place) -> Finding:
        """Dangerous to closed ranges where *a* is unmapped while *b* still has pages."""
        assert a.mapping is not None
        seg = self.segments_by_id.get(self.spec.mappings[a.mapping].segid)
        at_reboot = seg is not None and bool(seg.name)
        at_destroy = b.mapping is not None and a.mapping < b.mapping
        when = "at every reboot" if at_reboot else "when the VM is destroyed" if at_destroy else ""
        danger = (
            f"; with closed ranges, unmapping it takes the first page of the other, {when}"
            if when
            else ""
        )
        message = f"{a} ends where {b} begins, at {b.span.start:#x}{danger}"
        revisions = ("13932",) if when else ()
        return self.finding("BV102", message, revisions, b.span.start, a.mapping)

    def holds(self) -> Iterator[Finding]:
        """Once a description: nothing about its shape helps, so it is never more than a note."""
        hanging = [
            name for name, r in REVISIONS.items() if r.ioctls.holds and name in self.concerned
        ]
        if hanging:
            yield self.finding(
                "BV115",
                f"kernels from {hanging[0]} on hang if a page is held while something is unmapped",
            )
