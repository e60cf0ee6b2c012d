"""The nested page table of one vmspace: what all revisions of vmm_gpt.c have in common.

Only the leaf tables are stored, as a step function from leaf index (GPA >> 21) to the
leaf's value; the interior tables follow from which leaves exist (:mod:`.rows`). A range
operation costs per run of equal leaves, whatever the number of pages.

What differs from revision to revision (which tables appear when, how they go, what an
absent entry means) is in :mod:`bhyvesim.kernel.revisions`, one file each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from enum import Enum
from functools import cached_property
from typing import ClassVar, NamedTuple

from bhyvesim.kernel.calls import Kernel
from bhyvesim.kernel.gpt.access import FC_NOMAP, FC_PROT, ONE_MAPPED, ONE_SEEN, Access
from bhyvesim.kernel.gpt.leaf import (
    ALL_ENTRIES,
    BIT,
    EMPTY,
    Leaf,
    build,
    classes,
    flags_of,
    lowest_bit,
    present,
    runs_of,
    without,
)
from bhyvesim.kernel.gpt.levels import ENTRIES, ENTRY_BITS, LEAF_SHIFT, LEAVES, REACH
from bhyvesim.kernel.gpt.steps import StepFunction
from bhyvesim.kernel.pte import PteFormat
from bhyvesim.prot import WRITE
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT

_SLOT = ENTRIES - 1


class HardwareBits(Enum):
    """When hardware sets accessed and dirty bits in EPT entries; on RVI it always does."""

    ALWAYS = "always"
    NEVER = "never"
    TRACKED = "only with dirty tracking"


class Backing(NamedTuple):
    """What the mapping over a page offers: the class of its new entries, and its protection."""

    cls: int
    prot: int


class Attempt(NamedTuple):
    """What accessing some entries of a leaf, each for itself, comes to."""

    leaf: Leaf | None
    added: int  # entries newly set
    refused: int  # entries whose access failed
    absent: int  # those of them that were not there, and were not set
    why_absent: str  # how these failed; the others' rights do not permit the access

    def fault(self, bit: int) -> str:
        """How the refused entry *bit* failed."""
        return self.why_absent if self.absent & bit else FC_PROT


class Agent:
    """Somebody who accesses pages: a vCPU, a device, an ioctl; and the bits that it leaves.

    *on_read* and *on_write* are or'ed into the entries of pages that it accessed.
    """

    __slots__ = ("after", "on_read", "on_write")

    def __init__(self, on_read: int, on_write: int) -> None:
        self.on_read = on_read
        self.on_write = on_write
        # Per wanted protection: class -> class after such an access, None if not permitted.
        self.after: tuple[dict[int, int | None], ...] = tuple({} for _ in range(8))


class Piece(NamedTuple):
    """Leaves ``[first, end)`` of one value, and which entries of each a page range covers."""

    first: int
    end: int
    mask: int
    leaf: Leaf | None


class Gpt(ABC):
    """One nested page table. Pages are page numbers (GPA >> 12), ranges half-open."""

    hardware_bits: ClassVar[HardwareBits] = HardwareBits.ALWAYS
    release_sets_accessed: ClassVar[bool] = True  # beside dirty, when a held page is released

    def __init__(self, kernel: Kernel, npt: PteFormat, *, track_dirty: bool = False) -> None:
        self.kernel = kernel
        self.npt = npt
        self.leaves: StepFunction[Leaf | None] = StepFunction(LEAVES, None)
        self.resident = 0  # the kernel's own counter of mapped pages
        # Leaves that exist twice: left behind by a panic of 15844 in the middle of populate.
        # The newer one is empty, and the only one that the entries above lead to.
        self.twins: tuple[int, ...] = ()
        self.tracking = track_dirty
        self.load_hardware_bits()

    def track(self, on: bool) -> None:
        """Dirty tracking on or off, for what software marks."""
        self.tracking = on
        self.__dict__.pop("device", None)

    @cached_property
    def device(self) -> Agent:
        """A device, which holds and releases pages: the release marks what was written."""
        marks = self.npt.dirty | (self.npt.accessed if self.release_sets_accessed else 0)
        return Agent(0, marks if self.tracking else 0)

    @cached_property
    def holder(self) -> Agent:
        """Maps, and marks nothing: a hold before its release, or the virtualised APIC."""
        return Agent(0, 0)

    @cached_property
    def dirty_setter(self) -> Agent:
        """VM_NPT_OPERATION's SET_DIRTY."""
        return Agent(0, self.npt.dirty)

    def load_hardware_bits(self) -> None:
        """Decide whether hardware sets accessed and dirty bits, as at create and at reinit.

        Source: vmx.c, where the EPTP with its A/D switch is computed.
        """
        self.set_hardware_bits(
            self.npt.name == "rvi"
            or self.hardware_bits is HardwareBits.ALWAYS
            or (self.hardware_bits is HardwareBits.TRACKED and self.tracking)
        )

    def set_hardware_bits(self, on: bool) -> None:
        """Hardware sets accessed and dirty bits from here on, or sets none."""
        if on == self.__dict__.get("sets_bits"):
            return
        self.sets_bits = on
        accessed, dirty = self.npt.accessed, self.npt.dirty
        self.vcpu = Agent(accessed, accessed | dirty) if on else Agent(0, 0)

    def fork(self, kernel: Kernel) -> Gpt:
        """Another page table with the same entries, under *kernel*."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)  # an Agent only remembers what follows from a class
        other.kernel = kernel
        other.leaves = self.leaves.copy()
        return other

    # What a revision decides.

    @abstractmethod
    def populate_region(self, span: Span) -> None:
        """A memmap over *span* is being made."""

    @abstractmethod
    def unmap_region(self, span: Span) -> None:
        """Zero the entries of *span*, as the revision reads its end."""

    @abstractmethod
    def vacate_region(self, span: Span) -> None:
        """Free the tables that nothing in *span* needs any more."""

    @abstractmethod
    def absent(self, leaf: Leaf | None, backing: Backing | None, prot: int) -> str | None:
        """How the fault handler ends for an absent entry; None: it maps the page."""

    # What they share.

    def make_leaves(self, pages: range) -> None:
        """Make the leaf tables of *pages* that are missing, empty and without a count."""
        for piece in self.pieces(pages):
            if piece.leaf is None:
                self.leaves.assign(piece.first, piece.end, EMPTY)

    def map_wired(self, pages: range, cls: int) -> None:
        """Put every page in the table at once; tables that are missing appear."""
        for piece in self.pieces(pages):
            leaf = piece.leaf or EMPTY
            missing = piece.mask & ~present(leaf)
            if missing:
                table = classes(leaf)
                table[cls] = table.get(cls, 0) | missing
                self.leaves.assign(piece.first, piece.end, build(leaf[0], table))
                self.resident += missing.bit_count() * (piece.end - piece.first)

    def access(
        self, pages: range, prot: int, backing: Backing | None, agent: Agent | None = None
    ) -> Access:
        """*agent* (a vCPU) accesses *pages* in ascending order, and stops at the first that fails.

        All of *pages* have the same *backing*, or none.
        """
        agent = agent or self.vcpu
        done = mapped = 0
        for piece in self.pieces(pages):
            tried = self._attempt(piece.leaf, piece.mask, prot, backing, agent)
            if tried.refused:
                stop = tried.refused & -tried.refused
                fault = tried.fault(stop)
                mask = piece.mask & (2 * stop - 1)
                tried = self._attempt(piece.leaf, mask, prot, backing, agent)
                self._store(piece.first, piece.first + 1, piece.leaf, tried)
                return Access(
                    done + (piece.mask & (stop - 1)).bit_count(),
                    mapped + tried.added.bit_count(),
                    fault,
                    (piece.first << LEAF_SHIFT) + (lowest_bit(stop) << PAGE_SHIFT),
                )
            self._store(piece.first, piece.end, piece.leaf, tried)
            done += piece.mask.bit_count() * (piece.end - piece.first)
            mapped += tried.added.bit_count() * (piece.end - piece.first)
        return Access(done, mapped)

    def access_page(self, page: int, prot: int, backing: Backing | None) -> Access:
        """:meth:`access` of one page by a vCPU, without the ceremony of ranges."""
        index, bit = page >> ENTRY_BITS, BIT[page & _SLOT]
        values, k, alone = self.leaves.locate(index)
        leaf = values[k]
        if alone and leaf is not None and len(leaf) == 3 and backing is not None:
            refcnt, cls, bits = leaf
            after = self.vcpu.after[prot]
            if bits & bit:
                if after.get(cls) == cls:
                    return ONE_SEEN
            elif after.get(backing.cls) == cls and not prot & ~backing.prot:
                values[k] = (refcnt, cls, bits | bit)
                self.resident += 1
                return ONE_MAPPED
        tried = self._attempt(leaf, bit, prot, backing, self.vcpu)
        self._store(index, index + 1, leaf, tried)
        if tried.refused:
            return Access(0, tried.added.bit_count(), tried.fault(bit), page << PAGE_SHIFT)
        return ONE_MAPPED if tried.added else ONE_SEEN

    def access_entries(
        self, index: int, mask: int, prot: int, backing: Backing | None, agent: Agent
    ) -> tuple[int, dict[int, str]]:
        """*agent* accesses the entries *mask* of leaf *index*, each for itself.

        Returns how many were newly set, and the faults by page number.
        """
        leaf = self.leaves[index]
        if backing is not None and not prot & ~backing.prot:
            after = agent.after[prot].get(backing.cls)
            if after is not None and (leaf is None or len(leaf) == 1):
                if self.absent(leaf, backing, prot) is None:
                    self.leaves.assign(index, index + 1, ((leaf or EMPTY)[0], after, mask))
                    self.resident += mask.bit_count()
                    return mask.bit_count(), {}
        tried = self._attempt(leaf, mask, prot, backing, agent)
        self._store(index, index + 1, leaf, tried)
        base = index << ENTRY_BITS
        faults = {
            base + slot: tried.fault(BIT[slot])
            for first, end in runs_of(tried.refused)
            for slot in range(first, end)
        }
        return tried.added.bit_count(), faults

    def access_each(self, pages: range, prot: int, backing: Backing | None, agent: Agent) -> None:
        """Access *pages*, each for itself; failures are passed over."""
        for piece in self.pieces(pages):
            tried = self._attempt(piece.leaf, piece.mask, prot, backing, agent)
            self._store(piece.first, piece.end, piece.leaf, tried)

    def first_absent(self, pages: range) -> int | None:
        """The first of *pages* without an entry; None if all have one."""
        for piece in self.pieces(pages):
            missing = piece.mask & ~present(piece.leaf or EMPTY)
            if missing:
                return (piece.first << ENTRY_BITS) + lowest_bit(missing)
        return None

    def count_absent(self, pages: range) -> int:
        """How many of *pages* have no entry."""
        return sum(
            (piece.mask & ~present(piece.leaf or EMPTY)).bit_count() * (piece.end - piece.first)
            for piece in self.pieces(pages)
        )

    def entry(self, page: int) -> int:
        """The leaf entry of *page*; 0 where none is set, or no table is there.

        As hardware finds it: of a table that exists twice, it reaches the empty one.
        """
        index = page >> ENTRY_BITS
        leaf = None if index in self.twins else self.leaves[index]
        bit = BIT[page & _SLOT]
        for cls, bits in classes(leaf or EMPTY).items():
            if bits & bit:
                return cls + (page << PAGE_SHIFT)
        return 0

    def has_leaf(self, gpa: int) -> bool:
        """Whether there is a leaf table over *gpa*."""
        return 0 <= gpa < REACH and self.leaves[gpa >> LEAF_SHIFT] is not None

    def pieces(self, pages: range) -> Iterator[Piece]:
        """The leaves of *pages*: a partial first, runs of whole ones, a partial last.

        The caller may change the leaves of a piece before it asks for the next.
        """
        lo, hi = pages.start, pages.stop
        if lo >= hi:
            return
        first, last = lo >> ENTRY_BITS, (hi - 1) >> ENTRY_BITS
        head = ALL_ENTRIES << (lo & _SLOT) & ALL_ENTRIES
        tail = ALL_ENTRIES >> (_SLOT - ((hi - 1) & _SLOT))
        if first == last:
            yield Piece(first, first + 1, head & tail, self.leaves[first])
            return
        whole_first = first + (head != ALL_ENTRIES)
        whole_end = last + (tail == ALL_ENTRIES)
        if whole_first > first:
            yield Piece(first, first + 1, head, self.leaves[first])
        if whole_first < whole_end:
            for start, end, leaf in self.leaves.runs(whole_first, whole_end):
                yield Piece(start, end, ALL_ENTRIES, leaf)
        if whole_end == last:
            yield Piece(last, last + 1, tail, self.leaves[last])

    def clear(self, pages: range) -> int:
        """Zero the entries of *pages* where there are tables; return how many were set."""
        cleared = 0
        for piece in self.pieces(pages):
            if piece.leaf is not None and (gone := present(piece.leaf) & piece.mask):
                self.leaves.assign(piece.first, piece.end, without(piece.leaf, piece.mask))
                cleared += gone.bit_count() * (piece.end - piece.first)
        return cleared

    def _store(self, first: int, end: int, before: Leaf | None, tried: Attempt) -> None:
        if tried.leaf != before:
            self.leaves.assign(first, end, tried.leaf)
        self.resident += tried.added.bit_count() * (end - first)

    def _attempt(
        self, leaf: Leaf | None, mask: int, prot: int, backing: Backing | None, agent: Agent
    ) -> Attempt:
        """Access the entries *mask* of *leaf*, each for itself; changes nothing stored."""
        table = {} if leaf is None else classes(leaf)
        refused = seen = 0
        for cls, bits in list(table.items()):
            hit = bits & mask
            if hit:
                seen |= hit
                after = self._class_after(cls, prot, agent)
                if after is None:
                    refused |= hit
                elif after != cls:
                    table[cls] &= ~hit
                    table[after] = table.get(after, 0) | hit
        missing = mask & ~seen
        absent = 0
        why = FC_NOMAP
        if missing:
            found = self.absent(leaf, backing, prot)
            if found is not None or backing is None:
                why = found or FC_NOMAP
                absent = missing
                refused |= missing
                missing = 0
            else:
                after = self._class_after(backing.cls, prot, agent)
                if after is None:  # mapped all the same; the retry then fails
                    refused |= missing
                    after = backing.cls
                table[after] = table.get(after, 0) | missing
        if leaf is None and not table:
            return Attempt(None, 0, refused, absent, why)
        return Attempt(build(leaf[0] if leaf else 0, table), missing, refused, absent, why)

    def _class_after(self, cls: int, prot: int, agent: Agent) -> int | None:
        """The class of an entry after an access; None where its rights refuse it."""
        known = agent.after[prot]
        if cls not in known:
            after: int | None = None
            if not prot & ~self.npt.prot(flags_of(cls)):
                after = cls | (agent.on_write if prot & WRITE else agent.on_read)
            known[cls] = after
        return known[cls]
