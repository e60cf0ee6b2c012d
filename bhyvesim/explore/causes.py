"""What can be wrong with a machine after an operation, and how one cause is told from another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bhyvesim.crash.dump import span_of
from bhyvesim.errors import Frame, KernelHang, KernelStop, Refused
from bhyvesim.kernel.gpt.access import Access as AccessResult
from bhyvesim.kernel.gpt.levels import LEAF_SPAN
from bhyvesim.kernel.gpt.windows import Leaves
from bhyvesim.kernel.look.fsck import examine
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.memory import Memmap
from bhyvesim.kernel.npt import FLAGS, OPERATIONS, NptResult
from bhyvesim.ops.ioctls import Access, Destroy, NptOp, TrackDirtyPages
from bhyvesim.ops.operation import Operation
from bhyvesim.prot import WRITE
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT, PAGE_SIZE
from bhyvesim.vm.life import lost_since

# Kinds, the worst first; each with what it says of a kernel.
KINDS = {
    "panic": "panics",
    "hang": "hangs",
    "lost": "loses pages whose memmap stays",
    "refused": "refuses an access that its memmap permits",
    "leak": "leaks page tables",
    "bitmap": "says of a clean page that it is dirty",
    "clean": "leaves a written page clean",
    "broken": "breaks its page tables",
    "difference": "differs",
    "drift": "counts its resident pages wrongly",
}
DRIFT = ("drift", "counter")  # of fsck: what it finds of the counter

_FLAGS = FLAGS["BITMAP_IN"] | FLAGS["BITMAP_OUT"]
_ASKING = (OPERATIONS["GET_DIRTY"], OPERATIONS["RESET_DIRTY"])  # which were dirty
_VALUES = re.compile(r" \(0x[0-9a-f]+ \S+ 0x[0-9a-f]+\)")


class Cause(NamedTuple):
    """One way in which a kernel goes wrong: of what kind, where, and how there.

    *where* is the function that stops, or what is wrong with the tables; *how* tells two
    causes apart that come to the same there. Two findings of one cause are one finding.
    """

    kind: str
    where: str
    how: str = ""

    @classmethod
    def of(cls, values: Iterable[Any]) -> Cause:
        """From the values as JSON has them. Raises ValueError where they are not three."""
        kind, where, how = map(str, values)
        return cls(kind, where, how)

    @property
    def harmless(self) -> bool:
        """Whether the machine goes on as if nothing were: only a counter is wrong."""
        return self.kind == "drift"

    @property
    def slug(self) -> str:
        """A name for files."""
        how = "" if self.kind == "panic" else self.how
        words = "-".join(part for part in (self.kind, self.where, how) if part)
        return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:80].strip("-")

    def __str__(self) -> str:
        detail = ", ".join(part for part in (self.where, self.how) if part)
        return f"{KINDS[self.kind]} ({detail})"


class Before(NamedTuple):
    """What has to be known of a machine before an operation, to judge it afterwards."""

    leaves: Leaves
    slots: Sequence[Memmap | None]
    dirty: int | None  # a bitmap of the operation's range, where it is one on dirty bits


def before(machine: Machine, operation: Operation) -> Before:
    """The state that *operation* is about to meet."""
    dirty = None
    if isinstance(operation, (NptOp, TrackDirtyPages)):
        dirty = _dirty_bits(machine, operation.gpa, operation.length)
    return Before(machine.space.gpt.leaves.copy(), machine.slots[:], dirty)


def judged(
    machine: Machine, operation: Operation, was: Before, came: Any, *, fresh: bool = True
) -> list[Cause]:
    """What is wrong after *operation* did not stop the kernel, the worst first.

    *came* is its value, or the Refused that it raised; without *fresh* the state is known to be
    in order, and only what it came to is looked at.
    """
    found = [
        *_lost(machine, was),
        *_refused(machine, operation, came),
        *_leaked(operation, came),
        *_bitmap(operation, was, came),
        *_clean(machine, operation, came),
    ]
    return found + (broken(machine) if fresh else [])


def stopped(stop: KernelStop) -> Cause:
    """The cause of a panic or a hang."""
    if isinstance(stop, KernelHang):
        return Cause("hang", stop.function)
    claim = _VALUES.sub("", stop.message.partition(", file:")[0])
    return Cause("panic", stop.function, f"{claim}{_beyond(stop.stack)}")


def broken(machine: Machine) -> list[Cause]:
    """What fsck finds, each kind once; the counter last."""
    kinds = dict.fromkeys(finding.kind for finding in examine(machine))
    damage = [Cause("broken", kind) for kind in kinds if kind not in DRIFT]
    return damage + [Cause("drift", kind) for kind in kinds if kind in DRIFT]


def _beyond(stack: Sequence[Frame]) -> str:
    """Whether the kernel was at work outside the range that it was asked for."""
    asked = next((span for f in reversed(stack) if (span := span_of(f.named()))), None)
    visited = next((f.named()["gpa"] for f in stack if "gpa" in f.names), None)
    if asked is None or visited is None or asked.start <= visited < asked.end:
        return ""
    return ", outside the range asked for"


def _lost(machine: Machine, was: Before) -> list[Cause]:
    runs = lost_since(machine, was.leaves, was.slots)
    if not runs:
        return []
    freed = machine.freed_by(was.slots)
    hows = {_how_lost(Span.sized(gpa, pages << PAGE_SHIFT), freed) for gpa, pages in runs}
    return [Cause("lost", how) for how in _HOWS if how in hows][:1]


# Which page is lost: none near what was unmapped; the one after it; of a leaf that both share.
_HOWS = ("elsewhere", "page after", "shared leaf")


def _how_lost(lost: Span, freed: Iterable[Span]) -> str:
    away, after, shared = _HOWS
    leaf = Span(lost.start & -LEAF_SPAN, (lost.start & -LEAF_SPAN) + LEAF_SPAN)
    if any(span.overlaps(leaf) for span in freed):
        return shared
    return after if any(leaf.start <= span.end < leaf.end for span in freed) else away


def _refused(machine: Machine, operation: Operation, came: Any) -> list[Cause]:
    if not (isinstance(operation, Access) and isinstance(came, AccessResult)) or not came.fault:
        return []
    assert came.gpa is not None
    for m in machine.memmaps:
        if m.span.start <= came.gpa < m.span.end and not operation.prot & ~m.prot:
            return [Cause("refused", came.fault, f"to a {_AGENTS[operation.by]}")]
    return []


_AGENTS = {"vcpu": "vCPU", "device": "device"}


def _leaked(operation: Operation, came: Any) -> list[Cause]:
    leaks = isinstance(operation, Destroy) and isinstance(came, int) and came > 0
    return [Cause("leak", "destroy")] if leaks else []


def _bitmap(operation: Operation, was: Before, came: Any) -> list[Cause]:
    if was.dirty is None or isinstance(came, Refused):
        return []
    if isinstance(operation, NptOp):
        answer = came.bitmap if isinstance(came, NptResult) else None
        if answer is None or operation.operation & ~_FLAGS not in _ASKING:
            return []
    else:
        answer = came
    said = int.from_bytes(answer, "little") & _mask(operation)
    return [Cause("bitmap", operation.op)] if said & ~was.dirty else []


def _mask(operation: Operation) -> int:
    assert isinstance(operation, (NptOp, TrackDirtyPages))
    return (1 << (operation.length >> PAGE_SHIFT)) - 1


def _clean(machine: Machine, operation: Operation, came: Any) -> list[Cause]:
    """Of an access that wrote, its first page."""
    if not (isinstance(operation, Access) and isinstance(came, AccessResult)):
        return []
    if not came.ok or not operation.prot & WRITE:
        return []
    gpt = machine.space.gpt
    by_device = operation.by == "device"
    if by_device and not (gpt.tracking and machine.revision.ioctls.holds):
        return []
    page = operation.gpa >> PAGE_SHIFT
    ours = any(page in m.span.pages for m in machine.memmaps)
    if not ours or not (by_device or gpt.sets_bits) or gpt.entry(page) & machine.npt.dirty:
        return []
    return [Cause("clean", f"by a {_AGENTS[operation.by]}")]


def _dirty_bits(machine: Machine, gpa: int, length: int) -> int | None:
    """A bitmap of ``[gpa, gpa + length)``; None where that is no sensible range."""
    if gpa % PAGE_SIZE or length % PAGE_SIZE or not 0 < length <= 1 << 30 or gpa < 0:
        return None
    bits = 0
    first, end = gpa >> PAGE_SHIFT, (gpa + length) >> PAGE_SHIFT
    for start, pages in machine.dirty:
        lo, hi = max(first, start >> PAGE_SHIFT), min(end, (start >> PAGE_SHIFT) + pages)
        if lo < hi:
            bits |= ((1 << (hi - lo)) - 1) << (lo - first)
    return bits
