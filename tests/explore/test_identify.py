"""What was seen on a host, held against every kernel that is known."""

from __future__ import annotations

import json

import pytest

from bhyvesim import Machine
from bhyvesim.config.importers.memmap import listing
from bhyvesim.errors import BadValue
from bhyvesim.explore.evidence import Counters, MemoryMap, forms, parse_errno
from bhyvesim.explore.identify import candidates, named, weighed
from bhyvesim.explore.panics import PanicText, stops_of, unprovoked
from bhyvesim.explore.recorded import read_trace
from bhyvesim.explore.seen import agrees, told, visible
from bhyvesim.kernel.revisions import REVISIONS
from tests.conformance.traces import TRACES

OLD = ["13932", "14042"]
HEAD = "Address     Length      Segment     Offset      Prot  Flags\n"

# Lines of the report on illumos 14042.
REPORT = """\
panicstr = assertion failed: ptes[i] == 0 (0xe23cd7067 == 0x0), file: ../../i86pc/io/vmm/vmm_gpt.c, line: 441
panicstack = fffffffffbdcd481 () | vmm:vmm_gpt_vacate_entry+8b () | vmm:vmm_gpt_vacate_region+42 () | vmm:rvi_ops_unmap+59 () | vmm:vm_map_remove+98 () | vmm:vm_free_memmap+56 () | vmm:vm_cleanup+112 () | vmm:vm_destroy+1b () |
"""  # noqa: E501
ASSERTION = REPORT.partition("= ")[2].partition("\n")[0]


def left(*evidence):
    return named(w.candidate for w in weighed(candidates(), evidence) if w.possible)


def reasons(*evidence):
    """By candidate's name, why it is ruled out."""
    return {
        w.candidate.name: [(o.evidence, o.reason) for o in w.objections]
        for w in weighed(candidates(), evidence)
    }


def memory_map(rows, head=HEAD):
    text = head + rows
    return MemoryMap("map", listing(text.splitlines(), "map"))


def trace_of(*operations, **seen):
    lines = [{"op": op, **keys} for op, keys in operations]
    lines.append(seen)
    return read_trace("t", "\n".join(map(json.dumps, lines)))


def test_nothing_seen_rules_nothing_out():
    assert left() == list(REVISIONS)


def test_names_are_as_short_as_they_can_be():
    among = [c for c in candidates() if c.gpt == "13932"]
    assert named(among) == ["13932"]
    assert named(among[:2]) == ["13932 DEBUG"]
    assert named(among[::2]) == ["13932 RVI"]
    assert named(among[1:]) == ["13932 DEBUG EPT", "13932 production"]
    assert named(among[:3]) == ["13932 DEBUG", "13932 production RVI"]
    assert named([among[0], among[3]]) == ["13932 DEBUG RVI", "13932 production EPT"]
    assert named([]) == []


# Panics.


def test_every_stop_of_ours_is_provoked():
    assert not any(unprovoked(gpt) for gpt in REVISIONS)


def test_the_reports_panic_is_of_a_debug_kernel_on_amd_before_the_vmspace():
    panic = PanicText(REPORT)
    assert left(panic) == ["13932 DEBUG RVI", "14042 DEBUG RVI"]
    assert panic.remark == "its file and line are those of 13932 and 14042, as known here"
    why = reasons(panic)
    assert why["13932 DEBUG EPT"] == [(1, "it has no rvi_ops_unmap")]
    assert why["13932 production RVI"] == [(1, "a production kernel has no such ASSERT")]
    assert why["13896 DEBUG RVI"] == [(1, "it has no rvi_ops_unmap")]
    assert why["14367 DEBUG RVI"] == [(1, "it never stops so")]


def test_the_entry_that_an_assertion_met_tells_the_processor():
    amd, intel = PanicText(ASSERTION), PanicText(ASSERTION.replace("e23cd7067", "e23cd7337"))
    assert left(amd) == ["13932 DEBUG RVI", "14042 DEBUG RVI", "13896 DEBUG RVI"]
    assert left(intel) == ["13932 DEBUG EPT", "14042 DEBUG EPT", "13896 DEBUG EPT"]
    assert reasons(amd)["13896 DEBUG EPT"] == [(1, "0xe23cd7067 is no entry of EPT")]


