"""Live migrations rehearsed: what arrives, by the bytes at both ends."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bhyvesim import Machine, Refused
from bhyvesim.errors import BadValue
from bhyvesim.kernel.contents import read_segment
from bhyvesim.kernel.npt import (
    dirty_operation,
    npt_operation,
    sweep_dirty,
    track_dirty_pages,
)
from bhyvesim.ops.contents import Write
from bhyvesim.span import Span
from bhyvesim.units import GIB, MIB
from bhyvesim.vm import life
from bhyvesim.vm.layouts import propolis
from bhyvesim.vm.migration.marks import Marks
from bhyvesim.vm.migration.memory import Ram, target_spec
from bhyvesim.vm.migration.plan import DEVICE_WRITES, DISCIPLINES, Plan, parse_fail_after
from bhyvesim.vm.migration.rehearsal import Rehearsed, leaves_marks, rehearse
from bhyvesim.vm.spec import KernelSpec, TouchSpec, VmSpec

TRACKING = ("14367", "15844", "2025")
RIGHT = [
    *((gpt, "all-first", "held") for gpt in TRACKING),
    ("2025", "all-first", "marked"),
    ("2025", "dirty-only", "held"),
    ("2025", "dirty-only", "marked"),
    ("2025", "never-reset", "held"),
]


def guest(gpt="2025", cpu="amd", memory=64 * MIB, touches=None, track=True) -> VmSpec:
    layout = propolis(memory, 2 * MIB, {})
    kernel = KernelSpec(gpt)
    return VmSpec(
        "source", kernel, cpu, *layout, touches=touches, track_dirty=track, vmm="propolis"
    )


def booted(spec: VmSpec) -> Machine:
    machine = life.build(spec)
    life.boot(machine, spec)
    return machine


class Trip:
    """A guest moved, with both of its machines."""

    def __init__(self, spec: VmSpec, to: str | None = None, arrived=False, **plan) -> None:
        self.source = booted(spec)
        there = target_spec(spec, self.source, "target", to)
        self.target = life.new_machine(there)
        self.came = rehearse(Plan(**plan), self.source, there, self.target, arrived=arrived)


def came(spec: VmSpec, **keys) -> Rehearsed:
    return Trip(spec, **keys).came


@pytest.mark.parametrize("gpt", TRACKING)
@pytest.mark.parametrize("cpu", ["amd", "intel"])
def test_the_bytes_at_both_ends_agree(gpt, cpu):
    trip = Trip(guest(gpt, cpu), rounds=3)
    hardware_never_marks = (gpt, cpu) == ("14367", "intel")
    same = all(
        read_segment(trip.source, 0, offset, 4096) == read_segment(trip.target, 0, offset, 4096)
        for offset in range(0, 64 * MIB, 4096)
    )
    assert same is not hardware_never_marks
    assert bool(trip.came.lost) is hardware_never_marks
    assert any(data.strip(b"\0") for _, data in trip.target.contents.items())


def test_what_is_told_as_lost_is_what_differs():
    trip = Trip(guest(touches=()), discipline="taken-lost", fail_after=1, devices=50)
    told = {
        gone.gpa + 4096 * i
        for gone in trip.came.gone()
        for i in range(gone.pages)
        if gone.by != "unknown"
    }
    differ = {
        gpa
        for gpa in range(0, 64 * MIB, 4096)
        if read_segment(trip.source, 0, gpa, 4096) != read_segment(trip.target, 0, gpa, 4096)
    }
    assert told == differ != set()
    assert trip.came.lost == len(differ)


@settings(max_examples=150)
@given(
    st.sampled_from(RIGHT),
    st.integers(0, 1 << 32),
    st.integers(0, 60),
    st.integers(1, 4),
    st.integers(0, 100),
    st.integers(1, 3),
    st.booleans(),
)
def test_the_right_ways_lose_nothing(way, seed, writes, rounds, devices, hops, fails):
    gpt, discipline, device_writes = way
    plan = {"seed": seed, "writes": writes, "rounds": rounds, "devices": devices, "hops": hops}
    ways = {"discipline": discipline, "device_writes": device_writes}
    fail_after = 1 + seed % (rounds + 1) if fails else None
    found = came(guest(gpt), fail_after=fail_after, **plan, **ways)
    assert (found.lost, found.unknown) == (0, 0)


@pytest.mark.parametrize("gpt", TRACKING)
def test_a_second_hop_loses_what_arrived_clean(gpt):
    found = came(guest(gpt), discipline="arrived-clean", hops=2)
    assert found.pages["before"] > 15_000
    assert found.unknown == 0
    assert {gone.hop for gone in found.gone()} == {2}
    assert came(guest(gpt), discipline="arrived-clean").lost == 0
    assert came(guest(gpt), discipline="all-first", hops=2).lost == 0


@pytest.mark.parametrize("gpt", TRACKING)
def test_a_second_attempt_loses_what_the_first_took(gpt):
    found = came(guest(gpt), discipline="taken-lost", fail_after=1)
    assert found.pages["before"] > 15_000
    assert came(guest(gpt), discipline="taken-lost").lost == 0
    kept = came(guest(gpt), discipline="dirty-only", fail_after=1)
    assert kept.lost == 0
    first = next(r for r in kept.rounds if r.attempt == 2)
    everything = 64 * MIB // 4096
    assert first.offered == everything  # set again on 2025; all RAM is offered before


def test_older_kernels_offer_all_ram_after_a_failed_attempt():
    half = (TouchSpec(0, 32 * MIB, 2),)
    for gpt in TRACKING:
        found = came(guest(gpt, touches=half), discipline="dirty-only", fail_after=1)
        first = next(r for r in found.rounds if r.attempt == 2)
        assert (first.offered == 64 * MIB // 4096) is (gpt != "2025")
        assert found.lost == 0


def test_bits_that_are_never_reset_cost_and_lose_nothing():
    found = came(guest(), discipline="never-reset", rounds=4)
    everything = 64 * MIB // 4096
    assert [r.offered for r in found.rounds] == [everything] * 5
    assert (found.again, found.lost) == (4 * everything, 0)
    right = came(guest(), discipline="dirty-only", rounds=4)
    assert right.again < everything


@pytest.mark.parametrize(
    ("gpt", "device_writes", "loses"),
    [
        ("14367", "late", True),
        ("14367", "deferred", False),  # no release could ask for that
        ("15844", "deferred", True),
        ("2025", "deferred", True),
        *((gpt, "mapped", True) for gpt in TRACKING),
        *((gpt, "held", False) for gpt in TRACKING),
        ("2025", "marked", False),
    ],
)
@pytest.mark.parametrize("discipline", ["all-first", "dirty-only"])
def test_devices_whose_writes_set_no_bit(gpt, device_writes, loses, discipline):
    found = came(
        guest(gpt), devices=100, device_writes=device_writes, discipline=discipline, rounds=3
    )
    assert bool(found.pages["device"]) is loses
    assert found.lost == found.pages["device"]


@pytest.mark.parametrize(
    ("spec", "errno", "plan"),
    [
        (guest("13932"), "ENOTTY", {}),
        (guest("14042"), "ENOTTY", {}),
        (guest("13896"), "ENOTTY", {}),
        (guest("15844", track=False), "EPERM", {}),
        (guest("2025", track=False), "EPERM", {}),
        (guest("15844"), "ENOTTY", {"discipline": "never-reset"}),
        (guest("15844"), "ENOTTY", {"discipline": "dirty-only", "hops": 2}),
        (guest("15844"), "ENOTTY", {"device_writes": "marked"}),
        (guest("2025"), "EINVAL", {"device_writes": "late"}),
        (guest("14367"), "EINVAL", {"device_writes": "late", "hops": 2, "to": "15844"}),
        (replace(guest(), segments=(), mappings=()), "EINVAL", {}),
    ],
)
def test_what_no_kernel_offers_is_refused(spec, errno, plan):
    with pytest.raises(Refused) as caught:
        came(spec, **plan)
    assert caught.value.errno_name == errno


def test_a_read_bit_of_a_vm_without_tracking_needs_none_on_14367():
    assert came(guest("14367", track=False), devices=0).lost == 0
    assert came(guest("14367", track=False), devices=100, rounds=2).pages["device"] > 0


def test_bytes_that_the_vmm_wrote_have_no_bit():
    spec = guest(touches=())
    for discipline, lost in (("dirty-only", 1), ("all-first", 0)):
        source = booted(spec)
        Write(segid=0, segoff=8 * MIB, data=b"a kernel").do(source)
        there = target_spec(spec, source, "target", None)
        plan = Plan(discipline, writes=0)
        found = rehearse(plan, source, there, life.new_machine(there))
        assert [(g.gpa, g.pages, g.by) for g in found.gone()] == [(8 * MIB, 1, "before")] * lost


def test_clean_pages_may_have_been_written():
    spec = guest()
    source = booted(spec)
    track_dirty_pages(source, 0, 64 * MIB)
    there = target_spec(spec, source, "target", None)
    found = rehearse(Plan("dirty-only", writes=0), source, there, life.new_machine(there))
    assert (found.lost, found.unknown) == (0, 64 * MIB // 4096)
    assert [gone.by for gone in found.gone()] == ["unknown"]
    intel = came(guest("14367", "intel"), discipline="dirty-only")
    assert intel.unknown > 0  # its hardware marks nothing, so nobody knows
    assert (intel.blind, came(guest("2025", "intel")).blind) == (("14367",), ())


def test_pages_that_came_by_an_earlier_migration_are_not_known():
    spec = guest(touches=())
    assert came(spec, discipline="dirty-only", writes=0).unknown == 0
    assert came(spec, discipline="dirty-only", writes=0, arrived=True).unknown == 16384
    assert came(spec, writes=0, arrived=True).unknown == 0


def test_marks_at_the_target_tell_what_arrived():
    marked = Trip(guest(), discipline="dirty-only")
    assert leaves_marks(Plan("dirty-only"), marked.target.revision)
    assert marked.target.dirty == [(0, 16384)]
    clean = Trip(guest(), discipline="arrived-clean")
    assert not leaves_marks(Plan("arrived-clean"), clean.target.revision)
    assert clean.target.dirty == []


def test_another_kernel_at_the_target():
    trip = Trip(guest("15844"), to="2025", discipline="dirty-only", hops=2)
    assert (trip.target.revision.name, trip.came.lost) == ("2025", 0)
    with pytest.raises(Refused, match="has no VM_NPT_OPERATION to mark"):
        Trip(guest("2025"), to="15844", discipline="dirty-only", hops=2)


def test_a_seed_reproduces_and_another_does_not():
    plan = {"discipline": "taken-lost", "fail_after": 1}
    runs = [list(came(guest(), seed=seed, **plan).gone()) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("prot", [5, 2])
def test_a_guest_that_cannot_write_is_moved_all_the_same(prot):
    spec = guest()
    spec = replace(spec, mappings=tuple(m._replace(prot=prot) for m in spec.mappings))
    found = came(spec)
    assert {(r.guest, r.device) for r in found.rounds} == {(0, 0)}
    assert found.lost == 0


def calls_of(memory: int, discipline: str) -> int:
    """How many functions are called for a rehearsal with a guest of *memory* bytes."""
    trip_of = guest("2025", memory=memory)
    count = 0

    def watch(frame, event, argument):
        nonlocal count
        count += event == "call"

    sys.setprofile(watch)
    try:
        came(trip_of, discipline=discipline, hops=2, fail_after=1, writes=8)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_a_guest_of_a_tebibyte_is_no_more_work(discipline):
    small, large = calls_of(4 * GIB, discipline), calls_of(1024 * GIB, discipline)
    assert large < 2 * small


@pytest.mark.parametrize("gpt", TRACKING)
@pytest.mark.parametrize("reset", [True, False])
def test_a_sweep_is_what_the_ioctl_reads_piece_by_piece(gpt, reset):
    spec = guest(gpt, memory=400 * MIB, touches=(TouchSpec(5 * MIB, 300 * MIB, 2),))
    swept, asked = booted(spec), booted(spec)
    for machine in (swept, asked):
        machine.access_batch([4096 * page for page in range(90_000, 91_000, 3)], "w")
    span = Span(0, 400 * MIB)
    if not reset:
        if gpt != "2025":
            with pytest.raises(Refused, match="ENOTTY"):
                sweep_dirty(swept, span, reset=False)
            return
        before = swept.dump()
        assert sweep_dirty(swept, span, reset=False) == sweep_dirty(swept, span, reset=True)
        assert before != swept.dump()
        return
    runs = sweep_dirty(swept, span)
    bitmaps = b"".join(
        track_dirty_pages(asked, gpa, min(128 * MIB, span.end - gpa))
        for gpa in range(0, span.end, 128 * MIB)
    )
    told = 0
    for first, end, bits in runs:
        for index in range(first, end):
            told |= bits << (512 * index)
    assert told == int.from_bytes(bitmaps, "little")
    assert swept.dump() == asked.dump()


MARKED = st.sets(st.integers(0, 100_000), max_size=30)


@settings(max_examples=20)
@given(MARKED, st.integers(0, 90_000), st.integers(0, 70_000))
def test_marks_are_set_as_bitmaps_would_set_them(single, first, count):
    spec = guest(memory=400 * MIB, touches=(TouchSpec(0, 8 * MIB, 1),))
    marked, asked = booted(spec), booted(spec)
    pages = single | set(range(first, min(first + count, 102_400)))
    marks = Marks.of(single) | Marks.over([range(first, min(first + count, 102_400))])
    Ram.empty(marked).mark(marks)
    for gpa in range(0, 400 * MIB, 128 * MIB):
        length = min(128 * MIB, 400 * MIB - gpa)
        here = range(gpa // 4096, (gpa + length) // 4096)
        bits = sum(1 << (page - here.start) for page in pages if page in here)
        operation, bitmap = dirty_operation("SET_DIRTY", length, bits)
        npt_operation(asked, gpa, length, operation, bitmap)
    assert marked.dump() == asked.dump()


def test_a_sweep_is_heard_as_the_calls_that_it_is():
    machine = booted(guest(memory=400 * MIB))
    heard = []
    machine.listen(heard.append)
    sweep_dirty(machine, Span(0, 400 * MIB))
    entered = [f for f in heard if not f.returned and f.function.name == "vm_track_dirty_pages"]
    assert [(f.times, f.step) for f in entered] == [(4, 128 * MIB)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"discipline": "best"},
        {"device_writes": "quick"},
        {"rounds": 0},
        {"writes": -1},
        {"devices": 101},
        {"hops": 9},
        {"fail_after": 3},
        {"writes": 10_000, "rounds": 10},
        {"writes": 10_000, "rounds": 3, "fail_after": 1, "hops": 2},
    ],
)
def test_plans_that_are_none(wrong):
    with pytest.raises(BadValue):
        Plan(**wrong)


def test_a_round_to_fail_after():
    assert parse_fail_after("2", 3) == 2
    assert parse_fail_after("paused", 3) == 4
    for word in ("0", "4", "x", "99999999999"):
        with pytest.raises(BadValue, match="1 to 3, or paused"):
            parse_fail_after(word, 3)


def test_every_word_has_its_meaning():
    assert all(way.meaning for way in DISCIPLINES.values())
    assert all(DEVICE_WRITES.values())
