"""The rehearsal itself: hops, attempts and rounds; and what of the guest never arrived."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from typing import NamedTuple

from bhyvesim.errors import Refused
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.revisions import Revision
from bhyvesim.units import PAGE_SHIFT
from bhyvesim.vm import life
from bhyvesim.vm.migration.marks import Marks
from bhyvesim.vm.migration.memory import Ram
from bhyvesim.vm.migration.plan import Plan
from bhyvesim.vm.migration.workload import DEVICE, GUEST, Workload
from bhyvesim.vm.spec import VmSpec

BEFORE, UNKNOWN = "before", "unknown"  # who wrote a page, besides the guest and devices


class Round(NamedTuple):
    """One round; ``paused``: after the pause.

    ``offered`` pages were offered, and sent; ``again`` of them had been sent before, in this
    attempt. ``guest`` and ``device`` are the writes since the round before read the dirty
    bits; the guest goes on while pages are sent, and after that.
    """

    hop: int
    attempt: int
    number: int
    paused: bool
    offered: int
    again: int
    guest: int
    device: int


class Gone(NamedTuple):
    """Neighbouring pages that never arrived in *hop*, or not as they were at last.

    *by*: who wrote to them last, *before* it was before the rehearsal; *unknown*: whether
    anybody ever did is not known.
    """

    hop: int
    gpa: int
    pages: int
    by: str


class Rehearsed(NamedTuple):
    """What came of it: the rounds, how many pages never arrived by who wrote them, and which."""

    rounds: tuple[Round, ...]
    pages: dict[str, int]
    missing: tuple[tuple[int, str, Marks], ...]  # hop, by whom, pages
    blind: tuple[str, ...]  # kernels on which a vCPU's write sets no dirty bit here

    @property
    def lost(self) -> int:
        """Pages that certainly are not as they were."""
        return sum(pages for by, pages in self.pages.items() if by != UNKNOWN)

    @property
    def unknown(self) -> int:
        """Pages that may have been lost."""
        return self.pages.get(UNKNOWN, 0)

    @property
    def sent(self) -> int:
        return sum(round_.offered for round_ in self.rounds)

    @property
    def again(self) -> int:
        return sum(round_.again for round_ in self.rounds)

    def gone(self) -> Iterator[Gone]:
        """What never arrived, by hop and address; made one by one, as somebody asks."""
        for hop in dict.fromkeys(hop for hop, _, _ in self.missing):
            yield from merge(*(_gone(*one) for one in self.missing if one[0] == hop))


def _gone(hop: int, by: str, marks: Marks) -> Iterator[Gone]:
    for pages in marks.pages():
        yield Gone(hop, pages.start << PAGE_SHIFT, len(pages), by)


def rehearse(
    plan: Plan, source: Machine, spec: VmSpec, target: Machine, *, arrived: bool = False
) -> Rehearsed:
    """The guest of *source* moves to *target*, an empty machine of *spec*, as *plan* says.

    By way of others like it, where there are several hops. *source* is worked on: its guest
    writes, its dirty bits are taken; *arrived*: its RAM came by migration itself, and no bit
    tells. Raises Refused as the kernels do, KernelStop where one stops.
    """
    _check_offered(plan, source)
    _check_known(plan, source.revision, target.revision)
    life.allocate(target, spec)
    return _Rehearsal(plan, Ram.found(source, arrived=arrived), spec, target).run()


def leaves_marks(plan: Plan, revision: Revision) -> bool:
    """Whether dirty bits tell afterwards what arrived at a target of that kernel."""
    return plan.way.marks and revision.ioctls.npt_operation


def _check_offered(plan: Plan, source: Machine) -> None:
    """Raises Refused where the dirty bits cannot be read, before anything is done."""
    ioctls = source.revision.ioctls
    if plan.way.resets:
        source.check_offered(ioctls.track_dirty_pages, "VM_TRACK_DIRTY_PAGES")
    else:
        source.check_offered(ioctls.npt_operation, "VM_NPT_OPERATION")


def _check_known(plan: Plan, source: Revision, target: Revision) -> None:
    """Raises Refused where it is not known what would happen, or known that it never does."""
    if plan.hops > 1 and plan.way.marks and not leaves_marks(plan, target):
        raise Refused(
            "ENOTTY",
            f"kernel {target.name} has no VM_NPT_OPERATION to mark what arrives; what "
            f"{plan.discipline} would offer on a second hop from there is not known",
        )
    for revision in (source, target)[: plan.hops] if plan.device_writes == "late" else ():
        if revision.ioctls.deferred_dirty:
            raise Refused(
                "EINVAL", f"devices of kernel {revision.name} hold a page until they wrote to it"
            )


class _Rehearsal:
    """The guest is at *ram*; *target* is where it is to be after the last hop."""

    def __init__(self, plan: Plan, ram: Ram, spec: VmSpec, target: Machine) -> None:
        self._plan = plan
        self._way = plan.way
        self._ram = ram
        self._spec = spec
        self._target = target
        self._work = Workload(plan, ram)
        self._rounds: list[Round] = []
        self._missing: list[tuple[int, str, Marks]] = []  # hop, by whom, which pages
        self._blind: list[str] = []

    def run(self) -> Rehearsed:
        for hop in range(1, self._plan.hops + 1):
            self._hop(hop)
        pages: dict[str, int] = {}
        for _, by, marks in self._missing:
            pages[by] = pages.get(by, 0) + len(marks)
        blind = tuple(dict.fromkeys(self._blind))
        return Rehearsed(tuple(self._rounds), pages, tuple(self._missing), blind)

    def _hop(self, hop: int) -> None:
        """The guest moves on by one machine, perhaps at the second attempt."""
        machine = self._ram.machine
        if not machine.space.gpt.vcpu.on_write & machine.npt.dirty:
            self._blind.append(machine.revision.name)
        all_first = self._way.all_first
        attempt = 1
        if hop == 1 and self._plan.fail_after is not None:
            taken, _ = self._attempt(hop, attempt, self._spare(), all_first, self._plan.fail_after)
            if self._way.restores and self._way.resets and not all_first:
                if machine.revision.ioctls.npt_operation:
                    self._ram.mark(taken)
                else:
                    all_first = True
            attempt = 2
        target = Ram.empty(self._target) if hop == self._plan.hops else self._spare()
        _, sent = self._attempt(hop, attempt, target, all_first, self._plan.rounds + 1)
        if leaves_marks(self._plan, target.machine.revision):
            target.mark(sent)
        self._compare(hop, target)
        self._ram = target
        self._work.at(target)

    def _spare(self) -> Ram:
        """Another machine like the target."""
        machine = life.new_machine(self._spec)
        life.allocate(machine, self._spec)
        return Ram.empty(machine)

    def _attempt(
        self, hop: int, attempt: int, target: Ram, all_first: bool, last: int
    ) -> tuple[Marks, Marks]:
        """Rounds up to the *last*; the dirty bits that they took, and the pages that they sent."""
        taken, sent = Marks(), Marks()
        half = self._plan.writes // 2
        writes = self._work.run(self._plan.writes)
        for number in range(1, last + 1):
            paused = number > self._plan.rounds
            if paused:
                self._work.settle()
            dirty = self._ram.sweep(reset=self._way.resets)
            meanwhile = self._work.run(0 if paused else half)
            offered = self._ram.pages if all_first and number == 1 else dirty
            self._ram.send(offered, target)
            count, again = len(offered), len(offered & sent)
            self._rounds.append(Round(hop, attempt, number, paused, count, again, *writes))
            taken |= dirty
            sent |= offered
            self._work.settle()
            writes = meanwhile.plus(self._work.run(0 if paused else self._plan.writes - half))
        return taken, sent

    def _compare(self, hop: int, target: Ram) -> None:
        """Note what never arrived, and who wrote it."""
        lost, unknown = self._ram.missing_at(target)
        for by in (GUEST, DEVICE):
            theirs = lost & Marks.of(page for page, who in self._work.wrote.items() if who == by)
            self._missing.append((hop, by, theirs))
            lost -= theirs
        self._missing += [(hop, BEFORE, lost), (hop, UNKNOWN, unknown)]
