"""A recording held against the kernels: which fit, where they part, and what is unknown."""

from __future__ import annotations

import json
import re
from itertools import islice
from random import Random

import pytest

from bhyvesim import limits
from bhyvesim.errors import BadValue
from bhyvesim.explore.identify import Candidate, named
from bhyvesim.explore.live import Judge
from bhyvesim.explore.sequences import Plan, at_random
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.ops import ioctls as ops
from tests.live.host import BHYVECTL, VMM, Host, errno, lost, replaced

BUILT_IN = tuple(name for name, revision in REVISIONS.items() if not revision.digest)
MIB = 1 << 20


def judged(text, gpts=BUILT_IN):
    """Each VM of the recording *text*."""
    judge = Judge(gpts)
    for number, line in enumerate(text.splitlines(), start=1):
        judge.read(number, line)
    return judge.finish()


def agreeing(vm):
    return named(c for c, difference in vm.differences.items() if difference is None)


def a_life(guest, pages=3):
    """Two segments, two memmaps, some pages touched."""
    return guest.do(
        ops.AllocMemseg(0, 2 * MIB, ""),
        ops.AllocMemseg(1, 2 * MIB, "bootrom"),
        ops.MmapMemseg(0, 0, 0, 2 * MIB, 7),
        ops.MmapMemseg(4 * MIB, 1, 0, MIB, 5),
        ops.Access(0, pages, 2),
    )


@pytest.mark.parametrize("gpt", BUILT_IN)
@pytest.mark.parametrize("faults", [True, False])
def test_random_lives_fit_the_kernel_that_they_are_of(gpt, faults):
    """Holds and devices are not recorded, and change no answer."""
    told_apart = 0
    for case in islice(at_random(Plan((gpt,), 11, 300, ("hold", "release"))), 40):
        host, create = Host(faults=faults), case.create
        more = {"track_dirty": create.track_dirty, "apicv": create.apicv}
        guest = host.create(gpt=gpt, debug=create.debug, npt=create.npt, **more)
        guest.do(*case.operations)
        if not guest.stopped:
            host.end()
        [vm] = judged(host.text)
        assert vm.differences.get(Candidate(gpt, create.debug, create.npt)) is None
        assert (vm.life.unknown_from is None) == (not guest.stopped or vm.life.ended)
        told_apart += len(agreeing(vm)) < len(BUILT_IN)
    assert told_apart > (3 if faults else 0)


@pytest.mark.parametrize(
    ("gpt", "left"),
    [
        ("13932", ["13932", "14042"]),
        ("14042", ["13932", "14042"]),
        ("13896", ["13896", "14367", "15844", "2025"]),
        ("14367", ["14367"]),
        ("15844", ["15844", "2025"]),
        ("2025", ["2025"]),
    ],
)
def test_the_kernels_that_are_left(gpt, left):
    host = Host()
    guest = a_life(host.create(gpt=gpt))
    guest.do(ops.TrackDirtyPages(0, MIB), ops.NptOp(0, MIB, 3))
    [vm] = judged(host.end().text)
    assert agreeing(vm) == left
    assert vm.life.unknown_from is None


def test_builds_are_told_apart_by_a_panic():
    """What a production kernel survived is no DEBUG one."""
    host = Host()
    guest = host.create(gpt="14042", debug=False)
    guest.do(
        ops.AllocMemseg(0, 16384, ""),
        ops.MmapMemseg(0x1FF000, 0, 0, 4096, 7),
        ops.MmapMemseg(0x1FE000, 0, 0, 4096, 7),
        ops.Access(0x1FE000, 1, 2),
        ops.MunmapMemseg(0x1FF000, 4096),
    )
    [vm] = judged(host.end().text)
    assert "14042 production" in agreeing(vm)
    difference = vm.differences[Candidate("14042", True, "rvi")]
    assert difference[1:] == ("vm_munmap_memseg", "ok", "panic in vmm_gpt_vacate_entry")
    assert difference.line == host.last(fn="vm_munmap_memseg")


