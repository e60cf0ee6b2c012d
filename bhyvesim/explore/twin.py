"""The same operations on a second kernel, and what of them it does differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bhyvesim.errors import KernelStop, Refused
from bhyvesim.explore.causes import Cause
from bhyvesim.kernel.gpt.access import Access
from bhyvesim.kernel.gpt.rows import pte_rows
from bhyvesim.kernel.machine import Machine
from bhyvesim.ops.ioctls import Create
from bhyvesim.ops.operation import Operation

if TYPE_CHECKING:
    from bhyvesim.explore.trial import Trial


class Twin:
    """A machine on the revision *gpt* that is told the same.

    Compared are results, entries, and memmaps; not when tables come and go, nor the page
    counter, which revisions do as they like. Operations that one of the two does not have
    are done by neither.
    """

    def __init__(self, create: Create, gpt: str) -> None:
        kept = {name: getattr(create, name) for name in create.arguments}
        self.machine: Machine = Create(**{**kept, "gpt": gpt}).machine()
        self.came: Any = None

    def fork(self) -> Twin:
        """Another in the same state."""
        other = object.__new__(Twin)
        other.machine = self.machine.fork()
        other.came = self.came
        return other

    def differs(self, operation: Operation, trial: Trial) -> list[Cause]:
        """The difference that *operation* makes, which *trial* has just done; none: []."""
        ours = _said(trial.stop if trial.stop is not None else trial.came)
        try:
            self.came = operation.perform(self.machine)
        except (KernelStop, Refused) as error:
            self.came = error
        theirs = _said(self.came)
        if ours != theirs and "ENOTTY" not in (ours, theirs):
            return [Cause("difference", operation.op, f"{ours} here, {theirs} there")]
        if trial.stop is not None or _same(trial.machine, self.machine):
            return []
        return [Cause("difference", operation.op, "other entries afterwards")]


def _said(came: Any) -> str:
    """A result in words that are alike wherever it matters."""
    if isinstance(came, KernelStop):
        return f"{'panic' if came.letter else 'hang'} {came.letter}".strip()
    if isinstance(came, Refused):
        return came.errno_name
    if isinstance(came, Access):
        return came.fault or "ok"
    bitmap = came if isinstance(came, bytes) else getattr(came, "bitmap", None)
    return "ok" if not bitmap else "some dirty" if any(bitmap) else "none dirty"


def _same(one: Machine, other: Machine) -> bool:
    if one.state != other.state:
        return False
    if one.slots != other.slots:
        return False
    return pte_rows(one.space.gpt) == pte_rows(other.space.gpt)
