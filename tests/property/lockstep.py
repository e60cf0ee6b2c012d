"""A Hypothesis state machine: the engine and the naive oracle in lockstep, near the edges."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bhyvesim.errors import KernelPanic
from bhyvesim.machine.check import problems
from bhyvesim.replay import Replayer
from tests.oracle import Oracle

PAGE = 4096
EDGES = (0, 2 << 20, 1 << 30, 4 << 30, 512 << 30, 1 << 40, 1 << 46)

# Distances from an edge, in pages: inside one leaf, across it, whole leaves.
NEAR = st.one_of(
    st.integers(-4, 4),
    st.sampled_from((-1024, -513, -512, -511, -256, 255, 256, 511, 512, 513, 1024)),
    st.integers(-1100, 1100),
)
LENGTHS = st.one_of(
    st.integers(1, 4), st.sampled_from((255, 256, 511, 512, 513, 1024)), st.integers(1, 1100)
)
PROTS = st.integers(1, 7)


def lockstep(revision: str) -> type[RuleBasedStateMachine]:
    """The state machine for one revision."""

    class Lockstep(RuleBasedStateMachine):
        @initialize(
            debug=st.booleans(),
            npt=st.sampled_from(("rvi", "ept")),
            track=st.booleans(),
            edges=st.lists(st.sampled_from(EDGES), min_size=1, max_size=2),
            sizes=st.lists(LENGTHS, min_size=3, max_size=3),
        )
        def create(self, debug, npt, track, edges, sizes):
            self.edges = edges
            self.oracle = Oracle(revision, debug, npt, track)
            self.engine = Replayer()
            self.engine.run(
                {"op": "create", "gpt": revision, "debug": debug, "npt": npt, "track_dirty": track}
            )
            for segid, pages in enumerate(sizes):
                name = "bootrom" if segid == 1 else ""
                self.both("alloc_memseg", segid=segid, len=pages * PAGE, name=name)

        def both(self, op, **keys):
            expected = self.oracle.op(op, **keys)
            got = self.engine.run({"op": op, **keys})
            assert got == expected, (op, keys)
            return got

        def gpa(self, edge, pages):
            return max(0, self.edges[edge % len(self.edges)] + pages * PAGE)

        @rule(
            segid=st.integers(-1, 5),
            pages=LENGTHS,
            name=st.sampled_from(("", "bootrom")),
            pfn=st.none() | st.integers(0, 1 << 36),
        )
        def alloc(self, segid, pages, name, pfn):
            self.both("alloc_memseg", segid=segid, len=pages * PAGE, name=name, host_pfn=pfn)

        @rule(
            edge=st.integers(0, 1),
            at=NEAR,
            segid=st.integers(0, 3),
            segoff=st.sampled_from((0, 0, 0, 1, 255)),
            pages=st.none() | LENGTHS,
            prot=st.sampled_from((7, 7, 7, 5, 3, 1, 2, 4, 6)),
            wired=st.sampled_from((False, False, True)),
        )
        def mmap_near_an_edge(self, edge, at, segid, segoff, pages, prot, wired):
            self.mmap(self.gpa(edge, at), segid, segoff, pages, prot, wired)

        @rule(
            slot=st.integers(0, 7),
            before=st.booleans(),
            gap=st.sampled_from((0, 0, 0, 1, 100, 512)),
            segid=st.integers(0, 3),
            prot=st.sampled_from((7, 7, 5, 1)),
            wired=st.sampled_from((False, False, True)),
        )
        def mmap_beside_another(self, slot, before, gap, segid, prot, wired):
            there = self.memmap(slot)
            seg = self.oracle.segs.get(segid)
            if there and seg:
                after = there["gpa"] + there["len"] + gap * PAGE
                gpa = there["gpa"] - seg[0] - gap * PAGE if before else after
                self.mmap(max(0, gpa), segid, 0, None, prot, wired)

        def mmap(self, gpa, segid, segoff, pages, prot, wired):
            seg = self.oracle.segs.get(segid)
            whole = seg[0] - segoff * PAGE if seg else PAGE
            self.both(
                "mmap_memseg",
                gpa=gpa,
                segid=segid,
                segoff=segoff * PAGE,
                len=whole if pages is None else pages * PAGE,
                prot=prot,
                wired=wired,
            )

        def memmap(self, number):
            """One of the memmaps there are; None if there are none."""
            there = [m for m in self.oracle.slots if m]
            return there[number % len(there)] if there else None

        @rule(slot=st.integers(0, 7))
        def munmap(self, slot):
            there = self.memmap(slot)
            gpa, length = (there["gpa"], there["len"]) if there else (0, 0)
            self.both("munmap_memseg", gpa=gpa, len=length)

        @rule(slot=st.integers(0, 7), page=st.integers(-2, 1200), pages=LENGTHS, prot=PROTS)
        def access_memmap(self, slot, page, pages, prot):
            there = self.memmap(slot)
            gpa = max(0, (there["gpa"] if there else 0) + page * PAGE)
            self.both("access", gpa=gpa, npages=pages, prot=prot)

        @rule(slot=st.integers(0, 7), prot=PROTS)
        def touch_memmap(self, slot, prot):
            there = self.memmap(slot)
            if there:
                npages = there["len"] // PAGE
                self.both("access", gpa=there["gpa"], npages=npages, prot=prot)

        @rule(
            edge=st.integers(0, 1),
            pages=st.lists(NEAR, min_size=1, max_size=30),
            prot=PROTS,
        )
        def access_batch(self, edge, pages, prot):
            gpas = [self.gpa(edge, page) for page in pages]
            if self.oracle.state != "running":
                return
            ok, mapped, faults, panic = 0, 0, [], None
            for gpa in gpas:
                result = self.oracle.op("access", gpa=gpa, npages=1, prot=prot)
                if "panic" in result:
                    panic = result["panic"]["message"]
                    break
                ok += result["ok"]
                mapped += result["mapped"]
                if "fault" in result:
                    faults.append((result["gpa"], result["fault"]))
            try:
                got = self.engine.machine.access_batch(gpas, prot)
            except KernelPanic as error:
                got = error.message
            assert got == (panic or (ok, mapped, tuple(faults)))

        @rule()
        def reinit(self):
            self.both("reinit")

        @precondition(lambda self: self.oracle.resident > 0)
        @rule(really=st.sampled_from((False, False, False, True)))
        def destroy(self, really):
            if really:
                self.both("destroy")

        @invariant()
        def same_state(self):
            self.both("dump")
            assert problems(self.engine.machine) == []

    Lockstep.__name__ = f"Lockstep{revision}"
    return Lockstep