def test_a_planted_difference_is_found_at_its_line():
    host = Host()
    a_life(host.create()).do(ops.MmapMemseg(0, 0, 0, MIB, 7), ops.MunmapMemseg(0, 2 * MIB))
    host.end()
    line = host.last(fn="vm_mmap_memseg", ret=errno("EFAULT"))
    [vm] = judged(replaced(host.text, line, ret=0))
    told = set(vm.differences.values())
    assert (line, "vm_mmap_memseg", "ok", "EFAULT") in told
    assert agreeing(vm) == []


def test_a_planted_difference_of_a_fault():
    host = Host()
    a_life(host.create())
    host.end()
    line = host.last(fn="vmc_fault", gpa=0x1000)
    [vm] = judged(replaced(host.text, line, ret=4))
    assert vm.differences[Candidate("2025", True, "rvi")] == (line, "vmc_fault", "FC_PROT", "ok")


def test_what_the_host_alone_decides_is_skipped():
    host = Host()
    a_life(host.create())
    host.end()
    line = host.last(fn="vm_alloc_memseg", ret=0)
    text = replaced(host.text, line, ret=errno("ENOMEM"))
    vm = judged(lost(text))[0]
    assert vm.skipped == 1
    assert vm.differences[Candidate("2025", True, "rvi")].function == "vm_mmap_memseg"


@pytest.mark.parametrize("several", [2, 3])
def test_interleaved_vms_are_told_apart(several):
    host = Host()
    guests = [host.create(f"vm{i}", vm=0xFFFF0000 + i * 0x1000) for i in range(several)]
    steps = [
        ops.AllocMemseg(0, 2 * MIB, ""),
        ops.MmapMemseg(0, 0, 0, 2 * MIB, 7),
        ops.Access(0, 2, 2),
        ops.NptOp(0, MIB, 3),
        ops.Destroy(),
    ]
    for step in steps:
        for guest in guests:
            guest.do(step)
    vms = judged(host.end().text)
    assert [vm.life.name for vm in vms] == [f"vm{i}" for i in range(several)]
    assert [agreeing(vm) for vm in vms] == [["2025"]] * several
    assert all(vm.life.ended and vm.life.unknown_from is None for vm in vms)


def test_an_address_is_used_again():
    host = Host()
    for _ in range(2):
        a_life(host.create()).do(ops.Destroy(), thread=BHYVECTL)
    vms = judged(host.end().text)
    assert len(vms) == 2
    assert all(vm.compared and vm.life.unknown_from is None for vm in vms)


def test_an_end_without_an_answer_whose_address_is_used_again():
    host = Host()
    for _ in range(2):
        a_life(host.create()).do(ops.Destroy())
    host.end()
    line = next(n for n, t in enumerate(host.lines, 1) if "vm_destroy" in t and "ret" in t)
    renumbered = []
    for text in lost(host.text, line).splitlines():
        record = json.loads(text)
        if record.get("tid") == 1 and "n" in record and len(renumbered) >= line - 1:
            record["n"] -= 1
        if record.get("tid") == 1 and "lines" in record:
            record["lines"] -= 1
        renumbered.append(json.dumps(record))
    vms = judged("\n".join(renumbered))
    assert [vm.life.unknown_from for vm in vms] == [None, None]
    assert [vm.life.under_way for vm in vms] == [None, None]
    assert all(vm.compared for vm in vms)


