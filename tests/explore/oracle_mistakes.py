"""Twenty small slips, each planted in the naive oracle: what a patch might get wrong."""

from __future__ import annotations

from bisect import bisect_right

from tests.oracle import (
    BASE,
    GET_DIRTY,
    OLD,
    PAGE,
    RESET_DIRTY,
    SPAN,
    TOP,
    UNCOUNTED,
    WRITE,
    Node,
    Oracle,
    errno,
)


class CountsOnePageLess(Oracle):
    """The end of a region is taken as its last page."""

    def populate(self, m):
        super().populate(m)
        if self.rev not in (*OLD, *UNCOUNTED, "15844"):
            self.leaf(m["gpa"] + m["len"] - PAGE).refcnt -= 1


class UnmapsOnePageMore(Oracle):
    """Bug 14042, in every revision from there on."""

    def unmap(self, m):
        longer = m if self.rev == "13932" or m is self.apic else {**m, "len": m["len"] + PAGE}
        super().unmap(longer)


class UnmapsOnePageLess(Oracle):
    def unmap(self, m):
        super().unmap({**m, "len": m["len"] - PAGE} if m["len"] > PAGE else m)


class NoDirtyBit(Oracle):
    """A write sets the accessed bit alone."""

    def hardware_bits(self, prot):
        return super().hardware_bits(prot & ~WRITE)


class AccessedBitOfTheOther(Oracle):
    """EPT entries have RVI's accessed bit."""

    def accessed_bit(self):
        return 1 << 5


class SlotsBeforeArguments(Oracle):
    """With all slots taken, ENOSPC comes before EINVAL."""

    def mmap_memseg(self, gpa, segid, segoff, len, prot, wired=False):
        if None not in self.slots:
            raise errno("ENOSPC")
        super().mmap_memseg(gpa, segid, segoff, len, prot, wired)


class LeafFreedTooLate(Oracle):
    """A leaf goes with the operation after the one that emptied it."""

    late = ()

    def op(self, op, **keys):
        if op not in ("dump", "stats"):
            for leaf in self.late:
                leaf.refcnt = 0
            self.late = ()
        return super().op(op, **keys)

    def unmap(self, m):
        leaf = self.leaf(m["gpa"])
        alone = leaf and self.rev not in UNCOUNTED and leaf.refcnt == m["len"] // PAGE
        if alone and m is not self.apic:
            leaf.refcnt += 1
            self.late = (leaf,)
        super().unmap(m)


class ParentsStay(Oracle):
    """Only the leaf itself is freed, not what it leaves empty."""

    def unmap(self, m):
        before = list(self.nodes())
        super().unmap(m)
        after = set(self.nodes())
        for node in before:
            if node.level > 1 and node not in after:
                again = self.child(node.parent, node.base)
                if again is None:
                    self.add(node.parent, node.base)


class NewerTwinBehind(Oracle):
    """Of two leaves of one address, the older one stands first."""

    def add(self, parent, gpa):
        base = gpa // SPAN[parent.level - 1] * SPAN[parent.level - 1]
        new = Node(parent.level - 1, base, parent)
        parent.children.insert(bisect_right(parent.children, base, key=BASE), new)
        parent.table[base] = new
        parent.refcnt += 1
        return new


class UnmapsByAddressAlone(Oracle):
    """The length of a munmap is not looked at."""

    def munmap_memseg(self, gpa, len):
        for m in self.slots:
            if m and m["gpa"] == gpa:
                len = m["len"]
        super().munmap_memseg(gpa, len)


class ReinitKeepsFramebuffers(Oracle):
    """Only the ROM goes."""

    def reinit(self):
        names = {segid: seg[1] for segid, seg in self.segs.items()}
        kept = [s if s and names[s["segid"]] == "fbuf" else None for s in self.slots]
        self.slots = [None if k else s for s, k in zip(self.slots, kept, strict=True)]
        super().reinit()
        self.slots = [k or s for s, k in zip(self.slots, kept, strict=True)]


class EveryReleaseIsDirty(Oracle):
    """Also of a hold that could only read."""

    def vmp_release(self, page, prot, dirty):
        super().vmp_release(page, prot | WRITE, dirty)


class HoldsAreCountedAnew(Oracle):
    """The ids of holds begin again once all are released."""

    def release(self, id, dirty=True):
        result = super().release(id, dirty)
        if not self.held:
            self.next_id = 1
        return result


class NextPfnIsBehindTheLast(Oracle):
    """The next segment comes after the last one, not after all."""

    def alloc_memseg(self, segid, len, name, host_pfn=None):
        super().alloc_memseg(segid, len, name, host_pfn)
        self.next_pfn = self.segs[segid][2] + len // PAGE


class NeighboursOverlap(Oracle):
    """A memmap may not begin where another ends."""

    def mmap_memseg(self, gpa, segid, segoff, len, prot, wired=False):
        if (
            any(m["gpa"] + m["len"] == gpa for m in self.mappings())
            and gpa < TOP
            and len % PAGE == 0
        ):
            raise errno("EFAULT")
        super().mmap_memseg(gpa, segid, segoff, len, prot, wired)


class NoExecuteForgotten(Oracle):
    """RVI: NX is not looked at."""

    def permits(self, pte):
        return super().permits(pte & ~(1 << 63))


class BitsFromTheTop(Oracle):
    """Bit 7 of a byte is its first page."""

    def track_dirty_pages(self, gpa, len):
        result = super().track_dirty_pages(gpa, len)
        flipped = bytes(int(f"{b:08b}"[::-1], 2) for b in bytes.fromhex(result["bitmap"]))
        return {"bitmap": flipped.hex()}


class GetResets(Oracle):
    """GET_DIRTY clears what it reads."""

    def one_page(self, operation, leaf, page):
        return super().one_page(RESET_DIRTY if operation == GET_DIRTY else operation, leaf, page)


class TrackingAtOnce(Oracle):
    """The EPTP follows a switch of dirty tracking before the next reinit."""

    def npt_operation(self, operation, gpa, len, bits, takes):
        result = super().npt_operation(operation, gpa, len, bits, takes)
        self.eptp_tracks = self.track
        return result


class OffsetForgotten(Oracle):
    """Pages are counted from the beginning of the segment, whatever segoff says."""

    def page_of(self, m, gpa):
        return super().page_of(m if m is self.apic else {**m, "segoff": 0}, gpa)


MISTAKES = {
    cls.__name__: cls for cls in list(globals().values()) if Oracle in getattr(cls, "__bases__", ())
}
