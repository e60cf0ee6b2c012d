"""A case as a scenario file: the VM, the steps, and what happens at the last of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from bhyvesim.errors import KernelHang, KernelPanic, Refused
from bhyvesim.explore.causes import Cause
from bhyvesim.explore.trial import Case, Trial
from bhyvesim.kernel.gpt.access import Access as AccessResult
from bhyvesim.kernel.gpt.diff import pte_changes
from bhyvesim.kernel.look.fsck import examine
from bhyvesim.kernel.npt import NptResult
from bhyvesim.kernel.results import Held
from bhyvesim.ops import ioctls as ops
from bhyvesim.ops.operation import Operation
from bhyvesim.prot import format_prot
from bhyvesim.units import PAGE_SHIFT, format_size
from bhyvesim.vm.life import lost_since

Keys = dict[str, str]

CAUSE = "# cause: "  # in a line of its own; for --known


class Written(NamedTuple):
    """A scenario file, and how many steps it has after create."""

    text: str
    steps: int


def scenario(case: Case, cause: Cause, title: str, told: Iterable[str]) -> Written:
    """A scenario file that passes where *case* comes to *cause*; *told* are lines for its head."""
    create = case.create
    writer = _Writer(case, cause)
    steps = list(writer.steps())
    gpts = [create.gpt] if case.against is None else [create.gpt, case.against]
    lines = [
        *(f"# {line}".rstrip() for line in told),
        f"{CAUSE}{json.dumps([create.gpt, *cause])}",
        f"title: {json.dumps(title)}",
        "vm:",
        "  name: found",
        *([f"  kernel: {{assertions: {create.assertions}}}"] * (create.assertions != "panic")),
        f"  cpu: {'intel' if create.npt == 'ept' else 'amd'}",
        *(["  apicv: false"] if create.npt == "ept" and not create.apicv else []),
        *(["  track_dirty: true"] if create.track_dirty else []),
        "  touch: none",
        *_listed("segments", map(_segment, writer.segments)),
        *_listed("mappings", map(_mapping, writer.mappings)),
        "matrix:",
        f"  gpt: {json.dumps(gpts)}",
        f"  debug: [{_word(create.debug)}]",
        "steps:",
        *steps,
    ]
    return Written("\n".join(lines) + "\n", sum(step.startswith("  - ") for step in steps) - 1)


def cause_in(text: str) -> tuple[str, Cause] | None:
    """The revision and the cause that a file written by :func:`scenario` is about."""
    for line in text.splitlines():
        if line.startswith(CAUSE):
            try:
                gpt, *cause = json.loads(line.removeprefix(CAUSE))
                return str(gpt), Cause.of(cause)
            except ValueError:
                return None
    return None


class _Writer:
    """Does a case once more, and says of each step what came."""

    def __init__(self, case: Case, cause: Cause) -> None:
        self._case = case
        self._cause = cause
        self._trial = Trial(case.create, case.against)
        self.segments: list[ops.AllocMemseg] = []
        self.mappings: list[ops.MmapMemseg] = []

    def steps(self) -> Iterator[str]:
        """The lines of all steps; what the VM is made of is in ``segments`` and ``mappings``."""
        rest = list(self._case.operations)
        made: list[str] = []
        while rest and isinstance(rest[0], (ops.AllocMemseg, ops.MmapMemseg)):
            op = rest[0]
            if isinstance(op, ops.AllocMemseg) and self.mappings:
                break
            made = self._done(op)
            if made and "panic" not in made[0] and "hang" not in made[0]:
                break  # refused, or otherwise worth a step of its own
            if isinstance(op, ops.AllocMemseg):
                self.segments.append(op)
            else:
                self.mappings.append(op)
            rest.pop(0)
        yield from _step("create", {}, made if not rest else [])
        for number, step in enumerate(rest):
            expected = made if number == 0 and made else self._done(step)
            name, keys = _STEPS[type(step)](step)
            yield from _step(name, keys, expected)

    def _done(self, op: Operation) -> list[str]:
        """Do *op*; what to expect of it, an item for each kernel that differs."""
        trial = self._trial
        leaves = trial.machine.space.gpt.leaves.copy()
        slots = trial.machine.slots[:]
        new = trial.do(op)
        if new is not None and new == self._cause:
            if new.kind == "difference":
                return self._different(op)
            return [_braced(self._wrong(op, leaves, slots))]
        return [text for text in [_expected(trial.came)] if text]

    def _wrong(self, op: Operation, leaves: Any, slots: Any) -> Keys:
        """What shows the cause, at the operation where it comes."""
        trial, machine = self._trial, self._trial.machine
        if trial.stop is not None:
            return _stop(trial.stop)
        kind = self._cause.kind
        if kind == "lost":
            lost = lost_since(machine, leaves, slots)
            if isinstance(op, (ops.MunmapMemseg, ops.Reinit)):
                return {"lost": str(sum(pages for _, pages in lost))}
            return {"pte": f"{{gpa: {lost[0][0]:#x}, value: 0}}"}
        if kind == "leak":
            return {"leaks": str(trial.came)}
        if kind == "clean" and isinstance(op, ops.Access):
            pte = machine.space.gpt.entry(op.gpa >> PAGE_SHIFT)
            return {"pte": f"{{gpa: {op.gpa:#x}, value: {pte:#x}}}"}
        if kind in ("broken", "drift"):
            kinds = dict.fromkeys(finding.kind for finding in examine(machine))
            return {**_came(trial.came), "fsck": f"[{', '.join(kinds)}]"}
        return _came(trial.came)

    def _different(self, op: Operation) -> list[str]:
        """What to expect on either kernel."""
        twin = self._trial.twin
        assert twin is not None
        assert self._case.against is not None
        ours, theirs = self._ended(self._trial), _came(twin.came)
        if ours == theirs:
            change = pte_changes(
                self._trial.machine.space.gpt.leaves, twin.machine.space.gpt.leaves
            )[0]
            ours = {**ours, "pte": f"{{gpa: {change.gpa:#x}, value: {change.before:#x}}}"}
            theirs = {**theirs, "pte": f"{{gpa: {change.gpa:#x}, value: {change.after:#x}}}"}
        for keys in (ours, theirs):
            if isinstance(op, (ops.MunmapMemseg, ops.Reinit)) and not keys.keys() & _ENDINGS:
                keys["lost"] = "any"
        names = (self._case.create.gpt, self._case.against)
        return [
            _braced({"when": f'{{gpt: "{gpt}"}}', **(keys or {"ok": "true"})})
            for gpt, keys in zip(names, (ours, theirs), strict=True)
        ]

    @staticmethod
    def _ended(trial: Trial) -> Keys:
        return _came(trial.came) if trial.stop is None else _stop(trial.stop)


_ENDINGS = {"panic", "hang", "errno"}


def _came(came: Any) -> Keys:
    """What to expect of an operation that came to *came*; nothing where it just succeeds."""
    if isinstance(came, Refused):
        return {"errno": came.errno_name}
    if isinstance(came, (KernelPanic, KernelHang)):
        return _stop(came)
    if isinstance(came, (AccessResult, Held)) and came.fault is not None:
        return {"fault": came.fault, "gpa": f"{came.gpa:#x}"}
    bitmap = came if isinstance(came, bytes) else None
    if isinstance(came, NptResult):
        bitmap = came.bitmap
    return {"bitmap": json.dumps(bitmap.hex())} if bitmap else {}


def _expected(came: Any) -> str:
    keys = _came(came)
    keys.pop("bitmap", None)  # only where it matters
    return _braced(keys) if keys else ""


def _stop(stop: Any) -> Keys:
    if isinstance(stop, KernelHang):
        return {"hang": stop.function}
    if stop.letter != "?":
        return {"panic": stop.letter}
    return {"panic": f"{{function: {stop.function}, message: {json.dumps(stop.message)}}}"}


def _braced(keys: Keys) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in keys.items()) + "}"


def _step(name: str, keys: Keys, expected: Sequence[str]) -> Iterator[str]:
    colon = ":" if keys or expected else ""
    yield f"  - {name}{colon}{' ' + _braced(keys) if keys else ''}"
    if len(expected) == 1:
        yield f"    expect: {expected[0]}"
    elif expected:
        yield "    expect:"
        yield from (f"      - {item}" for item in expected)


def _listed(key: str, items: Iterable[str]) -> list[str]:
    lines = [f"    - {item}" for item in items]
    return [f"  {key}:", *lines] if lines else [f"  {key}: []"]


def _segment(op: ops.AllocMemseg) -> str:
    return _braced({"id": str(op.segid), "name": _name(op), "size": _size(op.length)})


def _mapping(op: ops.MmapMemseg) -> str:
    return _braced(_map(op)[1])


def _name(op: ops.AllocMemseg) -> str:
    return json.dumps(op.name) if op.name else "sysmem"


def _size(size: int) -> str:
    """As people write it; an odd one in hex."""
    text = format_size(size)
    return text if len(text) <= 6 else f"{size:#x}"


def _word(value: bool) -> str:
    return "true" if value else "false"


def _alloc(op: ops.AllocMemseg) -> tuple[str, Keys]:
    return "alloc-memseg", {
        "id": str(op.segid),
        "size": _size(op.length),
        "name": _name(op),
    }


def _map(op: ops.MmapMemseg) -> tuple[str, Keys]:
    keys = {"gpa": f"{op.gpa:#x}", "segment": str(op.segid)}
    keys |= {"offset": f"{op.segoff:#x}"} if op.segoff else {}
    keys |= {"len": _size(op.length), "prot": format_prot(op.prot)}
    return "map", keys | ({"wired": "true"} if op.wired else {})


def _touch(op: ops.Access) -> tuple[str, Keys]:
    access = format_prot(op.prot).replace("-", "")
    keys = {"gpa": f"{op.gpa:#x}", "len": _size(op.npages << PAGE_SHIFT), "access": access}
    return "touch", keys | ({"by": op.by} if op.by != "vcpu" else {})


def _range(op: Any) -> Keys:
    return {"gpa": f"{op.gpa:#x}", "len": _size(op.length)}


def _npt(op: ops.NptOp) -> tuple[str, Keys]:
    keys = {**_range(op), "operation": f"{op.operation:#x}"}
    return "npt", keys | ({"bitmap": json.dumps(op.bitmap.hex())} if op.bitmap else {})


def _hold(op: ops.Hold) -> tuple[str, Keys]:
    return "hold", {"gpa": f"{op.gpa:#x}", "access": format_prot(op.prot).replace("-", "")}


def _release(op: ops.Release) -> tuple[str, Keys]:
    return "release", {"hold": str(op.hold)} | ({} if op.dirty else {"dirty": "false"})


_STEPS: dict[type[Operation], Any] = {
    ops.AllocMemseg: _alloc,
    ops.MmapMemseg: _map,
    ops.MunmapMemseg: lambda op: ("unmap", _range(op)),
    ops.Access: _touch,
    ops.Hold: _hold,
    ops.Release: _release,
    ops.NptOp: _npt,
    ops.TrackDirtyPages: lambda op: ("track-dirty", _range(op)),
    ops.Reinit: lambda op: ("reinit", {}),
    ops.Destroy: lambda op: ("destroy", {}),
}
