"""A Hypothesis state machine: the engine and the naive oracle in lockstep, near the edges."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

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
        )
        def create(self, debug, npt, track, edges):
            self.edges = edges
            self.oracle = Oracle(revision, debug, npt, track)
            self.engine = Replayer()
            self.engine.run(
                {"op": "create", "gpt": revision, "debug": debug, "npt": npt, "track_dirty": track}
            )

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
            segid=st.integers(0, 4),
            segoff=st.sampled_from((0, 0, 1, 255, 512)),
            pages=st.none() | LENGTHS,
            prot=PROTS,
            wired=st.booleans(),
        )
        def mmap(self, edge, at, segid, segoff, pages, prot, wired):
            seg = self.oracle.segs.get(segid)
            whole = seg[0] - segoff * PAGE if seg else PAGE
            length = whole if pages is None else pages * PAGE
            gpa = self.gpa(edge, at)
            self.both(
                "mmap_memseg",
                gpa=gpa,
                segid=segid,
                segoff=segoff * PAGE,
                len=length,
                prot=prot,
                wired=wired,
            )

        @rule(slot=st.integers(0, 7))
        def munmap(self, slot):
            there = self.oracle.slots[slot]
            gpa, length = (there["gpa"], there["len"]) if there else (0, 0)
            self.both("munmap_memseg", gpa=gpa, len=length)

        @rule(slot=st.integers(0, 7), page=st.integers(-2, 1200), pages=LENGTHS, prot=PROTS)
        def access_memmap(self, slot, page, pages, prot):
            there = self.oracle.slots[slot]
            gpa = max(0, (there["gpa"] if there else 0) + page * PAGE)
            self.both("access", gpa=gpa, npages=pages, prot=prot)

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

        @rule()
        def destroy(self):
            self.both("destroy")

        @invariant()
        def same_state(self):
            self.both("dump")
            assert problems(self.engine.machine) == []

    Lockstep.__name__ = f"Lockstep{revision}"
    return Lockstep
