"""Edges that random sequences rarely reach, engine against oracle step by step."""

from __future__ import annotations

import pytest

from bhyvesim.errors import BadValue
from bhyvesim.kernel.calls import Kernel
from bhyvesim.kernel.gpt.engine import Gpt
from bhyvesim.kernel.gpt.leaf import classes
from bhyvesim.kernel.gpt.levels import REACH
from bhyvesim.kernel.pte import EPT, FORMATS
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.ops.replay import Replayer
from tests.oracle import Oracle

PAGE = 4096
LEAF = 512 * PAGE
LINE = 512 << 30
TOP = 1 << 46
APIC = 0xFEE00000
SET, GET, ENABLE, DISABLE = 2, 3, 0x21, 0x22
BITMAP_OUT = 1 << 31
OLD = ("13932", "14042")
UNCOUNTED = (*OLD, "13896")
HOLDING = ("13896", "14367", "15844", "2025")
REINIT = ("reinit", {})
DUMP = ("dump", {})


def both(ops, gpt, debug=True, npt="rvi", **more):
    """Run *ops* on engine and oracle, comparing results and states; returns the last result."""
    oracle, engine = Oracle(gpt, debug, npt, **more), Replayer()
    engine.run({"op": "create", "gpt": gpt, "debug": debug, "npt": npt, **more})
    result = None
    for name, keys in ops:
        result = oracle.op(name, **keys)
        assert engine.run({"op": name, **keys}) == result, (name, keys)
        assert engine.run({"op": "dump"}) == oracle.op("dump"), (name, keys)
    return result


def alloc(segid, pages, name=""):
    return "alloc_memseg", {"segid": segid, "len": pages * PAGE, "name": name}


def mmap(segid, gpa, pages, prot=7, wired=False):
    keys = {"gpa": gpa, "segid": segid, "segoff": 0, "len": pages * PAGE, "prot": prot}
    return "mmap_memseg", {**keys, "wired": wired}


def access(gpa, npages, prot, by="vcpu"):
    return "access", {"gpa": gpa, "npages": npages, "prot": prot, "by": by}


def munmap(gpa, pages):
    return "munmap_memseg", {"gpa": gpa, "len": pages * PAGE}


def hold(gpa, prot=3):
    return "hold", {"gpa": gpa, "prot": prot}


def npt_op(operation, gpa=0, len=0):
    return "npt_op", {"gpa": gpa, "len": len, "operation": operation}


def present(dump):
    """The entries of a dump, by address."""
    return {gpa + i * PAGE: pte + i * PAGE for gpa, n, pte in dump["ptes"] for i in range(n)}


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
    ops += [mmap(1, 1101 * PAGE, 1100, wired=True), access(PAGE, 3000, 2)]
    result = both([*ops, munmap(PAGE, 1100)], gpt, debug)
    assert ("panic" in result) == (debug and gpt in UNCOUNTED)


@pytest.mark.parametrize("gpt", REVISIONS)
@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("by", ["vcpu", "device"])
def test_a_hole_beside_a_memmap(gpt, debug, by):
    """MMIO for a vCPU; a device's lookup finds no mapping there, fatally in 13896."""
    ops = [alloc(0, 1), mmap(0, PAGE, 1), access(0, 1, 1, by)]
    result = both(ops, gpt, debug)
    if gpt == "13896" and by == "device":
        assert result["panic"]["function"] == "vmspace_lookup_map"
    else:
        assert result == {"ok": 0, "mapped": 0, "fault": "FC_NOMAP", "gpa": 0}


@pytest.mark.parametrize("gpt", HOLDING)
@pytest.mark.parametrize("op", [REINIT, ("destroy", {})])
def test_unmapping_the_apic_page_hangs_on_a_hold_elsewhere(gpt, op):
    """The APIC page goes first: no memmap is freed, and its own entry stays."""
    ops = [alloc(0, 1, "bootrom"), mmap(0, 0, 1), access(APIC, 1, 1), hold(0), op]
    assert both(ops, gpt, npt="ept", apicv=True) == {"hang": {"function": "vmc_space_unmap"}}
    dump = both([*ops, DUMP], gpt, npt="ept", apicv=True)
    assert present(dump).keys() == {0, APIC}
    assert [row[0] for row in dump["memmap"]] == [0]


@pytest.mark.parametrize("gpt", HOLDING)
def test_a_hold_on_the_apic_page_hangs_a_munmap_elsewhere(gpt):
    ops = [alloc(0, 1), mmap(0, 0, 1), hold(APIC), munmap(0, 1)]
    assert both(ops, gpt, npt="ept", apicv=True) == {"hang": {"function": "vmc_space_unmap"}}