def test_an_end_that_comes_back_when_the_address_is_used_again_already():
    host = Host()
    a_life(host.create()).do(ops.Destroy(), thread=BHYVECTL)
    a_life(host.create())
    lines = host.end().lines
    answer = host.last(fn="vm_destroy", ret=0) - 1
    lines[answer], lines[answer + 1] = lines[answer + 1], lines[answer]
    for line in (answer, answer + 1):  # in the order of time, still
        lines[line] = json.dumps({**json.loads(lines[line]), "t": 1000000100000 + line}) + "\n"
    lines[answer + 2 :] = [
        re.sub(r'"t":10000000', '"t":10000002', line) for line in lines[answer + 2 :]
    ]
    vms = judged(host.text)
    assert [vm.life.unknown_from for vm in vms] == [None, None]
    assert [vm.compared for vm in vms] == [8, 7]


def _two():
    host = Host()
    first, second = host.create("first", vm=0xA000), host.create("second", vm=0xB000)
    for guest in (first, second):
        a_life(guest)
    first.do(ops.MunmapMemseg(0, 2 * MIB))
    second.do(ops.MunmapMemseg(0, 2 * MIB), ops.NptOp(0, MIB, 3))
    return host.end()


def test_any_line_may_be_lost_and_nothing_false_is_said():
    host = _two()
    truth = Candidate("2025", True, "rvi")
    calls = sum('"fn"' in line for line in host.lines)
    for number in range(2, calls + 2):
        mine = "first" if '"vm":"a000"' in host.lines[number - 1] else "second"
        for vm in judged(lost(host.text, number)):
            known = vm.life.unknown_from is None
            assert known == (vm.life.name != mine and vm.life.name != "?")
            assert vm.differences.get(truth) is None
            if not known:
                assert vm.life.unknown_from <= max(number, vm.life.first)


@pytest.mark.parametrize("gpt", BUILT_IN)
def test_whatever_is_lost_nothing_false_is_said(gpt):
    """Random lines of random lives of two VMs; what is left never speaks against the truth."""
    rng = Random(gpt)
    cases = at_random(Plan((gpt,), 23, 60, ("hold", "release", "access_batch")))
    unknown = 0
    for _ in range(25):
        host, guests = Host(), []
        for vm, case in zip((0xA000, 0xB000), cases, strict=False):
            create = case.create
            more = {"debug": False, "npt": create.npt, "track_dirty": create.track_dirty}
            guests.append((host.create(gpt=gpt, vm=vm, **more), case))
        for step in range(30):
            for guest, case in guests:
                guest.do(*case.operations[step : step + 1], thread=rng.choice((VMM, BHYVECTL)))
        host.end()
        gone = rng.sample(range(1, len(host.lines)), k=rng.randint(1, 4))
        of_vms = {n for n in gone if '"fn"' in host.lines[n - 1]}
        truth = [Candidate(gpt, False, case.create.npt) for _, case in guests]
        vms = judged(lost(host.text, *gone))
        for vm in vms:
            mine = truth[vm.life.vm == "b000"]
            assert vm.differences.get(mine) is None
        touched = {json.loads(host.lines[n - 1])["vm"] for n in of_vms}
        assert touched <= {vm.life.vm for vm in vms if vm.life.unknown_from is not None}
        unknown += bool(touched)
    assert unknown > 10


def test_several_lines_lost_at_the_end_of_a_thread_are_missed_by_the_count():
    host = _two()
    line = host.last(fn="vm_npt_do_operation")
    vms = judged(lost(host.text, line, line - 1))
    assert [vm.life.unknown_from is None for vm in vms] == [True, False]
    assert "2 lines of it lost" in vms[1].life.why


def test_a_difference_after_a_loss_is_none():
    """The memmap whose making is lost is faulted on by another thread."""
    host = Host()
    a_life(host.create())
    host.end()
    lines = [n for n, text in enumerate(host.lines, start=1) if "vm_mmap_memseg" in text]
    [vm] = judged(lost(host.text, *lines))
    assert vm.life.unknown_from == lines[0]
    assert vm.differences[Candidate("2025", True, "rvi")] is None


def test_drops_that_the_numbers_account_for_leave_others_alone():
    host = _two()
    line = host.last(fn="vm_npt_do_operation")
    text = lost(host.text, line) + "dtrace: 1 drop on CPU 1\n"
    assert [vm.life.unknown_from is None for vm in judged(text)] == [True, False]


