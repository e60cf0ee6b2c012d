"""Whether a host has room for VMs: memory, and addresses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bhyvesim.kernel.reservoir import HostMemory
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.lint.review import Finding, tables_finding
from bhyvesim.lint.rules import RULES, Severity
from bhyvesim.vm.spec import VmSpec


@dataclass(frozen=True, slots=True)
class Room:
    """A host's memory as its VMs leave it, and the width of its physical addresses."""

    memory: HostMemory
    phys_bits: int | None

    def findings(self, spec: VmSpec, shape: Sequence[Finding] | None) -> Iterator[Finding]:
        """What keeps *spec*, a VM that is not there yet, from a start, and what it costs.

        *shape* are the findings of its review, None where nobody reviewed it: a start that
        is refused does not say whether it was the shape or the memory.
        """
        asked = spec.asked_of_host
        lacks = self.memory.lacks(asked, reserved=spec.reservoir)
        if lacks:
            fine = shape is not None and all(f.severity == Severity.NOTE for f in shape)
            short = self.memory.shortage(asked, lacks, reserved=spec.reservoir)
            shape_is = "the shape is fine; " if fine else ""
            message = f"{shape_is}{short}; a start is refused (ENOMEM)"
            yield Finding(RULES["BV116"], Severity.ERROR, message, tuple(REVISIONS))
        end = max((m.span.end for m in spec.mappings), default=0)
        if self.phys_bits is not None and end > 1 << self.phys_bits:
            i = next(i for i, m in enumerate(spec.mappings) if m.span.end == end)
            m = spec.mappings[i]
            message = (
                f"{m.span} reaches past {1 << self.phys_bits:#x}, the end of the host's "
                f"physical addresses ({self.phys_bits} bits)"
            )
            yield Finding(
                RULES["BV117"], Severity.ERROR, message, tuple(REVISIONS), m.gpa, mapping=i
            )
        if not any(finding.rule.code == "BV118" for finding in shape or ()):
            yield tables_finding(spec)

    def together(self, specs: Sequence[VmSpec]) -> str | None:
        """What all of *specs* lack where they start one after the other; None: nothing."""
        memory = self.memory.copy()
        parts = []
        for reserved in (True, False):
            asked = sum(spec.asked_of_host for spec in specs if spec.reservoir == reserved)
            lacks = memory.lacks(asked, reserved=reserved)
            if lacks:
                parts.append(memory.shortage(asked, lacks, reserved=reserved))
        return f"Together: {'; '.join(parts)} (ENOMEM)." if parts else None