@pytest.mark.parametrize("gpt", HOLDING)
def test_what_unmaps_nothing_does_not_hang(gpt):
    ops = [alloc(0, 2), mmap(0, 0, 1), hold(0), munmap(0, 0), munmap(0, 2), mmap(0, PAGE, 1)]
    ops += [npt_op(ENABLE), ("track_dirty_pages", {"gpa": 0, "len": PAGE}), REINIT]
    assert both(ops, gpt) == {"ok": 0}
    assert both([*ops, ("destroy", {})], gpt) == {"hang": {"function": "vmc_space_unmap"}}


@pytest.mark.parametrize("gpt", REVISIONS)
def test_a_vcpu_sets_no_bits_in_the_entry_of_the_apic_page(gpt):
    """Its accesses are virtualised; the device's release is what a store leaves a mark by."""
    ops = [access(APIC, 1, 3), DUMP]
    dump = both(ops, gpt, npt="ept", apicv=True, track_dirty=True)
    assert present(dump) == {APIC: 0xFFFFF003}
    dump = both([access(APIC, 1, 3, "device"), *ops], gpt, npt="ept", apicv=True, track_dirty=True)
    marks = {"2025": 0x200}.get(gpt, 0 if gpt in OLD else 0x300)
    assert present(dump) == {APIC: 0xFFFFF003 | marks}


@pytest.mark.parametrize("gpt", REVISIONS)
def test_unmapping_the_apic_page_counts_as_for_any_page(gpt):
    dump = both([access(APIC, 1, 1), REINIT, DUMP], gpt, npt="ept", apicv=True)
    assert dump["ptes"] == []
    assert dump["resident"] == (0 if gpt in OLD else 1)


@pytest.mark.parametrize("gpt", REVISIONS)
@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("page", [-1, 1, 2, 511])
def test_a_memmap_beside_the_apic_page_at_reinit(gpt, debug, page):
    """Revision 13932 unmaps the page after it too, so that alone does not fail the vacating."""
    gpa = APIC + page * PAGE
    ops = [alloc(0, 1), mmap(0, gpa, 1), access(gpa, 1, 1), access(APIC, 1, 1), REINIT]
    result = both(ops, gpt, debug, "ept", apicv=True)
    beside = page > 0 and not (gpt == "13932" and page == 1)
    assert ("panic" in result) == (debug and gpt in UNCOUNTED and beside)
    dump = both([*ops, DUMP], gpt, debug, "ept", apicv=True)
    # A production kernel of before the counts frees the leaf with what is in it.
    assert (gpa in present(dump)) == (gpt not in UNCOUNTED or (beside and debug) or page < 0)


def test_disabled_tracking_reaches_the_hardware_at_the_next_reinit():
    ops = [alloc(0, 4), mmap(0, 0, 4), npt_op(DISABLE), access(0, 1, 2), REINIT, access(PAGE, 1, 2)]
    ops += [npt_op(ENABLE), access(2 * PAGE, 1, 2), REINIT, access(3 * PAGE, 1, 2), DUMP]
    ptes = present(both(ops, "2025", npt="ept", track_dirty=True))
    assert [pte >> 8 & 3 for pte in ptes.values()] == [3, 0, 0, 3]


def test_setting_dirty_maps_the_apic_page():
    leaf = APIC - PAGE, 3 * PAGE
    ops = [npt_op(SET | BITMAP_OUT, *leaf), npt_op(GET | BITMAP_OUT, *leaf)]
    for count in (1, 2):
        assert both(ops[:count], "2025", npt="ept", apicv=True) == {"ok": 0, "bitmap": "02"}
    dump = both([*ops, DUMP], "2025", npt="ept", apicv=True)
    assert present(dump) == {APIC: 0xFFFFF203}
    assert dump["resident"] == 1


@pytest.mark.parametrize(("odd", "error"), [(0, "EOVERFLOW"), (1, "EINVAL"), (PAGE - 1, "EINVAL")])
@pytest.mark.parametrize("flags", [0, BITMAP_OUT])
def test_npt_op_looks_at_the_alignment_before_the_end(odd, error, flags):
    """A range that ends exactly at 2^64 is past the end."""
    top = (1 << 64) - PAGE
    for gpa, len in ((top + odd, PAGE), (top, PAGE + odd), (PAGE + odd, top)):
        assert both([npt_op(GET | flags, gpa, len)], "2025") == {"error": error}


