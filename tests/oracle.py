"""A deliberately naive model of the kernel's guest memory: page by page, node by node.

Written from the facts (docs/guest-memory.md), not from the engine; it shares no code
with it. Slow on purpose: keep spans to a few leaves.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import attrgetter

PAGE = 4096
SPAN = {1: 1 << 21, 2: 1 << 30, 3: 1 << 39, 4: 1 << 48}
READ, WRITE, EXEC = 1, 2, 4
REVISIONS = ("13932", "14042", "13896", "14367", "15844", "2025")
OLD = REVISIONS[:2]
UNCOUNTED = REVISIONS[:3]
SINCE = {"hold": "13896", "release": "13896", "track_dirty_pages": "14367", "npt_op": "2025"}
TOP = 1 << 46
APIC = {"gpa": 0xFEE00000, "len": PAGE, "prot": READ | WRITE}
APIC_PFN = 0xFFFFF
RESET_DIRTY, SET_DIRTY, GET_DIRTY = 1, 2, 3
GET_TRACK_DIRTY, EN_TRACK_DIRTY, DIS_TRACK_DIRTY = 0x20, 0x21, 0x22
BITMAP_IN, BITMAP_OUT = 1 << 30, 1 << 31
BASE = attrgetter("base")


class Stop(Exception):
    """An operation ends early: its result, and the state that it leaves the machine in."""

    def __init__(self, result, state="running"):
        super().__init__(result)
        self.result, self.state = result, state


def errno(name):
    return Stop({"error": name})


def panic(function, message):
    return Stop({"panic": {"function": function, "message": message}}, "PANICKED")


def hang(function):
    return Stop({"hang": {"function": function}}, "HUNG")


class Node:
    """A table: *children* is the tree that the kernel keeps, *table* what the hardware walks.

    They differ only where 15844 adds a leaf twice: both are children, the entry has the new one.
    """

    def __init__(self, level, base, parent):
        self.level, self.base, self.parent = level, base, parent
        self.refcnt = 0
        self.children = []
        self.table = {}
        self.ptes = {}

    @property
    def end(self):
        return self.base + SPAN[self.level]

    def entries(self):
        return len(self.ptes) if self.level == 1 else len(self.table)


def bitmap_size(pages):
    """A bit a page, in whole bytes."""
    return (pages + 7) // 8


def user_bitmap(pages, takes, given):
    """The bitmap of an npt_op: zeros, or as the caller gives it (hex)."""
    size = bitmap_size(pages)
    if size == 0:
        raise errno("EINVAL")
    if size > 8 * PAGE:
        raise errno("E2BIG")
    if not takes:
        return bytearray(size)
    bits = bytearray.fromhex(given or "")
    if len(bits) < size:
        raise errno("EFAULT")
    return bits[:size]


class Oracle:
    def __init__(self, gpt, debug, npt, track_dirty=False, apicv=False):
        self.rev, self.debug, self.npt, self.track = gpt, debug, npt, track_dirty
        self.eptp_tracks = track_dirty
        self.root = Node(4, 0, None)
        self.segs = {}
        self.slots = [None] * 8
        self.resident = 0
        self.next_pfn = 0x100000
        self.state = "running"
        self.held = {}
        self.next_id = 1
        self.apic = APIC if apicv else None
        if self.apic:
            self.populate(self.apic)

    def since(self, rev):
        return REVISIONS.index(self.rev) >= REVISIONS.index(rev)

    # Operations, with results as replay prints them.

    def op(self, op, **keys):
        if self.state == "ENOENT":
            return {"error": "ENOENT"}
        if op == "dump":
            return {"ok": 0, **self.dump()}
        if self.state != "running":
            return {"error": self.state}
        if op in SINCE and not self.since(SINCE[op]):
            return {"error": "ENOTTY"}
        try:
            return {"ok": 0, **(getattr(self, op)(**keys) or {})}
        except Stop as stop:
            self.state = stop.state
            return stop.result

    def alloc_memseg(self, segid, len, name, host_pfn=None):
        if not 0 <= segid < (5 if self.since("15844") else 4):
            raise errno("EINVAL")
        if len == 0 or len % PAGE:
            raise errno("EINVAL")
        if segid in self.segs:
            old_len, old_name, _ = self.segs[segid]
            same = old_len == len and bool(old_name) == bool(name)
            raise errno("EEXIST" if same else "EINVAL")
        pfn = self.next_pfn if host_pfn is None else host_pfn
        self.segs[segid] = (len, name, pfn)
        self.next_pfn = max(self.next_pfn, pfn + len // PAGE)

    def mmap_memseg(self, gpa, segid, segoff, len, prot, wired=False):
        if prot == 0 or prot & ~7:
            raise errno("EINVAL")
        if segid not in self.segs:
            raise errno("EINVAL")
        if segoff < 0 or segoff >= segoff + len or segoff + len > self.segs[segid][0]:
            raise errno("EINVAL")
        if gpa % PAGE or segoff % PAGE or (segoff + len) % PAGE:
            raise errno("EINVAL")
        if None not in self.slots:
            raise errno("ENOSPC")
        if gpa >= TOP if self.rev in OLD else gpa + len >= TOP:
            raise errno("EFAULT")
        for m in self.mappings():
            if gpa < m["gpa"] + m["len"] and m["gpa"] < gpa + len:
                raise errno("EFAULT")
        new = {"gpa": gpa, "len": len, "segid": segid, "segoff": segoff, "prot": prot}
        new["wired"] = int(wired)
        self.populate(new)
        if wired:
            for page in range(gpa, gpa + len, PAGE):
                self.set_pte(page, new)
        self.slots[self.slots.index(None)] = new

    def munmap_memseg(self, gpa, len):
        for slot, m in enumerate(self.slots):
            if m is None and (gpa, len) == (0, 0):
                return
            if m and (m["gpa"], m["len"]) == (gpa, len):
                self.free(slot)
                return
        raise errno("EINVAL")

    def reinit(self):
        if self.apic:
            self.unmap(self.apic)
        for slot, m in enumerate(self.slots):
            if m and self.segs[m["segid"]][1]:
                self.free(slot)
        if self.apic:
            self.populate(self.apic)
        # The EPTP, with its switch for accessed and dirty bits, is computed anew.
        self.eptp_tracks = self.track

    def destroy(self):
        if self.apic:
            self.unmap(self.apic)
        for slot, m in enumerate(self.slots):
            if m:
                self.free(slot)
        self.state = "ENOENT"
        return {"leaked_nodes": len(list(self.nodes())) - 1}

    def access(self, gpa, npages, prot, by="vcpu"):
        before = self.resident
        done = 0
        for page in range(gpa // PAGE * PAGE, gpa // PAGE * PAGE + npages * PAGE, PAGE):
            fault = self.touch(page, prot) if by == "vcpu" else self.device(page, prot)
            if fault:
                mapped = self.resident - before
                return {"ok": done, "mapped": mapped, "fault": fault, "gpa": page}
            done += 1
        return {"ok": done, "mapped": self.resident - before}

    def hold(self, gpa, prot):
        page = gpa // PAGE * PAGE
        if not self.vmc_hold(page, prot):
            raise Stop({"fault": "FC_NOMAP", "gpa": page})
        hold_id = self.next_id
        self.held[hold_id] = page, prot
        self.next_id += 1
        return {"ok": hold_id}

    def release(self, id, dirty=True):
        if id not in self.held:
            raise errno("EINVAL")
        page, prot = self.held.pop(id)
        self.vmp_release(page, prot, dirty)
        return {"unmapped": False}  # whatever would unmap it never returns

    def npt_op(self, gpa, len, operation, bitmap=None):
        if gpa % PAGE or len % PAGE:
            raise errno("EINVAL")
        if (1 << 64) - 1 - len < gpa:
            raise errno("EOVERFLOW")
        takes, gives = operation & BITMAP_IN, operation & BITMAP_OUT
        bits = user_bitmap(len // PAGE, takes, bitmap) if takes or gives else None
        result = self.npt_operation(operation & ~(BITMAP_IN | BITMAP_OUT), gpa, len, bits, takes)
        return {"ok": result, "bitmap": bits.hex()} if gives else {"ok": result}

    def track_dirty_pages(self, gpa, len):
        if gpa % PAGE:
            raise errno("EINVAL")
        if len == 0:
            return {"bitmap": ""}
        if len % PAGE or len > 1 << 30:
            raise errno("EINVAL")
        if self.since("15844") and not self.track:
            raise errno("EPERM")
        bits = bytearray(bitmap_size(len // PAGE))
        self.each_page(RESET_DIRTY, gpa, len, bits, False)
        return {"bitmap": bits.hex()}

    def stats(self):
        counted = self.resident * PAGE
        if self.rev in OLD:
            return {"resident_bytes": 0, "wired_bytes": counted}
        return {"resident_bytes": counted, "wired_bytes": None}

    # Guest accesses.

    def mappings(self):
        """What the vmspace maps: the memmaps, and the APIC access page, which has no slot."""
        return [m for m in (*self.slots, self.apic) if m]

    def mapping(self, gpa):
        for m in self.mappings():
            if m["gpa"] <= gpa < m["gpa"] + m["len"]:
                # A memmap of the old revisions may reach past the end of the vmspace, where
                # the lookup by address finds nothing.
                return None if self.rev in OLD and gpa >= TOP else m
        return None

    def allocated(self, gpa):
        """vm_mem_allocated(), or the APIC access page: only the list is asked, not the tables."""
        return any(m["gpa"] <= gpa < m["gpa"] + m["len"] for m in self.mappings())

    def touch(self, gpa, prot):
        for _ in range(2):
            leaf = self.leaf(gpa)
            pte = leaf.ptes.get(gpa, 0) if leaf else 0
            if pte and not prot & ~self.permits(pte):
                if not (self.apic and gpa == APIC["gpa"]):  # virtualised: no bits are set there
                    leaf.ptes[gpa] = pte | self.hardware_bits(prot)
                return None
            if not self.allocated(gpa):
                return "FC_NOMAP"  # emulated as MMIO, never a fault
            fault = self.fault(gpa, prot, leaf, pte)
            if fault:
                return fault
        raise RuntimeError("the fault handler never ends")

    def fault(self, gpa, prot, leaf, pte):
        if self.rev in OLD:
            if pte:
                return "FC_PROT"
            m = self.mapping(gpa)
            if m is None:
                return "FC_NOMAP"
            self.set_pte(gpa, m)
            return None
        if leaf is None:
            return "FC_NOMAP"
        if pte:
            return "FC_PROT"
        m = self.lookup_map(gpa)
        if m is None:
            return "FC_NOMAP"
        if prot & ~m["prot"]:
            return "FC_PROT"
        self.set_pte(gpa, m)
        return None

    def lookup_map(self, gpa):
        m = self.mapping(gpa)
        if m is None and self.rev == "13896":
            raise panic(
                "vmspace_lookup_map",
                "assertion failed: vmsm != NULL, file: ../../i86pc/io/vmm/vmm_vm.c, line: 714",
            )
        return m

    # Accesses by devices, and holds.

    def device(self, gpa, prot):
        if self.rev in OLD:
            return None if self.vm_gpa_hold(gpa, prot) else "FC_NOMAP"
        if not self.vmc_hold(gpa, prot):
            return "FC_NOMAP"
        self.vmp_release(gpa, prot, True)
        return None

    def vm_gpa_hold(self, gpa, prot):
        """By slot, then by address; the page tables are not looked at."""
        if not any(m and m["gpa"] <= gpa < m["gpa"] + m["len"] for m in self.slots):
            return False
        m = self.mapping(gpa)
        return m is not None and not prot & ~m["prot"]

    def vmc_hold(self, gpa, prot):
        leaf = self.leaf(gpa)
        if leaf is None:
            return False
        if gpa in leaf.ptes:
            return not prot & ~self.permits(leaf.ptes[gpa])
        m = self.lookup_map(gpa)
        if m is None or prot & ~m["prot"]:
            return False
        self.set_pte(gpa, m)
        return True

    def vmp_release(self, gpa, prot, dirty):
        if not prot & WRITE or not self.track:
            return
        if self.since("15844") and not dirty:
            return
        leaf = self.leaf(gpa)
        leaf.ptes[gpa] |= self.dirty_bit()
        if not self.since("2025"):
            leaf.ptes[gpa] |= self.accessed_bit()

    # Dirty bits for whoever asks.

    def npt_operation(self, operation, gpa, len, bits, takes):
        if operation in (RESET_DIRTY, SET_DIRTY, GET_DIRTY):
            self.each_page(operation, gpa, len, bits, takes)
        elif operation == GET_TRACK_DIRTY:
            return int(self.track)
        elif operation in (EN_TRACK_DIRTY, DIS_TRACK_DIRTY):
            self.track = operation == EN_TRACK_DIRTY
        else:
            raise errno("EINVAL")
        return 0

    def each_page(self, operation, gpa, len, bits, takes):
        """Only pages that have a leaf table are visited: the bits of others stay."""
        for leaf in self.hardware_leaves():
            for page in range(max(gpa, leaf.base), min(gpa + len, leaf.end), PAGE):
                byte, bit = divmod((page - gpa) // PAGE, 8)
                if takes and not bits[byte] >> bit & 1:
                    continue
                found = self.one_page(operation, leaf, page)
                if bits is not None:
                    bits[byte] = bits[byte] & ~(1 << bit) | found << bit

    def one_page(self, operation, leaf, page):
        dirty = self.dirty_bit()
        m = self.mapping(page)
        if operation == SET_DIRTY and page not in leaf.ptes and m and m["prot"] & WRITE:
            self.set_pte(page, m)
        pte = leaf.ptes.get(page, 0)
        was_dirty = bool(pte & dirty)
        if operation == SET_DIRTY:
            if was_dirty or not pte or not self.permits(pte) & WRITE:
                return False
            leaf.ptes[page] = pte | dirty
            return True
        if operation == RESET_DIRTY and was_dirty:
            leaf.ptes[page] = pte & ~dirty
        return was_dirty

    # Entries.

    def accessed_bit(self):
        return 1 << 5 if self.npt == "rvi" else 1 << 8

    def dirty_bit(self):
        return 1 << 6 if self.npt == "rvi" else 1 << 9

    def permits(self, pte):
        if self.npt == "ept":
            return pte & 7
        return READ | (pte & 2) | (0 if pte >> 63 else EXEC)

    def hardware_bits(self, prot):
        if self.npt == "ept":
            if self.rev in ("13896", "14367"):
                return 0
            if self.since("15844") and not self.eptp_tracks:
                return 0
        return self.accessed_bit() | (self.dirty_bit() if prot & WRITE else 0)

    def set_pte(self, gpa, m):
        if self.rev in OLD and self.debug and self.npt == "rvi" and not m["prot"] & READ:
            raise panic(
                "rvi_ops_map",
                "assertion failed: (prot & PROT_READ) != 0, "
                "file: ../../i86pc/io/vmm/vmm_sol_rvi.c, line: 221",
            )
        leaf = self.make_leaf(gpa)
        if gpa in leaf.ptes:
            return
        leaf.ptes[gpa] = self.page_of(m, gpa)
        self.resident += 1

    def page_of(self, m, gpa):
        if m is self.apic:
            return APIC_PFN * PAGE | m["prot"]  # uncached: no memory type in bits 3-5
        pfn = self.segs[m["segid"]][2] + (m["segoff"] + gpa - m["gpa"]) // PAGE
        if self.npt == "ept":
            return pfn * PAGE | 0x30 | m["prot"]
        return pfn * PAGE | 0x25 | (m["prot"] & WRITE) | (0 if m["prot"] & EXEC else 1 << 63)

    # Taking memmaps away.

    def free(self, slot):
        self.unmap(self.slots[slot])
        self.slots[slot] = None

    def unmap(self, m):
        if self.held:
            raise hang("vmc_space_unmap")
        end = m["gpa"] + m["len"] + (PAGE if self.rev == "13932" else 0)
        pages = range(m["gpa"], end, PAGE)
        for page in pages:
            leaf = self.leaf(page)
            if leaf and leaf.ptes.pop(page, None) and self.rev in OLD:
                self.resident -= 1
        for page in pages:
            leaf = self.leaf(page)
            if leaf is None:
                continue
            if self.rev not in UNCOUNTED:
                leaf.refcnt -= 1
            elif self.debug and leaf.ptes:
                pte = leaf.ptes[min(leaf.ptes)]
                line = 443 if self.rev == "13896" else 441
                raise panic(
                    "vmm_gpt_vacate_entry",
                    f"assertion failed: ptes[i] == 0 ({pte:#x} == 0x0), "
                    f"file: ../../i86pc/io/vmm/vmm_gpt.c, line: {line}",
                )
            node = leaf
            while node.parent and node.refcnt == 0:
                node.parent.children.remove(node)
                del node.parent.table[node.base]
                node.parent.refcnt -= 1
                node = node.parent

    # The tree.

    def child(self, node, gpa):
        return node.table.get(gpa // SPAN[node.level - 1] * SPAN[node.level - 1])

    def leaf(self, gpa):
        node = self.root
        while node and node.level > 1:
            node = self.child(node, gpa)
        return node

    def make_leaf(self, gpa):
        node = self.root
        while node.level > 1:
            node = self.child(node, gpa) or self.add(node, gpa)
        return node

    def add(self, parent, gpa):
        base = gpa // SPAN[parent.level - 1] * SPAN[parent.level - 1]
        new = Node(parent.level - 1, base, parent)
        # Before one of the same base: the newer of two stands first.
        parent.children.insert(bisect_left(parent.children, base, key=BASE), new)
        parent.table[base] = new
        parent.refcnt += 1
        return new

    def populate(self, m):
        """Tables for a new mapping, in the revisions that make them before they are needed."""
        if self.rev == "15844":
            self.populate_by_level(m["gpa"], m["gpa"] + m["len"])
        elif self.rev not in OLD:
            for page in range(m["gpa"], m["gpa"] + m["len"], PAGE):
                leaf = self.make_leaf(page)
                if self.rev not in UNCOUNTED:
                    leaf.refcnt += 1

    def populate_by_level(self, start, end):
        for level in (3, 2, 1):
            previous = None
            for base in range(start // SPAN[level] * SPAN[level], end, SPAN[level]):
                parent = self.root
                while parent.level > level + 1:
                    parent = self.child(parent, base)
                node = self.step(previous) if previous else self.child(parent, base)
                if node is None or node.base != base:
                    if self.debug and any(c.base == base for c in parent.children):
                        raise panic(
                            "vmm_gpt_node_add",
                            "assertion failed: next_sibling->vgn_gpa > child->vgn_gpa "
                            f"({base:#x} > {base:#x}), "
                            "file: ../../intel/io/vmm/vmm_gpt.c, line: 389",
                        )
                    node = self.add(parent, base)
                previous = node
        node = self.leaf(start)
        for page in range(start, end, PAGE):
            if page >= node.end:
                following = self.step(node)
                if following is None:
                    raise panic(
                        "vmm_gpt_populate_region",
                        f"assertion failed: end <= vmm_gpt_node_end(node) ({end:#x} <= "
                        f"{node.end:#x}), file: ../../intel/io/vmm/vmm_gpt.c, line: 612",
                    )
                node = following
            node.refcnt += 1

    def step(self, node):
        """The next sibling, else the first child of the parent's next sibling; no further up."""
        later = self.next_child(node.parent, node.base)
        if later or node.parent.parent is None:
            return later
        uncle = self.next_child(node.parent.parent, node.parent.base)
        return uncle.children[0] if uncle and uncle.children else None

    def next_child(self, parent, base):
        at = bisect_right(parent.children, base, key=BASE)
        return parent.children[at] if at < len(parent.children) else None

    # The dump.

    def nodes(self):
        level = [self.root]
        while level:
            yield from level
            level = [c for node in level for c in node.children]

    def hardware_leaves(self):
        level = [self.root]
        for _ in range(3):
            level = [node.table[base] for node in level for base in sorted(node.table)]
        return level

    def dump(self):
        nodes = []
        for node in self.nodes():
            row = [node.level, node.base, 1, node.refcnt, node.entries()]
            last = nodes[-1] if nodes else None
            if (
                last
                and last[0] == row[0]
                and last[1] + last[2] * SPAN[row[0]] == row[1]
                and last[3:] == row[3:]
            ):
                last[2] += 1
            else:
                nodes.append(row)
        ptes = []
        present = {gpa: pte for leaf in self.hardware_leaves() for gpa, pte in leaf.ptes.items()}
        for gpa in sorted(present):
            last = ptes[-1] if ptes else None
            pages = last[1] * PAGE if last else 0
            if last and last[0] + pages == gpa and present[gpa] == last[2] + pages:
                last[1] += 1
            else:
                ptes.append([gpa, 1, present[gpa]])
        keys = ("gpa", "len", "segid", "segoff", "prot", "wired")
        memmap = sorted([m[k] for k in keys] for m in self.slots if m)
        return {"resident": self.resident, "nodes": nodes, "ptes": ptes, "memmap": memmap}