def test_another_builds_line_rules_nothing_out():
    panic = PanicText(ASSERTION.replace("441", "447"))
    assert left(panic) == left(PanicText(ASSERTION))
    assert panic.remark == "its file and line are of another build than those known here"
    assert "13896, as known here" in PanicText(ASSERTION.replace("441", "443")).remark


@pytest.mark.parametrize("candidate", candidates(), ids=lambda c: c.name)
def test_a_kernels_own_panics_do_not_rule_it_out(candidate):
    for stop in stops_of(candidate):
        stack = "\n".join(f"vmm:{frame.function}+0x1 ()" for frame in stop.stack)
        message = "" if stop.message.startswith(stop.function) else stop.message
        for text in (f"{message}\n{stack}", message or stop.function, stop.function):
            assert PanicText(text).objection(candidate) is None


@pytest.mark.parametrize(
    ("text", "kernels"),
    [
        ("vmm_gpt_node_add", ["15844 DEBUG"]),
        ("vmsm != NULL", ["13896"]),
        ("assertion failed: end <= vmm_gpt_node_end(node) (0x1 <= 0x0), file: x, line: 1\r", None),
        ("vmc_space_unmap", ["13896", "14367", "15844", "2025"]),
        ("vmm`rvi_ops_map+0x12", ["13932 DEBUG RVI", "14042 DEBUG RVI"]),
    ],
)
def test_an_assertion_or_a_function_is_enough(text, kernels):
    assert left(PanicText(text)) == (kernels or ["15844"])


@pytest.mark.parametrize("text", ["BAD TRAP: type=e", "assertion failed: 0 == 1", "vm_run+0x3"])
def test_a_panic_of_something_else_decides_nothing(text):
    panic = PanicText(text)
    assert left(panic) == list(REVISIONS)
    assert "it decides nothing" in panic.remark


def test_a_panic_without_text_is_refused():
    with pytest.raises(BadValue, match="nothing is said"):
        PanicText(" \n")


# Traces.


@pytest.mark.parametrize("gpt", REVISIONS)
def test_a_trace_of_the_real_kernel_is_its_own(gpt):
    for trace in TRACES[::20]:
        creates = [op for op in trace["ops"] if op["op"] == "create"]
        if {op["gpt"] for op in creates} == {gpt} and len(creates) == 1:
            mine = next(
                c for c in candidates() if c == (gpt, creates[0]["debug"], creates[0]["npt"])
            )
            assert read_trace("t", json.dumps(trace)).objection(mine) is None


TELLING = [
    ("alloc_memseg", {"segid": 0, "len": 8192, "name": ""}),
    ("mmap_memseg", {"gpa": 0x1FF000, "segid": 0, "segoff": 0, "len": 4096, "prot": 7}),
    ("mmap_memseg", {"gpa": 0x200000, "segid": 0, "segoff": 0, "len": 4096, "prot": 7}),
    ("access", {"gpa": 0x200000, "npages": 1, "prot": 2}),
    ("munmap_memseg", {"gpa": 0x1FF000, "len": 4096}),
    ("track_dirty_pages", {"gpa": 0, "len": 4096}),
    ("npt_op", {"gpa": 0, "len": 4096, "operation": 0x20}),
    ("stats", {}),
]


@pytest.mark.parametrize("gpt", REVISIONS)
def test_a_trace_recorded_on_a_revision_identifies_it(gpt):
    from bhyvesim.ops.operations import read_operation

    machine = Machine(gpt)
    lines = []
    for op, keys in TELLING:
        record = {"op": op, **keys}
        lines += [record, visible(read_operation(record).apply(machine))]
    assert left(read_trace("t", "\n".join(map(json.dumps, lines)))) == [gpt]


def test_the_first_result_that_differs_is_said():
    trace = trace_of(TELLING[0], ("track_dirty_pages", {"gpa": 0, "len": 4096}), error="ENOTTY")
    assert left(trace) == ["13932", "14042", "13896"]
    why = reasons(trace)
    assert why["14367 DEBUG RVI"] == [
        (1, "line 2, track_dirty_pages: ENOTTY there, bitmap 00 here")
    ]
    assert why["2025 DEBUG RVI"] == [(1, "line 2, track_dirty_pages: ENOTTY there, EPERM here")]