@pytest.mark.parametrize("gpt", OLD)
@pytest.mark.parametrize("by", ["vcpu", "device"])
def test_a_memmap_that_reaches_past_64_tib(gpt, by):
    """No lookup by address finds anything there; what is wired is there for a vCPU."""
    ops = [alloc(0, 4), mmap(0, TOP - 2 * PAGE, 4), access(TOP - 2 * PAGE, 4, 3, by)]
    mapped = 2 if by == "vcpu" else 0
    fault = {"mapped": mapped, "fault": "FC_NOMAP", "gpa": TOP}
    assert both(ops, gpt, npt="ept") == {"ok": 2, **fault}
    ops[1] = mmap(0, TOP - 2 * PAGE, 4, wired=True)
    wired = {"ok": 4, "mapped": 0} if by == "vcpu" else {"ok": 2, **fault}
    assert both(ops, gpt, npt="ept") == wired


@pytest.mark.parametrize("by", ["vcpu", "device"])
def test_13896_a_leaf_freed_beneath_a_neighbour_is_no_map_and_no_panic(by):
    ops = [alloc(0, 1), alloc(1, 1), mmap(0, 0, 1), mmap(1, PAGE, 1), munmap(0, 1)]
    result = both([*ops, access(PAGE, 1, 1, by)], "13896", debug=False)
    assert result == {"ok": 0, "mapped": 0, "fault": "FC_NOMAP", "gpa": PAGE}


@pytest.mark.parametrize("gpt", HOLDING)
@pytest.mark.parametrize("dirty", [True, False])
def test_a_release_marks_by_the_tracking_of_that_moment(gpt, dirty):
    ops = [alloc(0, 2), mmap(0, 0, 2), hold(0), hold(PAGE, 1)]
    ops += [npt_op(ENABLE), ("release", {"id": 1, "dirty": dirty}), ("release", {"id": 2}), DUMP]
    ptes = present(both(ops, gpt, npt="ept"))
    assert [pte >> 8 & 3 for pte in ptes.values()] == [2 if gpt == "2025" and dirty else 0, 0]


@pytest.mark.parametrize("gpt", HOLDING)
@pytest.mark.parametrize("dirty", [True, False])
def test_before_15844_a_release_marks_what_was_held_to_be_written(gpt, dirty):
    """Whether the holder wrote is asked from 15844 on."""
    ops = [alloc(0, 2), mmap(0, 0, 2), hold(0), hold(PAGE, 1)]
    ops += [("release", {"id": 1, "dirty": dirty}), ("release", {"id": 2, "dirty": dirty}), DUMP]
    ptes = present(both(ops, gpt, npt="ept", track_dirty=True))
    marked = dirty or gpt in ("13896", "14367")
    assert [pte >> 9 & 1 for pte in ptes.values()] == [marked, 0]


@pytest.mark.parametrize("gpt", OLD)
def test_a_memmap_ends_before_the_end_of_four_levels(gpt):
    """Where these revisions, which look at where it begins, would go round is not simulated."""
    engine = Replayer()
    engine.run({"op": "create", "gpt": gpt, "debug": True, "npt": "ept"})
    pages = REACH // PAGE
    calls = (alloc(0, pages), mmap(0, 0, pages), mmap(0, 0, pages - 1))
    alloced, whole, less = ({"op": name, **keys} for name, keys in calls)
    assert engine.run(alloced) == {"ok": 0}
    with pytest.raises(BadValue, match=f"{gpt} takes that, and what it makes of it is not"):
        engine.run(whole)
    assert engine.run(less) == {"ok": 0}
    assert engine.run(whole) == {"error": "EFAULT"}  # it overlaps, wherever it ends


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


@pytest.mark.parametrize("wired", [True, False])
def test_15844_a_doubled_leaf_hides_what_the_first_one_held(wired):
    """The tree has both, the newer first; the hardware walks the newer, which is empty."""
    ops = [alloc(0, 4), alloc(1, 1), mmap(1, LINE + 2 * PAGE, 1, wired=wired)]
    ops += [access(LINE + 2 * PAGE, 1, 3), mmap(0, LINE - 2 * PAGE, 4), DUMP]
    dump = both(ops, "15844", debug=False)
    assert dump["nodes"][-2:] == [[1, LINE, 1, 0, 0], [1, LINE, 1, 1, 1]]
    assert dump["ptes"] == []
    assert dump["resident"] == 1


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
    gpt: Gpt = REVISIONS["13932"].engine(Kernel(debug=True, functions={}), EPT)
    cls = EPT.page(0x1234, 7)
    gpt.map_wired(range(3), cls)
    gpt.access(range(1), 2, None)
    before = classes(gpt.leaves[0])
    gpt.map_wired(range(2), cls)
    assert classes(gpt.leaves[0]) == before
    assert gpt.resident == 3
