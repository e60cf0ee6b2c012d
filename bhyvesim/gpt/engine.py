"""The nested page table of one vmspace: what all revisions of vmm_gpt.c have in common.

Only the leaf tables are stored, as a step function from leaf index (GPA >> 21) to the
leaf's value; the interior tables follow from which leaves exist (:mod:`.rows`). A range
operation costs per run of equal leaves, whatever the number of pages.

What differs from revision to revision (which tables appear when, how they go, what an
absent entry means) is in :mod:`bhyvesim.gpt.revisions`, one file each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from enum import Enum
from typing import ClassVar, NamedTuple

from bhyvesim.gpt.leaf import (
    ALL_ENTRIES,
    BIT,
    EMPTY,
    Leaf,
    build,
    classes,
    flags_of,
    present,
    runs_of,
    without,
)
from bhyvesim.gpt.levels import ENTRIES, ENTRY_BITS, LEAVES
from bhyvesim.gpt.steps import StepFunction
from bhyvesim.kernel import Kernel
from bhyvesim.prot import WRITE
from bhyvesim.pte import PteFormat
from bhyvesim.span import Span
from bhyvesim.units import PAGE_SHIFT

_SLOT = ENTRIES - 1


class Fault(Enum):
    """How an access fails. HOLE is for the vmspace to judge: a table, but no mapping."""

    NOMAP = "FC_NOMAP"
    PROT = "FC_PROT"
    HOLE = "hole"


class HardwareBits(Enum):
    """When hardware sets accessed and dirty bits in EPT entries; on RVI it always does."""

    ALWAYS = "always"
    NEVER = "never"
    TRACKED = "only with dirty tracking"


class Backing(NamedTuple):
    """What the mapping over a page offers: the class of its new entries, and its protection."""

    cls: int
    prot: int


class Touched(NamedTuple):
    """Pages accessed before the first failure, entries newly set, and that failure."""

    done: int
    mapped: int
    fault: Fault | None


ONE_SEEN = Touched(1, 0, None)
ONE_MAPPED = Touched(1, 1, None)


class Attempt(NamedTuple):
    """What accessing some entries of a leaf, each for itself, comes to."""

    leaf: Leaf | None
    added: int  # entries newly set
    refused: int  # entries whose access failed
    fault: Fault  # how they failed


class Piece(NamedTuple):
    """Leaves ``[first, end)`` of one value, and which entries of each a page range covers."""

    first: int
    end: int
    mask: int
    leaf: Leaf | None


class Gpt(ABC):
    """One nested page table. Pages are page numbers (GPA >> 12), ranges half-open."""

    hardware_bits: ClassVar[HardwareBits] = HardwareBits.ALWAYS

    def __init__(self, kernel: Kernel, npt: PteFormat, *, track_dirty: bool = False) -> None:
        self.kernel = kernel
        self.npt = npt
        self.leaves: StepFunction[Leaf | None] = StepFunction(LEAVES, None)
        self.resident = 0  # the kernel's own counter of mapped pages
        # Leaves that exist twice: left behind by a panic of 15844 in the middle of populate.
        self.twins: tuple[int, ...] = ()
        self.sets_bits = (
            npt.name == "rvi"
            or self.hardware_bits is HardwareBits.ALWAYS
            or (self.hardware_bits is HardwareBits.TRACKED and track_dirty)
        )
        # Per wanted protection: class -> class after such an access, None if not permitted.
        self._after: tuple[dict[int, int | None], ...] = tuple({} for _ in range(8))

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
    def absent(self, leaf: Leaf | None, backing: Backing | None, prot: int) -> Fault | None:
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

    def access(self, pages: range, prot: int, backing: Backing | None) -> Touched:
        """The guest touches *pages* in ascending order, and stops at the first that fails.

        All of *pages* have the same *backing*, or none.
        """
        done = mapped = 0
        for piece in self.pieces(pages):
            tried = self._attempt(piece.leaf, piece.mask, prot, backing)
            if tried.refused:
                stop = tried.refused & -tried.refused
                tried = self._attempt(piece.leaf, piece.mask & (2 * stop - 1), prot, backing)
                self._store(piece.first, piece.first + 1, piece.leaf, tried)
                return Touched(
                    done + (piece.mask & (stop - 1)).bit_count(),
                    mapped + tried.added.bit_count(),
                    tried.fault,
                )
            self._store(piece.first, piece.end, piece.leaf, tried)
            done += piece.mask.bit_count() * (piece.end - piece.first)
            mapped += tried.added.bit_count() * (piece.end - piece.first)
        return Touched(done, mapped, None)

    def access_page(self, page: int, prot: int, backing: Backing | None) -> Touched:
        """:meth:`access` of one page, without the ceremony of ranges."""
        index, bit = page >> ENTRY_BITS, BIT[page & _SLOT]
        values, k, alone = self.leaves.locate(index)
        leaf = values[k]
        if alone and leaf is not None and len(leaf) == 3 and backing is not None:
            refcnt, cls, bits = leaf
            after = self._after[prot]
            if bits & bit:
                if after.get(cls) == cls:
                    return ONE_SEEN
            elif after.get(backing.cls) == cls and not prot & ~backing.prot:
                values[k] = (refcnt, cls, bits | bit)
                self.resident += 1
                return ONE_MAPPED
        added, tried = self._access_leaf(index, leaf, bit, prot, backing)
        if tried.refused:
            return Touched(0, added, tried.fault)
        return ONE_MAPPED if added else ONE_SEEN

    def access_entries(
        self, index: int, mask: int, prot: int, backing: Backing | None
    ) -> tuple[int, dict[int, Fault]]:
        """Touch the entries *mask* of leaf *index*, each for itself.

        Returns how many were newly set, and the faults by page number.
        """
        leaf = self.leaves[index]
        if backing is not None and not prot & ~backing.prot:
            after = self._after[prot].get(backing.cls)
            if after is not None and (leaf is None or len(leaf) == 1):
                if self.absent(leaf, backing, prot) is None:
                    self.leaves.assign(index, index + 1, ((leaf or EMPTY)[0], after, mask))
                    self.resident += mask.bit_count()
                    return mask.bit_count(), {}
        added, tried = self._access_leaf(index, leaf, mask, prot, backing)
        base = index << ENTRY_BITS
        faults = {
            base + slot: tried.fault
            for first, end in runs_of(tried.refused)
            for slot in range(first, end)
        }
        return added, faults

    def entry(self, page: int) -> int:
        """The leaf entry of *page*; 0 where none is set, or no table is there."""
        leaf = self.leaves[page >> ENTRY_BITS]
        bit = BIT[page & _SLOT]
        for cls, bits in classes(leaf or EMPTY).items():
            if bits & bit:
                return cls + (page << PAGE_SHIFT)
        return 0

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

    def _access_leaf(
        self, index: int, leaf: Leaf | None, mask: int, prot: int, backing: Backing | None
    ) -> tuple[int, Attempt]:
        """Access entries of the one leaf *index*; returns how many were newly set."""
        tried = self._attempt(leaf, mask, prot, backing)
        self._store(index, index + 1, leaf, tried)
        return tried.added.bit_count(), tried

    def _store(self, first: int, end: int, before: Leaf | None, tried: Attempt) -> None:
        if tried.leaf != before:
            self.leaves.assign(first, end, tried.leaf)
        self.resident += tried.added.bit_count() * (end - first)

    def _attempt(self, leaf: Leaf | None, mask: int, prot: int, backing: Backing | None) -> Attempt:
        """Access the entries *mask* of *leaf*, each for itself; changes nothing stored."""
        table = {} if leaf is None else classes(leaf)
        refused = seen = 0
        for cls, bits in list(table.items()):
            hit = bits & mask
            if hit:
                seen |= hit
                after = self._class_after(cls, prot)
                if after is None:
                    refused |= hit
                elif after != cls:
                    table[cls] &= ~hit
                    table[after] = table.get(after, 0) | hit
        missing = mask & ~seen
        # Where absent entries cannot be mapped, a present one was refused by the same
        # protection; so one fault is right for all of them.
        fault = Fault.PROT
        if missing:
            absent = self.absent(leaf, backing, prot)
            if absent is not None or backing is None:
                fault = absent or Fault.NOMAP
                refused |= missing
                missing = 0
            else:
                after = self._class_after(backing.cls, prot)
                if after is None:  # mapped all the same; the retry then fails
                    refused |= missing
                    after = backing.cls
                table[after] = table.get(after, 0) | missing
        if leaf is None and not table:
            return Attempt(None, 0, refused, fault)
        return Attempt(build(leaf[0] if leaf else 0, table), missing, refused, fault)

    def _class_after(self, cls: int, prot: int) -> int | None:
        """The class of an entry after an access; None where hardware refuses it."""
        known = self._after[prot]
        if cls not in known:
            after: int | None = None
            if not prot & ~self.npt.prot(flags_of(cls)):
                after = cls
                if self.sets_bits:
                    after |= self.npt.accessed | (self.npt.dirty if prot & WRITE else 0)
            known[cls] = after
        return known[cls]