def test_of_a_result_only_what_was_seen_is_compared():
    assert left(trace_of(("stats", {}), wired_bytes=None)) == list(REVISIONS)[2:]
    assert agrees({"panic": {}}, {"panic": {"function": "f", "message": "m"}})
    there, here = "assertion failed: x, file: a, line: 1", "assertion failed: x, file: b, line: 2"
    assert agrees({"panic": {"message": there}}, {"panic": {"message": here}})
    assert not agrees({"ok": True}, {"ok": 1})
    assert not agrees({"error": "EPERM"}, {"ok": 0})


def test_the_kernel_that_a_trace_names_is_not_believed():
    create = ("create", {"gpt": "fork-7", "debug": "?", "npt": "rvi"})
    assert left(trace_of(create, ("stats", {}), wired_bytes=0)) == OLD
    apicv = trace_of(("create", {"apicv": True}), ok=0)
    assert left(apicv) == [f"{gpt} EPT" for gpt in REVISIONS]
    assert reasons(apicv)["2025 DEBUG RVI"] == [(1, "line 1: apicv with rvi")]


def test_results_of_any_shape_are_told_in_words():
    for seen in ({"panic": 1}, {"hang": []}, {"error": None}, {"ok": [1]}, {"x": {"y": 1}}):
        trace = read_trace("t", json.dumps({"ops": [{"op": "stats"}], "results": [seen]}))
        assert left(trace) == []
    dump = trace_of(("dump", {}), ok=0, nodes=[[4, 0, 1, 0, 1]])
    assert reasons(dump)["2025 DEBUG RVI"] == [
        (1, "line 1, dump: nodes[0] [4, 0, 1, 0, 1] there, [4, 0, 1, 0, 0] here")
    ]
    assert told({"ok": 2}) == "ok 2"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "t: no results: expected operations, and what they came to"),
        ('{"op":"stats"}', "t: no results: expected operations, and what they came to"),
        ('{"ok":0}', "t:1: a result of no operation: expected the operation before it"),
        ('\n{"op":"hold"}', 't:2: hold lacks the key "gpa": expected it to be there'),
        ('{"op":"stats"}\n{"ok":0}\n{"ok":0}', "t:3: a result of no operation"),
        ("[1]", "t:1: '[1]' is not an operation"),
        ('{"ops":[{"op":"stats"}],"results":[]}', 't:1: "results" does not match "ops"'),
    ],
)
def test_what_is_no_trace_is_refused_with_its_line(text, problem):
    with pytest.raises(BadValue) as refused:
        read_trace("t", text)
    assert str(refused.value).startswith(problem)


# Errnos.


@pytest.mark.parametrize(
    ("text", "kernels"),
    [
        ("hold=ENOTTY", OLD),
        ("hold=ok", ["13896", "14367", "15844", "2025"]),
        ("release=EINVAL", ["13896", "14367", "15844", "2025"]),
        ("npt_op=ENOTTY", ["13932", "14042", "13896", "14367", "15844"]),
        ("npt_op:EN_TRACK_DIRTY=ok", ["2025"]),
        ("npt_op:GET_DIRTY|BITMAP_IN=EFAULT", ["2025"]),
        ("track_dirty_pages=EPERM", ["15844", "2025"]),
        ("track_dirty_pages=ok", ["14367", "15844", "2025"]),  # a VM that tracks them may be meant
        ("alloc_memseg:4=EINVAL", ["13932", "14042", "13896", "14367"]),
        ("alloc_memseg:4=ok", ["15844", "2025"]),
        ("mmap_memseg:0x3fffffe00000+4M=ok", OLD),
        ("mmap_memseg:511G+2G=ok", ["13932", "14042", "13896", "14367", "2025"]),
        ("mmap_memseg:0x1001+4K=EINVAL", list(REVISIONS)),
        ("hold=E2BIG", []),
    ],
)
def test_an_errno_is_asked_of_every_kernel(text, kernels):
    assert left(parse_errno(text)) == kernels


