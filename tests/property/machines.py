"""Random small machines for property tests, lived in for a while, some of them stopped."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import strategies as st

from bhyvesim import Machine
from bhyvesim.errors import KernelStop, Refused
from bhyvesim.kernel.revisions import REVISIONS

PAGE = 4096
LEAF = 512 * PAGE
LINE = 512 << 30
APIC = 0xFEE00000
EDGES = (0, LEAF, 1 << 30, APIC, 4 << 30, LINE)
PAGES = st.one_of(st.integers(1, 6), st.sampled_from((255, 512, 513)), st.integers(1, 1500))
NEAR = st.one_of(st.integers(-3, 3), st.sampled_from((-512, -1, 0, 511, 512)))

_MEMMAPS = st.tuples(
    st.sampled_from(EDGES),
    NEAR,
    st.integers(0, 2),
    st.sampled_from((7, 7, 5, 3, 1, 2, 6)),
    st.sampled_from((False, False, True)),
)
_STEPS = st.one_of(
    st.tuples(
        st.just("access"),
        st.integers(0, 7),
        st.integers(-2, 1500),
        PAGES,
        st.integers(1, 7),
        st.sampled_from(("vcpu", "vcpu", "device")),
    ),
    st.tuples(st.sampled_from(("reinit", "munmap", "again", "hold")), st.integers(0, 7)),
)


def build(gpt, debug, npt, apicv, track, sizes, memmaps, steps) -> Machine:
    """A machine that did all of that, up to the first panic or hang."""
    vm = Machine(gpt, debug=debug, npt=npt, apicv=apicv and npt == "ept", track_dirty=track)
    with suppress(KernelStop):
        for segid, pages in enumerate(sizes):
            vm.alloc_memseg(segid, pages * PAGE, "rom" if segid == 1 else "")
        for memmap in memmaps:
            _mmap(vm, sizes, *memmap)
        for step in steps:
            with suppress(Refused):
                _step(vm, sizes, memmaps, step)
    return vm


def _mmap(vm, sizes, edge, at, segid, prot, wired):
    with suppress(Refused):
        vm.mmap_memseg(max(0, edge + at * PAGE), segid, 0, sizes[segid] * PAGE, prot, wired)


def _step(vm, sizes, memmaps, step):
    kind, which, *rest = step
    maps = vm.memmaps
    there = maps[which % len(maps)] if maps else None
    if kind == "again":
        _mmap(vm, sizes, *memmaps[which % len(memmaps)])
    elif kind == "reinit":
        vm.reinit()
    elif there is None:
        return
    elif kind == "munmap":
        vm.munmap_memseg(there.gpa, there.length)
    elif kind == "hold":
        vm.hold(there.gpa, "rw" if there.prot & 2 else "r")
    else:
        at, pages, prot, by = rest
        prot = prot if by == "vcpu" else prot | 1
        vm.access(max(0, there.gpa + at * PAGE), pages, prot, by)


machines = st.builds(
    build,
    gpt=st.sampled_from(list(REVISIONS)[:6]),
    debug=st.booleans(),
    npt=st.sampled_from(("rvi", "ept")),
    apicv=st.booleans(),
    track=st.booleans(),
    sizes=st.lists(PAGES, min_size=3, max_size=3),
    memmaps=st.lists(_MEMMAPS, min_size=1, max_size=3),
    steps=st.lists(_STEPS, max_size=6),
)


def pages_of(vm: Machine) -> dict[int, int]:
    """Every entry that hardware reaches, by page number, read off the dump page by page."""
    return {
        (gpa >> 12) + i: pte + i * PAGE
        for gpa, npages, pte in vm.dump()["ptes"]
        for i in range(npages)
    }
