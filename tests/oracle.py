"""A deliberately naive model of the kernel's guest memory: page by page, node by node.

Written from the facts (docs/guest-memory.md), not from the engine; it shares no code
with it. Slow on purpose: keep spans to a few leaves.
"""

from __future__ import annotations

PAGE = 4096
SPAN = {1: 1 << 21, 2: 1 << 30, 3: 1 << 39, 4: 1 << 48}
READ, WRITE, EXEC = 1, 2, 4
OLD = ("13932", "14042")
UNCOUNTED = ("13932", "14042", "13896")


class Errno(Exception):
    pass


class Panic(Exception):
    def __init__(self, function, message):
        super().__init__(message)
        self.function = function
        self.message = message


class Node:
    def __init__(self, level, base, parent):
        self.level, self.base, self.parent = level, base, parent
        self.refcnt = 0
        self.children = []
        self.ptes = {}

    @property
    def end(self):
        return self.base + SPAN[self.level]

    def entries(self):
        return len(self.ptes) if self.level == 1 else len({c.base for c in self.children})


class Oracle:
    def __init__(self, gpt, debug, npt, track_dirty=False):
        self.rev, self.debug, self.npt, self.track = gpt, debug, npt, track_dirty
        self.root = Node(4, 0, None)
        self.segs = {}
        self.slots = [None] * 8
        self.resident = 0
        self.next_pfn = 0x100000
        self.state = "running"

    # Operations, with results as replay prints them.

    def op(self, op, **keys):
        if self.state == "destroyed":
            return {"error": "ENOENT"}
        if op == "dump":
            return {"ok": 0, **self.dump()}
        if self.state == "panicked":
            return {"error": "PANICKED"}
        try:
            return {"ok": 0, **(getattr(self, op)(**keys) or {})}
        except Errno as error:
            return {"error": str(error)}
        except Panic as panic:
            self.state = "panicked"
            return {"panic": {"function": panic.function, "message": panic.message}}

    def alloc_memseg(self, segid, len, name, host_pfn=None):
        if not 0 <= segid < (5 if self.rev in ("15844", "2025") else 4):
            raise Errno("EINVAL")
        if len == 0 or len % PAGE:
            raise Errno("EINVAL")
        if segid in self.segs:
            old_len, old_name, _ = self.segs[segid]
            same = old_len == len and bool(old_name) == bool(name)
            raise Errno("EEXIST" if same else "EINVAL")
        pfn = self.next_pfn if host_pfn is None else host_pfn
        self.segs[segid] = (len, name, pfn)
        self.next_pfn = max(self.next_pfn, pfn + len // PAGE)

    def mmap_memseg(self, gpa, segid, segoff, len, prot, wired=False):
        if prot == 0 or prot & ~7:
            raise Errno("EINVAL")
        if segid not in self.segs:
            raise Errno("EINVAL")
        if segoff < 0 or segoff >= segoff + len or segoff + len > self.segs[segid][0]:
            raise Errno("EINVAL")
        if gpa % PAGE or segoff % PAGE or (segoff + len) % PAGE:
            raise Errno("EINVAL")
        if None not in self.slots:
            raise Errno("ENOSPC")
        top = 1 << 46
        if gpa >= top if self.rev in OLD else gpa + len >= top:
            raise Errno("EFAULT")
        for m in self.slots:
            if m and gpa < m["gpa"] + m["len"] and m["gpa"] < gpa + len:
                raise Errno("EFAULT")
        if self.rev == "15844":
            self.populate_by_level(gpa, gpa + len)
        elif self.rev not in OLD:
            for page in range(gpa, gpa + len, PAGE):
                leaf = self.make_leaf(page)
                if self.rev not in UNCOUNTED:
                    leaf.refcnt += 1
        new = {"gpa": gpa, "len": len, "segid": segid, "segoff": segoff, "prot": prot}
        new["wired"] = int(wired)
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
        raise Errno("EINVAL")

    def reinit(self):
        for slot, m in enumerate(self.slots):
            if m and self.segs[m["segid"]][1]:
                self.free(slot)

    def destroy(self):
        for slot, m in enumerate(self.slots):
            if m:
                self.free(slot)
        self.state = "destroyed"
        return {"leaked_nodes": len(list(self.nodes())) - 1}

    def access(self, gpa, npages, prot):
        before = self.resident
        done = 0
        for page in range(gpa // PAGE * PAGE, gpa // PAGE * PAGE + npages * PAGE, PAGE):
            fault = self.touch(page, prot)
            if fault:
                mapped = self.resident - before
                return {"ok": done, "mapped": mapped, "fault": fault, "gpa": page}
            done += 1
        return {"ok": done, "mapped": self.resident - before}

    # Guest accesses.

    def touch(self, gpa, prot):
        for _ in range(2):
            leaf = self.leaf(gpa)
            pte = leaf.ptes.get(gpa, 0) if leaf else 0
            if pte and not prot & ~self.permits(pte):
                leaf.ptes[gpa] = pte | self.hardware_bits(prot)
                return None
            fault = self.fault(gpa, prot, leaf, pte)
            if fault:
                return fault
        raise RuntimeError("the fault handler never ends")

    def fault(self, gpa, prot, leaf, pte):
        found = [m for m in self.slots if m and m["gpa"] <= gpa < m["gpa"] + m["len"]]
        if self.rev in OLD:
            if pte:
                return "FC_PROT"
            if not found:
                return "FC_NOMAP"
            self.make_leaf(gpa)
            self.set_pte(gpa, found[0])
            return None
        if leaf is None:
            return "FC_NOMAP"
        if pte:
            return "FC_PROT"
        if not found:
            if self.rev == "13896":
                raise Panic(
                    "vmspace_lookup_map",
                    "assertion failed: vmsm != NULL, file: ../../i86pc/io/vmm/vmm_vm.c, line: 714",
                )
            return "FC_NOMAP"
        if prot & ~found[0]["prot"]:
            return "FC_PROT"
        self.set_pte(gpa, found[0])
        return None

    def permits(self, pte):
        if self.npt == "ept":
            return pte & 7
        return READ | (pte & 2) | (0 if pte >> 63 else EXEC)

    def hardware_bits(self, prot):
        if self.npt == "rvi":
            return 0x60 if prot & WRITE else 0x20
        if self.rev in ("13896", "14367") or (self.rev in ("15844", "2025") and not self.track):
            return 0
        return 0x300 if prot & WRITE else 0x100

    def set_pte(self, gpa, m):
        leaf = self.make_leaf(gpa)
        if gpa in leaf.ptes:
            return
        pfn = self.segs[m["segid"]][2] + (m["segoff"] + gpa - m["gpa"]) // PAGE
        if self.npt == "ept":
            pte = pfn * PAGE | 0x30 | m["prot"]
        else:
            pte = pfn * PAGE | 0x25 | (m["prot"] & WRITE) | (0 if m["prot"] & EXEC else 1 << 63)
        leaf.ptes[gpa] = pte
        self.resident += 1

    # Taking memmaps away.

    def free(self, slot):
        m = self.slots[slot]
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
                raise Panic(
                    "vmm_gpt_vacate_entry",
                    f"assertion failed: ptes[i] == 0 ({pte:#x} == 0x0), "
                    f"file: ../../i86pc/io/vmm/vmm_gpt.c, line: {line}",
                )
            node = leaf
            while node.parent and node.refcnt == 0:
                node.parent.children.remove(node)
                node.parent.refcnt -= 1
                node = node.parent
        self.slots[slot] = None

    # The tree.

    def child(self, node, gpa):
        for child in node.children:
            if child.base <= gpa < child.end:
                return child
        return None

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
        before = [c for c in parent.children if c.base < base]
        parent.children.insert(len(before), new)
        parent.refcnt += 1
        return new

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
                        raise Panic(
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
                    raise Panic(
                        "vmm_gpt_populate_region",
                        f"assertion failed: end <= vmm_gpt_node_end(node) ({end:#x} <= "
                        f"{node.end:#x}), file: ../../intel/io/vmm/vmm_gpt.c, line: 612",
                    )
                node = following
            node.refcnt += 1

    def step(self, node):
        """The next sibling, else the first child of the parent's next sibling; no further up."""
        siblings = node.parent.children
        later = [s for s in siblings if s.base > node.base]
        if later:
            return later[0]
        if node.parent.parent is None:
            return None
        uncles = [u for u in node.parent.parent.children if u.base > node.parent.base]
        return uncles[0].children[0] if uncles and uncles[0].children else None

    # The dump.

    def nodes(self):
        level = [self.root]
        while level:
            yield from level
            level = [c for node in level for c in node.children]

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
        held = {g: p for node in self.nodes() if node.level == 1 for g, p in node.ptes.items()}
        for gpa in sorted(held):
            last = ptes[-1] if ptes else None
            if last and last[0] + last[1] * PAGE == gpa and held[gpa] == last[2] + last[1] * PAGE:
                last[1] += 1
            else:
                ptes.append([gpa, 1, held[gpa]])
        keys = ("gpa", "len", "segid", "segoff", "prot", "wired")
        memmap = sorted([m[k] for k in keys] for m in self.slots if m)
        return {"resident": self.resident, "nodes": nodes, "ptes": ptes, "memmap": memmap}
