"""What a finding is, in words, where it is no panic that has a story of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bhyvesim.crash.dump import CrashDump
from bhyvesim.errors import KernelStop
from bhyvesim.explore.causes import DRIFT, Cause
from bhyvesim.explore.trial import Case, Trial
from bhyvesim.kernel.builds import build_name
from bhyvesim.kernel.look.fsck import examine
from bhyvesim.kernel.npt import NptResult
from bhyvesim.ops.ioctls import Access
from bhyvesim.vm.life import lost_since


class Seen(NamedTuple):
    """A case done once more: a name for it, facts in sentences, and the dump if it stopped.

    *slug* is one for files, *guest*: the last thing was done by the guest itself.
    """

    name: str
    slug: str
    facts: tuple[str, ...]
    dump: CrashDump | None
    letter: str | None
    guest: bool


def seen(case: Case, cause: Cause) -> Seen:
    """*case* at the moment of *cause*, which it comes to."""
    trial = Trial(case.create, case.against)
    for operation in case.operations[:-1]:
        trial.do(operation)
    leaves, slots = trial.machine.space.gpt.leaves.copy(), trial.machine.slots[:]
    last = case.operations[-1]
    trial.do(last)
    stop = trial.stop
    facts = list(_facts(trial, cause))
    if cause.kind == "lost":
        runs = lost_since(trial.machine, leaves, slots)
        facts += [f"{_pages(pages)} at {gpa:#x} lost the entry." for gpa, pages in runs]
    letter = None if stop is None or stop.letter in ("", "?") else stop.letter
    guest = isinstance(last, Access)
    slug = f"{case.create.gpt}-{cause.slug if letter is None else _slug(letter, cause)}"
    name = f"{_name(case, cause, stop)}{', by its guest' if guest and stop is not None else ''}"
    return Seen(name, slug, tuple(facts), _dump(trial, last.op), letter, guest)


def _slug(letter: str, cause: Cause) -> str:
    return f"panic-{letter.lower()}{'-outside' if 'outside' in cause.how else ''}"


def _dump(trial: Trial, operation: str) -> CrashDump | None:
    if trial.stop is None:
        return None
    return CrashDump.of(
        trial.stop, trial.machine, vm="found", operation=operation, time_ns=0, uuid=""
    )


def _name(case: Case, cause: Cause, stop: KernelStop | None) -> str:
    create = case.create
    kernel = f"{create.gpt} {build_name(create.debug)}"
    if cause.kind == "difference":
        return f"{create.gpt} and {case.against} differ at {cause.where}: {cause.how}"
    if stop is None:
        return f"{kernel} {cause}"
    if cause.kind == "hang":
        return f"{kernel} hangs in {cause.where}"
    letter = f" ({stop.letter})" if stop.letter != "?" else ""
    beyond = cause.how.rpartition(", ")[2] if "outside" in cause.how else ""
    return f"{kernel} panics{letter} in {cause.where}{f', {beyond}' if beyond else ''}"


def _facts(trial: Trial, cause: Cause) -> Iterator[str]:
    if cause.kind in ("broken", "drift"):
        for finding in examine(trial.machine):
            if (finding.kind in DRIFT) == (cause.kind == "drift"):
                place = f" at {finding.gpa:#x}" if finding.gpa is not None else ""
                yield f"fsck ({finding.kind}){place}: {finding.message}."
    elif cause.kind == "leak":
        yield f"{trial.came} page tables were still there when the VM was destroyed."
    elif cause.kind == "bitmap":
        came = trial.came
        answer = came.bitmap or b"" if isinstance(came, NptResult) else came
        yield f"The answer is {answer.hex()[:64]}; fewer pages, or none, were dirty before."
    elif cause.kind == "refused":
        yield f"The access fails with {trial.came.fault} at {trial.came.gpa:#x}."
    elif cause.kind == "clean":
        yield "Its entry has no dirty bit after the write."


def _pages(count: int) -> str:
    return "1 page" if count == 1 else f"{count} pages"
