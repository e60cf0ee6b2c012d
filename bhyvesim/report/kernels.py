"""A VM's events on two kernels: where they part, and what differs then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bhyvesim.host.rerun import Compared
from bhyvesim.kernel.pte.format import PteFormat
from bhyvesim.report.diff import Difference, difference_lines, recorded
from bhyvesim.report.fit import Page, paragraph


@dataclass(frozen=True, slots=True)
class KernelStep:
    """One step on both kernels: how each ended there (null: it did not), and what differs."""

    step: str
    differs: bool
    ends: tuple[str | None, str | None]
    difference: Difference | None


@dataclass(frozen=True, slots=True)
class KernelDifference:
    """`bhyvesim diff --on`: the events of a VM on two kernels, step by step."""

    vm: str
    kernels: tuple[str, str]
    equal: bool
    steps: tuple[KernelStep, ...]


def compared(vm: str, one: str, other: str, npt: PteFormat, steps: Sequence[Compared]) -> Page:
    """The steps at which the kernels differ; one that differs as the one before is one line."""
    record = KernelDifference(
        vm,
        (one, other),
        not any(step.differs for step in steps),
        tuple(
            KernelStep(
                step.name,
                step.differs,
                step.ends,
                None if step.changes is None else recorded(one, other, step.changes),
            )
            for step in steps
        ),
    )
    return Page(record, lambda width: list(_lines(record, npt, width)))


def _lines(record: KernelDifference, npt: PteFormat, width: int | None) -> Iterator[str]:
    one, other = record.kernels
    if record.equal:
        text = f"{one} and {other} do the same in all {len(record.steps)} steps of {record.vm}"
        yield from paragraph(text, width)
        return
    last: Difference | None = None
    for step in record.steps:
        if not step.differs:
            last = None
            continue
        yield from paragraph(f"{record.vm}, {step.step}:", width)
        for kernel, end in zip(record.kernels, step.ends, strict=True):
            if end is not None:
                yield from paragraph(f"  {kernel} {end}", width, "", "    ")
        if step.difference is not None and not step.difference.equal:
            if step.difference == last:
                yield "  the same differs as before"
            else:
                yield from (f"  {line}" for line in difference_lines(step.difference, npt, width))
        last = step.difference
