"""A Hypothesis state machine: the engine and the naive oracle in lockstep, near the edges."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bhyvesim.errors import KernelPanic
from bhyvesim.kernel.check import problems
from bhyvesim.kernel.machine import Machine
from bhyvesim.ops.replay import Replayer
from tests.oracle import OLD, SINCE, Oracle

PAGE = 4096
GIB = 1 << 30
LINE = 512 * GIB
APIC = 0xFEE00000
TOP = 1 << 46
EDGES = (0, 2 << 20, GIB, 4 * GIB, LINE, 1 << 40, TOP)

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
MEMMAP_PROTS = st.sampled_from((7, 7, 7, 5, 3, 1, 2, 4, 6))
HOLDABLE = st.sampled_from((1, 2, 3, 3, 3, 5, 6, 7))  # a device reads or writes, whatever else
WIRED = st.sampled_from((False, False, True))

# Where an operation strikes: inside a memmap by its number, or near an edge.
PLACES = st.tuples(
    st.sampled_from((None, None, *range(8))),
    st.integers(0, 1),
    st.just(0) | NEAR,
)

BITMAP_IN, BITMAP_OUT = 1 << 30, 1 << 31
RESET, SET, GET, GET_TRACK, ENABLE, DISABLE = 1, 2, 3, 0x20, 0x21, 0x22
OPERATIONS = (*(RESET, SET, GET) * 4, GET_TRACK, ENABLE, DISABLE)
UNKNOWN = (0, 4, 5, 0x23, 0x40, 1 << 29 | GET)
FLAGS = (0, BITMAP_OUT, BITMAP_OUT, BITMAP_IN, BITMAP_IN | BITMAP_OUT, BITMAP_IN | BITMAP_OUT)
SPANS = ("pages",) * 20 + ("none", "odd gpa", "odd gpa, none", "odd len", "1 GiB", "more", "all")

# Sequences that do nothing but fail show little, and after a hang there is nothing to show.
MOSTLY = st.sampled_from((True, True, True, False))


def span(kind: str, gpa: int, pages: int) -> dict[str, int]:
    """A range of guest memory of some *kind*, most of them pages at *gpa*."""
    length = pages * PAGE
    start, size = {
        "pages": (gpa, length),
        "none": (gpa, 0),
        "odd gpa": (gpa + 8, length),
        "odd gpa, none": (gpa + 8, 0),
        "odd len": (gpa, length + 8),
        "1 GiB": (gpa, GIB),
        "more": (gpa, GIB + PAGE),
        "all": (0, 1 << 48),
        "to 2^64": ((1 << 64) - length, length),
        "past 2^64": (gpa + PAGE, (1 << 64) - PAGE),
        "odd, past 2^64": (gpa + PAGE + 8, (1 << 64) - PAGE),
    }[kind]
    return {"gpa": start, "len": size}


def bitmap(kind: str, pattern: bytes, length: int) -> str:
    """The hex string for *length* bytes of guest: as long as it should be, or not."""
    size = min((length // PAGE + 7) // 8, 8 * PAGE)
    size = {"right": size, "short": max(0, size - 1), "long": size + 3}[kind]
    return (pattern * size)[:size].hex()


def edges_of(revision: str) -> tuple[int, ...]:
    """EDGES, and again those where this revision has something of its own."""
    if revision in OLD:
        return (*EDGES, TOP, TOP)
    return (*EDGES, LINE, 1 << 45) if revision == "15844" else EDGES


def machines(revision: str) -> st.SearchStrategy:
    """What a machine is created with, and the memmaps that it has from the start."""
    edges = st.sampled_from(edges_of(revision))
    memmaps = st.tuples(st.integers(0, 1), NEAR, st.integers(0, 2), MEMMAP_PROTS, WIRED)
    return st.fixed_dictionaries(
        {
            "debug": st.booleans(),
            "npt": st.sampled_from(("rvi", "ept")),
            "track": st.booleans(),
            "apicv": st.booleans(),
            "edges": st.lists(edges, min_size=1, max_size=2),
            "sizes": st.lists(LENGTHS, min_size=3, max_size=3),
            "memmaps": st.lists(memmaps, min_size=1, max_size=3),
        }
    )


class Ear:
    """Hears what a machine does: calls must nest, and belong to its kernel."""

    def __init__(self, machine):
        self.machine = machine
        self.calls = []

    def __call__(self, firing):
        assert firing.function == self.machine.revision.functions[firing.frame.function]
        assert firing.times > 0
        known = [p.name for p in firing.function.params if p.known]
        assert set(firing.frame.named()) <= set(known)
        if firing.returned:
            assert self.calls.pop() == firing.frame
        assert tuple(self.calls) == firing.stack
        if not firing.returned:
            self.calls.append(firing.frame)


alive = precondition(lambda self: self.oracle.state == "running")


def lockstep(revision: str) -> type[RuleBasedStateMachine]:
    """The state machine for one revision."""
    lacking = sorted({op for op in SINCE if not Oracle(revision, False, "rvi").since(SINCE[op])})

    class Lockstep(RuleBasedStateMachine):
        @initialize(machine=machines(revision))
        def create(self, machine):
            self.engine = Replayer()
            self.boot(**machine)

        @precondition(lambda self: self.oracle.state != "running")
        @rule(machine=machines(revision))
        def create_again(self, machine):
            """A fresh machine after a panic, a hang or a destroy."""
            self.boot(**machine)

        def boot(self, debug, npt, track, apicv, edges, sizes, memmaps):
            apicv = apicv and npt == "ept"
            self.edges = [edges[0], APIC] if apicv else edges
            keys = {"debug": debug, "npt": npt, "track_dirty": track, "apicv": apicv}
            self.oracle = Oracle(revision, **keys)
            assert self.engine.run({"op": "create", "gpt": revision, **keys}) == {"ok": 0}
            for segid, pages in enumerate(sizes):
                name = "bootrom" if segid == 1 else ""
                self.both("alloc_memseg", segid=segid, len=pages * PAGE, name=name)
            for edge, at, segid, prot, wired in memmaps:
                self.mmap(self.gpa(edge, at), segid, 0, None, prot, wired)

        @alive
        @rule(on=st.booleans())
        def somebody_listens(self, on):
            """Nothing may come of it but what is heard."""
            self.ear = Ear(self.engine.machine) if on else None
            self.engine.machine.listen(self.ear)

        @precondition(lambda self: self.oracle.state != "running")
        @rule(prot=HOLDABLE)
        def nothing_goes_on(self, prot):
            self.both("alloc_memseg", segid=0, len=PAGE, name="")
            self.mmap(0, 0, 0, 1, prot, False)
            self.both("munmap_memseg", gpa=0, len=0)
            for by in ("vcpu", "device"):
                self.both("access", gpa=0, npages=1, prot=prot, by=by)
            self.both("hold", gpa=0, prot=prot)
            self.both("release", id=1)
            self.both("npt_op", gpa=0, len=0, operation=GET_TRACK)
            self.both("track_dirty_pages", gpa=0, len=0)
            self.both("reinit")
            self.both("destroy")

        def both(self, op, **keys):
            expected = self.oracle.op(op, **keys)
            got = self.engine.run({"op": op, **keys})
            assert got == expected, (op, keys)
            return got

        def gpa(self, edge, pages):
            return max(0, self.edges[edge % len(self.edges)] + pages * PAGE)

        def place(self, where):
            """The address for one of PLACES."""
            number, edge, pages = where
            there = None if number is None else self.memmap(number)
            if there:
                return there["gpa"] + pages * PAGE % there["len"]
            return self.gpa(edge, pages)

        @alive
        @rule(
            segid=st.integers(-1, 5),
            pages=LENGTHS,
            name=st.sampled_from(("", "bootrom")),
            pfn=st.none() | st.integers(0, 1 << 36),
        )
        def alloc(self, segid, pages, name, pfn):
            self.both("alloc_memseg", segid=segid, len=pages * PAGE, name=name, host_pfn=pfn)

        @alive
        @rule(
            edge=st.integers(0, 1),
            at=NEAR,
            segid=st.sampled_from((0, 0, 1, 1, 2, 2, 3)),
            segoff=st.sampled_from((0, 0, 0, 1, 255)),
            pages=st.none() | LENGTHS,
            fits=MOSTLY,
            prot=MEMMAP_PROTS,
            wired=WIRED,
        )
        def mmap_near_an_edge(self, edge, at, segid, segoff, pages, fits, prot, wired):
            seg = self.oracle.segs.get(segid)
            if fits and seg:
                segoff %= seg[0] // PAGE
                pages = pages and 1 + pages % (seg[0] // PAGE - segoff)
            self.mmap(self.gpa(edge, at), segid, segoff, pages, prot, wired)

        @alive
        @rule(
            slot=st.integers(0, 7),
            before=st.booleans(),
            gap=st.sampled_from((0, 0, 0, 1, 100, 512)),
            segid=st.integers(0, 3),
            prot=st.sampled_from((7, 7, 5, 1)),
            wired=WIRED,
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

        @alive
        @precondition(lambda self: revision == "15844")
        @rule(
            line=st.sampled_from((LINE, 2 * LINE, 1 << 45)),
            before=st.sampled_from((1, 2, 511, 512, 513)),
            beyond=st.sampled_from((1, 2, 100, 510)),
            gap=st.sampled_from((0, 0, 1, 3)),
            wired=st.booleans(),
            really=st.sampled_from((False, False, False, True)),
        )
        def mmap_across_a_line(self, line, before, beyond, gap, wired, really):
            """Up to a memmap in the leaf at a 512 GiB line: added twice, on production."""
            if not really:
                return
            self.both("alloc_memseg", segid=3, len=4 * PAGE, name="")
            self.both("alloc_memseg", segid=4, len=1100 * PAGE, name="")
            self.mmap(line + (beyond + gap) * PAGE, 3, 0, 1, 7, wired)
            self.mmap(line - before * PAGE, 4, 0, before + beyond, 7, False)

        @alive
        @rule(
            slot=st.integers(0, 7),
            let_go=MOSTLY,
            beside=st.sampled_from((*((0, 0),) * 5, (1, 0), (0, 1), (0, -1), None)),
        )
        def munmap(self, slot, let_go, beside):
            if let_go:
                self.release_all()
            gpa, length = 0, 0  # matches a free slot
            there = self.memmap(slot)
            if there and beside:
                gpa, length = there["gpa"] + beside[0] * PAGE, there["len"] + beside[1] * PAGE
            self.both("munmap_memseg", gpa=gpa, len=length)

        @alive
        @rule(slot=st.integers(0, 7), page=st.integers(-2, 1200), pages=LENGTHS, prot=PROTS)
        def access_memmap(self, slot, page, pages, prot):
            there = self.memmap(slot)
            gpa = max(0, (there["gpa"] if there else 0) + page * PAGE)
            self.both("access", gpa=gpa, npages=pages, prot=prot)

        @alive
        @rule(slot=st.integers(0, 7), prot=PROTS, allowed=MOSTLY)
        def touch_memmap(self, slot, prot, allowed):
            self.touch(slot, prot, allowed)

        def touch(self, slot, prot, allowed):
            there = self.memmap(slot)
            if there:
                prot = (allowed and prot & there["prot"]) or prot
                npages = there["len"] // PAGE
                self.both("access", gpa=there["gpa"], npages=npages, prot=prot, by="vcpu")

        @alive
        @rule(
            where=PLACES,
            pages=LENGTHS,
            prot=HOLDABLE,
            allowed=MOSTLY,
            by=st.sampled_from(("vcpu", "device")),
        )
        def access(self, where, pages, prot, allowed, by):
            gpa = self.place(where)
            prot = self.within(gpa, prot) if allowed else prot
            self.both("access", gpa=gpa, npages=pages, prot=prot, by=by)

        def within(self, gpa, prot):
            """What of *prot* the memmap at *gpa* allows; *prot* if that would be no access."""
            there = self.oracle.mapping(gpa)
            allowed = prot & there["prot"] if there else prot
            return allowed if allowed & 3 else prot

        @alive
        @rule(
            edge=st.integers(0, 1),
            pages=st.lists(NEAR, min_size=1, max_size=30),
            prot=PROTS,
        )
        def access_batch(self, edge, pages, prot):
            gpas = [self.gpa(edge, page) for page in pages]
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

        # Holds: few at a time, and mostly let go before something is unmapped.

        @alive
        @precondition(lambda self: "hold" not in lacking and len(self.oracle.held) < 3)
        @rule(where=PLACES, offset=st.sampled_from((0, 0, 1, 4095)), prot=HOLDABLE, allowed=MOSTLY)
        def hold(self, where, offset, prot, allowed):
            gpa = self.place(where)
            prot = self.within(gpa, prot) if allowed else prot
            self.both("hold", gpa=gpa + offset, prot=prot)

        @alive
        @precondition(lambda self: self.oracle.next_id > 1)
        @rule(which=st.integers(0, 7), good=MOSTLY, dirty=st.booleans())
        def release(self, which, good, dirty):
            live = sorted(self.oracle.held)
            hold_id = live[which % len(live)] if live and good else which
            self.both("release", id=hold_id, dirty=dirty)

        def release_all(self):
            for hold_id in sorted(self.oracle.held):
                self.both("release", id=hold_id, dirty=hold_id % 2 == 0)

        # Dirty bits.

        @alive
        @precondition(lambda self: "npt_op" not in lacking)
        @rule(
            where=PLACES,
            kind=st.sampled_from((*SPANS, "to 2^64", "past 2^64", "odd, past 2^64")),
            pages=LENGTHS,
            operation=st.sampled_from((*OPERATIONS, *OPERATIONS, *UNKNOWN)),
            flags=st.sampled_from(FLAGS),
            given=st.sampled_from((None, "short", "long", *("right",) * 6)),
            pattern=st.binary(min_size=1, max_size=3) | st.just(b"\xff"),
        )
        def npt_op(self, where, kind, pages, operation, flags, given, pattern):
            keys = span(kind, self.place(where), pages)
            if given:
                keys["bitmap"] = bitmap(given, pattern, keys["len"])
            self.both("npt_op", operation=operation | flags, **keys)

        @alive
        @precondition(lambda self: "npt_op" not in lacking)
        @rule(
            operation=st.sampled_from((ENABLE, DISABLE)),
            reinit=st.booleans(),
            slot=st.integers(0, 7),
            prot=st.sampled_from((1, 2, 3)),
        )
        def switch_tracking(self, operation, reinit, slot, prot):
            """On Intel the hardware follows at the next reinit only."""
            self.both("npt_op", gpa=0, len=0, operation=operation)
            if reinit:
                self.release_all()
                self.both("reinit")
            self.touch(slot, prot, allowed=True)

        @alive
        @precondition(lambda self: "track_dirty_pages" not in lacking)
        @rule(where=PLACES, kind=st.sampled_from(SPANS), pages=LENGTHS)
        def track_dirty_pages(self, where, kind, pages):
            self.both("track_dirty_pages", **span(kind, self.place(where), pages))

        @alive
        @precondition(lambda self: "track_dirty_pages" not in lacking)
        @rule(
            slot=st.integers(0, 7),
            page=st.integers(0, 1100),
            pages=st.integers(1, 4),
            by=st.sampled_from(("vcpu", "device")),
            operation=st.sampled_from((RESET, SET, GET)),
            flags=st.sampled_from((BITMAP_OUT, BITMAP_OUT, BITMAP_IN | BITMAP_OUT)),
        )
        def write_then_ask(self, slot, page, pages, by, operation, flags):
            there = self.memmap(slot)
            if there:
                gpa, length = there["gpa"], there["len"]
                page = gpa + page * PAGE % length
                self.both("access", gpa=page, npages=pages, prot=2, by=by)
                keys = {"gpa": gpa, "len": length, "bitmap": bitmap("right", b"\xdb", length)}
                self.both("npt_op", operation=operation | flags, **keys)
                self.both("track_dirty_pages", gpa=gpa, len=length)

        @alive
        @precondition(lambda self: lacking)
        @rule(prot=HOLDABLE)
        def what_this_revision_lacks(self, prot):
            keys = {
                "hold": {"gpa": 0, "prot": prot},
                "release": {"id": prot},
                "npt_op": {"gpa": 1, "len": 1, "operation": prot},
                "track_dirty_pages": {"gpa": 1, "len": 1},
            }
            for op in lacking:
                self.both(op, **keys[op])

        @rule(copied=st.sampled_from((Machine.fork, lambda m: Machine.restored(m.snapshot()))))
        def go_on_from_a_copy(self, copied):
            self.engine.machine = copied(self.engine.machine)

        @alive
        @rule(let_go=MOSTLY)
        def reinit(self, let_go):
            if let_go:
                self.release_all()
            self.both("reinit")

        @alive
        @precondition(lambda self: self.oracle.resident > 0)
        @rule(really=st.sampled_from((False, False, False, True)), let_go=MOSTLY)
        def destroy(self, really, let_go):
            if really:
                if let_go:
                    self.release_all()
                self.both("destroy")

        @invariant()
        def same_state(self):
            self.both("dump")
            self.both("stats")
            assert problems(self.engine.machine) == []

    Lockstep.__name__ = f"Lockstep{revision}"
    return Lockstep