@pytest.mark.parametrize(
    "text",
    [
        *("hold", "=ok", "hold=", "hold=EBUSY", "hold=25", "hold:1=ok", "sneeze=ok"),
        *("alloc_memseg=ok", "alloc_memseg:x=ok", "alloc_memseg:\u0664=ok", "mmap_memseg=ok"),
        *("mmap_memseg:4K=ok", "npt_op:SNEEZE=ok", "track_dirty_pages:1=ok"),
    ],
)
def test_what_is_no_errno_is_refused(text):
    with pytest.raises(BadValue):
        parse_errno(text)
    assert len(forms()) == 6


# Counters.


@pytest.mark.parametrize(
    ("counters", "kernels"),
    [
        (Counters(resident=0), list(REVISIONS)),
        (Counters(resident=4096), ["13896", "14367", "15844", "2025"]),
        (Counters(wired=0), OLD),
        (Counters(resident=0, wired=1 << 33), OLD),
        (Counters(resident=4096, wired=4096), []),
    ],
)
def test_counters_tell_before_from_after_the_vmspace(counters, kernels):
    assert left(counters) == kernels


def test_a_counter_of_no_whole_pages_is_refused():
    with pytest.raises(BadValue, match="whole pages"):
        Counters(resident=1)


# Memory maps.

USUAL = (
    "0           3072MB      sysmem      0           RWX\n"
    "FFE00000    2048KB      bootrom     0           R-X\n"
    "100000000   5120MB      sysmem      0           RWX\n"
)


def test_an_ordinary_map_is_possible_everywhere():
    assert left(memory_map(USUAL)) == list(REVISIONS)


def test_a_map_across_512_gib_is_not_of_15844():
    evidence = memory_map("0 1024GB sysmem 0 RWX\n")
    assert left(evidence) == [gpt for gpt in REVISIONS if gpt != "15844"]
    assert reasons(evidence)["15844 production EPT"] == [
        (1, "line 2: panic C in vmm_gpt_populate_region")
    ]


def test_a_map_past_64_tib_is_of_before_the_vmspace():
    assert left(memory_map("3FFFFFE00000 4096KB sysmem 0 RWX\n")) == OLD


def test_a_length_that_may_have_been_rounded_rules_nothing_out():
    """What is printed as 100MB may end before the line that 100 MiB would cross by a page."""
    evidence = memory_map("7FF9C01000 100MB sysmem 0 RWX\n")
    assert "15844" in left(evidence)
    assert evidence.remark.startswith("bhyvectl rounds lengths")
    assert "15844" not in left(memory_map("7FFFFFF000 8192B sysmem 0 RWX\n"))


def test_segment_4_is_of_kernels_with_five():
    segs = "ID  Length      Name\n0   3072MB      sysmem\n4   2048KB      fourth\n"
    assert left(memory_map(USUAL, segs + HEAD)) == ["15844", "2025"]


def test_five_segments_need_an_id_that_some_kernels_lack():
    rows = "".join(f"{gpa}00000 1024KB s{gpa} 0 RW-\n" for gpa in range(5))
    assert left(memory_map(rows)) == ["15844", "2025"]
    one_name = "".join(f"{gpa}00000 1024KB sysmem 0 RW-\n" for gpa in range(5))
    assert left(memory_map(one_name)) == list(REVISIONS)


def test_a_wired_map_without_r_panics_some():
    evidence = memory_map("0 4096KB sysmem 0 --X wired\n")
    assert left(evidence)[:3] == ["13932 DEBUG EPT", "13932 production", "14042 DEBUG EPT"]
    assert reasons(evidence)["14042 DEBUG RVI"] == [(1, "line 2: panic E in rvi_ops_map")]
    assert reasons(evidence)["14042 production RVI"] == []


def test_nine_memmaps_are_too_many_for_all():
    rows = "".join(f"{gpa}00000 1024KB sysmem 0 RWX\n" for gpa in range(9))
    assert left(memory_map(rows)) == []


# Together.


def test_evidence_adds_up():
    assert left(parse_errno("npt_op=ENOTTY"), parse_errno("alloc_memseg:4=ok")) == ["15844"]
    why = reasons(parse_errno("hold=ENOTTY"), Counters(resident=4096))
    assert why["13932 DEBUG RVI"] == [
        (2, "its resident memory is always 0: it counts wired memory")
    ]
    assert why["2025 DEBUG RVI"] == [(1, "ok here")]
    assert all(why.values())
