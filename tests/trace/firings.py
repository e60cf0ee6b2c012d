"""Firings for tests: of one made-up function, and call by call."""

from __future__ import annotations

from bhyvesim.errors import Frame
from bhyvesim.kernel.calls import Firing
from bhyvesim.kernel.functions import Function

MAP = Function.of("int f([vmm_gpt_t *gpt], uint64_t gpa, size_t len)")


def firing(gpa=0, length=0x1000, times=1, step=0, function=MAP, *, caller="g"):
    """An entry of *function*."""
    frame = function.frame({"gpa": gpa, "len": length})
    return Firing(function, frame, False, (Frame(caller),), times, step)


def singly(run):
    """The calls of *run*, each a firing of its own."""
    gpa, length = run.frame.args
    return [firing(gpa + i * run.step, length) for i in range(run.times)]
