"""Whether a VM is safe on a kernel: its life there, and what its guest could do to the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from bhyvesim.kernel.builds import build_name
from bhyvesim.lint.places import holes, places_of
from bhyvesim.ops.ioctls import Destroy
from bhyvesim.prot import READ
from bhyvesim.scenario.model import (
    Action,
    CellResult,
    CellSpec,
    Expectation,
    Place,
    Scenario,
    Step,
)
from bhyvesim.scenario.steps import Create, Do, Reboot
from bhyvesim.units import PAGE_SIZE
from bhyvesim.vm.life import touching
from bhyvesim.vm.spec import TouchSpec, VmSpec

REBOOTS = 3


class KernelChoice(NamedTuple):
    """A revision, DEBUG or production."""

    gpt: str
    debug: bool

    @property
    def name(self) -> str:
        return f"{self.gpt} {build_name(self.debug)}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a VM's life on one kernel came to; ``outcome`` is ``ok``, or why it is not safe.

    ``unknown`` is what is not modelled, where that is why nothing is known.
    """

    kernel: KernelChoice
    outcome: str
    drift: int  # of the kernel's page counter, after the last reboot
    unknown: str = ""

    @property
    def safe(self) -> bool:
        return self.outcome == "ok"


def life_on(kernels: Sequence[KernelChoice], spec: VmSpec, source: str) -> Scenario:
    """The scenario behind a verdict: it expects nothing, and only looks.

    The VM is created, touches its memory, reboots three times and is destroyed. Where its
    maps leave a hole in a leaf table, it is created once more, and a device reaches there:
    a guest can make it.
    """
    cells = []
    for kernel in kernels:
        axes = {"gpt": kernel.gpt, "debug": "true" if kernel.debug else "false"}
        vm = replace(spec, kernel=replace(spec.kernel, gpt=kernel.gpt, debug=kernel.debug))
        cells.append(CellSpec(axes, vm))
    steps = [_look("create", Create(), source)]
    steps += [_look("reboot", Reboot(), source)] * REBOOTS
    steps.append(_look("destroy", Do(Destroy()), source))
    hole = next(holes(places_of(spec)), None)
    if hole is not None:
        access = TouchSpec(hole[0].start, PAGE_SIZE, READ, "device")
        steps.append(_look("create", Create(), source))
        steps.append(_look("device access", Do(touching(access)), source))
    return Scenario(f"the life of {spec.name}", source, tuple(cells), tuple(steps))


def _look(name: str, action: Action, source: str) -> Step:
    return Step(name, name, Place(source, 1, 1), action, (Expectation(anything=True),))


def verdicts(kernels: Sequence[KernelChoice], results: Sequence[CellResult]) -> list[Verdict]:
    """The verdicts of one VM, in the order of *kernels*; a result has its cell's index."""
    ordered = sorted(results, key=lambda result: result.cell)
    return [
        Verdict(kernels[r.cell], r.outcome, r.drift, r.failure.got if r.failure else "")
        for r in ordered
    ]
