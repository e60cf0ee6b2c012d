"""Edges that random sequences rarely reach, engine against oracle step by step."""

from __future__ import annotations

import pytest

from bhyvesim.gpt.engine import Gpt
from bhyvesim.gpt.leaf import classes
from bhyvesim.gpt.revisions import REVISIONS
from bhyvesim.kernel import Kernel
from bhyvesim.pte import EPT, FORMATS
from bhyvesim.replay import Replayer
from tests.oracle import Oracle

PAGE = 4096
LEAF = 512 * PAGE
LINE = 512 << 30


def both(ops, gpt, debug=True, npt="rvi"):
    """Run *ops* on engine and oracle, comparing results and states; returns the last result."""
    oracle, engine = Oracle(gpt, debug, npt), Replayer()
    engine.run({"op": "create", "gpt": gpt, "debug": debug, "npt": npt})
    result = None
    for name, keys in ops:
        result = oracle.op(name, **keys)
        assert engine.run({"op": name, **keys}) == result, (name, keys)
        assert engine.run({"op": "dump"}) == oracle.op("dump"), (name, keys)
    return result


def alloc(segid, pages):
    return "alloc_memseg", {"segid": segid, "len": pages * PAGE, "name": ""}


def mmap(segid, gpa, pages, prot=7, wired=False):
    keys = {"gpa": gpa, "segid": segid, "segoff": 0, "len": pages * PAGE, "prot": prot}
    return "mmap_memseg", {**keys, "wired": wired}


def access(gpa, npages, prot):
    return "access", {"gpa": gpa, "npages": npages, "prot": prot}


@pytest.mark.parametrize("gpt", REVISIONS)
@pytest.mark.parametrize("npt", FORMATS)
def test_an_access_across_many_equal_leaves_fails_in_the_first(gpt, npt):
    ops = [alloc(0, 2048), mmap(0, 0, 2048, prot=5), access(LEAF, 1536, 2)]
    result = both([*ops, access(0, 2048, 1), access(LEAF + PAGE, 1000, 2)], gpt, npt=npt)
    assert result["fault"] == "FC_PROT"


@pytest.mark.parametrize("gpt", REVISIONS)
@pytest.mark.parametrize("debug", [True, False])
def test_wired_across_leaves_then_unmapped_beside_a_neighbour(gpt, debug):
    ops = [alloc(0, 1100), alloc(1, 1100), mmap(0, PAGE, 1100, wired=True)]
    ops += [mmap(1, 1101 * PAGE, 1100, wired=True), access(0, 3000, 2)]
    result = both([*ops, ("munmap_memseg", {"gpa": PAGE, "len": 1100 * PAGE})], gpt, debug)
    assert ("panic" in result) == (debug and gpt in ("13932", "14042", "13896"))


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("beyond", [1, 511, 512, 513, 3 * 262144])
@pytest.mark.parametrize("before", [1, 512, 513])
@pytest.mark.parametrize("neighbour", [None, 0, 1, 600, 300000])
def test_15844_across_the_line(debug, beyond, before, neighbour):
    """*neighbour*: pages between the end of the memmap and another one after it."""
    pages = before + beyond
    ops = [alloc(0, pages), alloc(1, 1)]
    if neighbour is not None:
        ops.append(mmap(1, LINE + (beyond + neighbour) * PAGE, 1))
    result = both([*ops, mmap(0, LINE - before * PAGE, pages)], "15844", debug)
    duplicate = debug and neighbour is not None and beyond + neighbour < 512
    expected = "vmm_gpt_node_add" if duplicate else "vmm_gpt_populate_region"
    assert result["panic"]["function"] == expected


def test_15844_a_second_line_where_the_memmap_ends_is_not_crossed():
    """A leaf at the end of the range is a neighbour, not a table added twice."""
    engine = Replayer()
    engine.run({"op": "create", "gpt": "15844", "debug": True, "npt": "rvi"})
    for name, keys in (alloc(0, LINE // PAGE + 1), alloc(1, 1), mmap(1, 2 * LINE, 1)):
        assert engine.run({"op": name, **keys}) == {"ok": 0}
    name, keys = mmap(0, LINE - PAGE, LINE // PAGE + 1)
    result = engine.run({"op": name, **keys})
    assert result["panic"]["function"] == "vmm_gpt_populate_region"


def test_mapping_a_page_again_keeps_its_entry():
    """The kernel tolerates the same PFN: nothing changes, nothing is counted."""
    gpt: Gpt = REVISIONS["13932"].engine(Kernel(debug=True), EPT)
    cls = EPT.page(0x1234, 7)
    gpt.map_wired(range(3), cls)
    gpt.access(range(1), 2, None)
    before = classes(gpt.leaves[0])
    gpt.map_wired(range(2), cls)
    assert classes(gpt.leaves[0]) == before
    assert gpt.resident == 3