def test_drops_that_nothing_accounts_for_make_all_unknown_from_there():
    lines = _two().text.splitlines()
    lines.insert(12, "dtrace: 34 drops on CPU 1")
    assert [vm.life.unknown_from for vm in judged("\n".join(lines))] == [13, 13]


@pytest.mark.parametrize(
    "said",
    ["dtrace: 2 dynamic variable drops with non-empty dirty list", "dtrace: 1 aggregation drop"],
)
@pytest.mark.parametrize("after", ["", "\ndtrace: 1 drop on CPU 1\n"])
def test_drops_that_make_the_numbers_worthless(said, after):
    """They stay so, whatever dtrace counts afterwards."""
    vms = judged(_two().text + said + after)
    assert [vm.life.unknown_from for vm in vms] == [vm.life.first for vm in vms]


def test_drops_without_the_counts_at_the_end():
    host = _two()
    lines = [line for line in host.lines if '"live"' not in line]
    vms = judged("".join([*lines, "dtrace: 3 drops on CPU 0\n"]))
    assert all(vm.life.unknown_from == vm.life.first and not vm.compared for vm in vms)


def test_dtrace_says_other_things():
    head = "dtrace: script 'record.d' matched 43 probes\ndtrace: buffer size lowered to 4m\n\n"
    assert all(vm.life.unknown_from is None for vm in judged(head + _two().text))


def test_a_cut_last_line():
    host = _two()
    whole = [line for line in host.lines if '"live":"' not in line]
    text = "".join(whole[:-1]) + whole[-1][:40]
    vms = judged(text)
    assert vms[1].life.unknown_from == len(whole)
    assert vms[0].life.unknown_from == len(whole) + 1
    assert agreeing(vms[1]) == ["13896", "14367", "15844", "2025"]


def test_a_creation_that_was_not_recorded():
    host = _two()
    [second, first] = judged(lost(host.text, 1, 2))
    assert (first.life.name, first.life.unknown_from, first.compared) == ("?", 2, 0)
    assert "creation" in first.life.why
    assert second.life.unknown_from is None


def test_lines_out_of_order():
    host = _two()
    lines = host.lines
    lines[3], lines[4] = lines[4], lines[3]
    vms = judged("".join(lines))
    assert [vm.life.unknown_from is None for vm in vms] == [False, True]


def test_an_operation_that_never_came_back():
    """The last line before a panic: which of the kernels that agree panic there."""
    host = Host()
    guest = a_life(host.create(gpt="15844"))
    guest.do(ops.AllocMemseg(2, 4 * MIB, ""), ops.MmapMemseg((512 << 30) - MIB, 2, 0, 2 * MIB, 7))
    assert guest.stopped
    [vm] = judged(host.text)
    assert agreeing(vm) == ["13896", "14367", "15844", "2025"]
    assert vm.life.unknown_from == len(host.lines) + 1
    assert vm.life.under_way[:2] == (len(host.lines), "vm_mmap_memseg")
    assert {(c.gpt, stop) for c, stop in vm.stops.items()} == {
        ("15844", "panic in vmm_gpt_populate_region")
    }
    assert len(vm.stops) == 4


def test_a_panic_of_debug_kernels_alone():
    host = Host()
    guest = host.create(gpt="14042", debug=True)
    guest.do(
        ops.AllocMemseg(0, 16384, ""),
        ops.MmapMemseg(0x1FF000, 0, 0, 4096, 7),
        ops.MmapMemseg(0x1FE000, 0, 0, 4096, 7),
        ops.Access(0x1FE000, 1, 2),
        ops.MunmapMemseg(0x1FF000, 4096),
    )
    assert guest.stopped
    [vm] = judged(host.text)
    assert set(vm.stops.values()) == {"panic in vmm_gpt_vacate_entry"}
    assert all(candidate.debug for candidate in vm.stops)


def test_a_call_without_an_answer_and_others_after_it():
    host = Host()
    guest = a_life(host.create())
    guest.do(ops.NptOp(0, MIB, 3), thread=BHYVECTL)
    guest.do(ops.Access(0x100000, 1, 2))
    answer = host.last(fn="vm_npt_do_operation")
    [vm] = judged(lost(host.text, answer))
    assert vm.life.unknown_from == answer
    assert vm.life.why == "vm_npt_do_operation has no answer"
    assert vm.life.under_way is None


def test_a_device_that_is_passed_through():
    host = Host()
    guest = a_life(host.create())
    text = host.end().text
    mmio = '{"vm":"%x","pid":100,"tid":7,"n":%d,"t":2000000000000,"fn":"vm_map_mmio",%s}\n'
    lines = [mmio % (guest.vm, 1, '"gpa":8388608,"len":4096'), mmio % (guest.vm, 2, '"ret":0')]
    total = f'{{"live":"lines","vm":"{guest.vm:x}","pid":100,"tid":7,"lines":2}}\n'
    calls = [line for line in text.splitlines(True) if '"live":"' not in line]
    rest = [line for line in text.splitlines(True) if '"live":"' in line]
    [vm] = judged("".join([*calls, *lines, total, *rest]))
    assert vm.life.unknown_from == len(calls) + 2
    assert "passed through" in vm.life.why


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"op":"create","gpt":"2025"}', '"vm" is missing'),
        ('{"live":2}', "lines of format 2"),
        ('{"live":"x"}', "another recording"),
        ('{"vm":"a","pid":1,"tid":1,"n":1,"t":1,"fn":"exit","ret":0}', "no function of these"),
        ('{"vm":"A","pid":1,"tid":1,"n":1,"t":1,"fn":"vm_reinit"}', "no address"),
        ('{"vm":"a","pid":1.5,"tid":1,"n":1,"t":1,"fn":"vm_reinit"}', "no number"),
        ('{"vm":"a","pid":1,"tid":1,"n":true,"t":1,"fn":"vm_reinit"}', "in another way"),
        ('{"vm":"a","pid":1,"tid":1,"n":1,"t":1,"fn":"vm_reinit","ret":99e9}', "in another way"),
        ('{"vm":"a","pid":1,"tid":1,"n":1,"t":1,"fn":"vmc_fault","gpa":0,"prot":1}', "in another"),
        ('{"vm":"a","pid":1,"tid":1,"n":1,"t":1,"fn":["x"]}', "no function of these"),
    ],
)
def test_lines_of_another_shape_are_refused(line, problem):
    judge = Judge(BUILT_IN)
    with pytest.raises(BadValue, match=problem):
        judge.read(1, line)


def test_damaged_recordings_are_refused_or_read():
    """Bytes changed, taken out, put in: one error, or verdicts; never anything else."""
    whole = _two().text.encode()
    errors = []
    for seed in range(200):
        rng = Random(seed)
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            end = at + rng.randint(0, 50)
            odd = rng.choice((b"\xff", b"-1", b"1e999", b"9" * 5000, b"{", b"[", b"null", b"\n"))
            data[at:end] = rng.choice((odd, b"", data[at:end] * 2))
        try:
            for vm in judged(data.decode("utf-8", "replace")):
                assert vm.compared >= 0
        except BadValue as error:
            errors.append(str(error))
    assert 0 < len(errors) < 200
    assert not any("\n" in error for error in errors)


def test_the_number_of_vms_is_bounded():
    host = Host()
    for number in range(limits.LIVE_VMS.most + 1):
        host.create(vm=0x1000 * (number + 1))
    with pytest.raises(BadValue, match="too many VMs"):
        judged(host.text)


def test_one_recording_at_a_time():
    with pytest.raises(BadValue, match="after the last one"):
        judged(_two().text * 2)
