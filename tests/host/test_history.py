"""The past of a VM: every moment is as it was, and can be gone back to."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bhyvesim.config.vm import load
from bhyvesim.errors import Refused, UsageError
from bhyvesim.host import event as events
from bhyvesim.host.drift import drifts
from bhyvesim.host.history import History
from bhyvesim.host.host import Host, Stopped
from bhyvesim.host.rerun import causes, on_two_kernels
from bhyvesim.ops.contents import Fill
from bhyvesim.ops.ioctls import Access, Hold, MmapMemseg, MunmapMemseg, NptOp, Release
from bhyvesim.store.rows import StateError
from bhyvesim.store.store import Store
from bhyvesim.vm.spec import empty_vm

NOW = 1630143825 * 10**9
MIB = 1 << 20
PAGE = 4096


@pytest.fixture
def host(tmp_path):
    return Host(Store(str(tmp_path / "state")), lambda: NOW)


@pytest.fixture
def testvm(config):
    with open(config("testvm"), "rb") as file:
        return load(file.read(), "testvm")


def on(spec, gpt, debug=True):
    return replace(spec, kernel=replace(spec.kernel, gpt=gpt, debug=debug))


def snapshot(history, when):
    return history.past(history.find(when)).machine.snapshot()


MOVES = st.one_of(
    st.tuples(st.just("touch"), st.integers(0, 700), st.integers(1, 600), st.sampled_from("rw")),
    st.tuples(st.just("fill"), st.integers(0, 60), st.integers(1, 3 * PAGE), st.integers(0, 255)),
    st.tuples(st.just("map"), st.sampled_from([8, 64, 1024]), st.booleans()),
    st.tuples(st.just("unmap"), st.sampled_from([0, 8, 64, 1024])),
    st.tuples(st.just("reset"), st.integers(0, 8)),
    st.tuples(st.just("reboot")),
    st.tuples(st.just("off")),
)


def move(host, what):
    word, *rest = what
    if word == "touch":
        page, pages, prot = rest
        host.perform("x", word, Access(page * PAGE, pages, {"r": 1, "w": 2}[prot]))
    elif word == "fill":
        page, length, byte = rest
        host.perform("x", word, Fill(segid=0, segoff=page * PAGE + 5, length=length, byte=byte))
    elif word == "map":
        host.perform("x", word, MmapMemseg(rest[0] * MIB, 0, 0, MIB, 7, rest[1]))
    elif word == "unmap":
        host.perform("x", word, MunmapMemseg(rest[0] * MIB, 4 * MIB if not rest[0] else MIB))
    elif word == "reset":
        host.perform("x", word, NptOp(0, rest[0] * PAGE, 1))
    elif word == "reboot":
        host.reboot("x")
    else:
        host.power_off("x")


FOLDERS = itertools.count()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(MOVES, max_size=10))
def test_every_moment_is_as_it_was_and_can_be_gone_back_to(tmp_path, moves):
    host = Host(Store(str(tmp_path / str(next(FOLDERS)))), lambda: NOW)
    host.create(empty_vm("x"))
    host.set_memory("x", 4)
    seen = {2: host.machine("x").snapshot()}
    for what in moves:
        with suppress(Refused):
            move(host, what)
        last = History(host.store, "x").last
        assert last - max(seen) in (0, 1)
        now = host.machine("x").snapshot()
        assert seen.setdefault(last, now) == now
    history = History(host.store, "x")
    for number, state in seen.items():
        assert snapshot(history, str(number)) == state
    for number in sorted(seen, reverse=True):
        assert host.machine("x").snapshot() == seen[number]
        if number > 2:
            assert History(host.store, "x").undo().number == number
    digests = {event.digest: number for number, event in enumerate(history.events)}
    assert len({seen[n] for n in seen}) <= len(digests)


def test_steps_of_a_reboot(host, testvm):
    host.create(on(testvm, "13932", debug=False))
    host.reboot("testvm")
    history = History(host.store, "testvm")
    assert [stage for stage, _ in history.events[1].stages] == ["reinit", "map", "boot"]
    rom = 0xFFE00000

    def maps_and_leaves(when):
        machine = history.past(history.find(when)).machine
        gpt = machine.space.gpt
        return (
            any(m.gpa == rom for m in machine.memmaps),
            gpt.has_leaf(rom),
            gpt.has_leaf(1 << 32),
        )

    assert maps_and_leaves("1") == maps_and_leaves("-1") == (True, True, True)
    assert maps_and_leaves("2.1") == (False, False, False)
    assert maps_and_leaves("2.2") == (True, False, False)
    assert maps_and_leaves("2.3") == maps_and_leaves("2") == (True, True, True)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("0", "there was no VM before event 1: expected 1 to 2"),
        ("3", "expected 1 to 2"),
        ("-2", "there was no VM before event 1"),
        ("2.4", "2.4' is no step: expected one of 2.1 (reinit), 2.2 (map), 2.3 (boot)"),
        ("2.0", "is no step"),
        ("two", "is no moment: expected an event such as 2"),
        ("1.", "is no moment"),
        ("-1.1", "is no moment"),
        ("²", "is no moment"),
        ("9" * 5000, "is no moment"),
    ],
)
def test_moments_that_are_not_there(host, testvm, when, said):
    host.create(testvm)
    host.reboot("testvm")
    with pytest.raises(UsageError) as caught:
        History(host.store, "testvm").find(when)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


def test_undo_brings_back_what_was_destroyed_and_removes_what_was_created(host, testvm):
    host.create(testvm)
    before = host.machine("testvm").snapshot()
    host.destroy("testvm")
    assert host.names() == []
    assert History(host.store, "testvm").undo().stages[0][0] == "destroy"
    assert host.machine("testvm").snapshot() == before
    History(host.store, "testvm").undo()
    assert host.names() == []
    with pytest.raises(Refused, match="ENOENT"):
        History(host.store, "testvm")


def test_undo_of_a_panic_removes_its_dump(host, testvm):
    host.create(on(testvm, "13932"))
    with pytest.raises(Stopped):
        host.reboot("testvm")
    History(host.store, "testvm").undo()
    with host.store.reading() as transaction:
        assert transaction.crash_count() == 0
        assert transaction.vm("testvm").state == "running"
    host.perform("testvm", "touch", Access(0, 1, 1))


def test_undo_of_a_vm_that_panicked_and_was_forgotten(host, testvm):
    host.create(on(testvm, "13932"))
    with pytest.raises(Stopped):
        host.reboot("testvm")
    host.destroy("testvm")
    assert History(host.store, "testvm").result(History(host.store, "testvm").events[-1]) == {
        "forgotten": "panicked"
    }
    History(host.store, "testvm").undo()
    with host.store.reading() as transaction:
        row = transaction.vm("testvm")
    assert (row.state, row.moment.crash) == ("panicked", 1)


def test_a_replaced_vm_comes_back_after_the_one_that_replaced_it(host, testvm):
    host.create(testvm)
    host.create(on(testvm, "2025"), replace=True)
    assert len(History(host.store, "testvm").events) == 1
    History(host.store, "testvm").undo()
    History(host.store, "testvm").undo()
    assert host.machine("testvm").revision.name == "14042"


def test_what_a_hold_and_a_power_off_change_is_an_event(host, testvm):
    host.create(on(testvm, "2025"))
    host.perform("testvm", "hold", Hold(0, 3))
    host.power_off("testvm")
    host.perform("testvm", "release", Release(1))
    history = History(host.store, "testvm")
    assert [history.action(event).word for event in history.events] == [
        "create",
        "hold",
        "power-off",
        "release",
    ]
    assert [history.past(history.after(event)).state for event in history.events] == [
        "running",
        "running",
        "off",
        "off",
    ]


def rows(host):
    with closing(sqlite3.connect(host.store.path)) as db:
        tables = ("event", "moment", "part", "spec")
        return [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]


def test_pruning_keeps_the_moment_before_the_oldest_event(host, testvm):
    host.create(testvm)
    for page in range(5):
        host.perform("testvm", "touch", Access((page + (1 << 20)) * PAGE, 1, 4))
        host.reboot("testvm")
    history = History(host.store, "testvm")
    states = {e.number: snapshot(history, str(e.number)) for e in history.events}
    keep = 3
    assert History(host.store, "testvm").prune(keep) == len(states) - keep
    kept = History(host.store, "testvm")
    numbers = [event.number for event in kept.events]
    assert numbers == sorted(states)[-keep:]
    for number in (numbers[0] - 1, *numbers):
        assert snapshot(kept, str(number)) == states[number]
    with pytest.raises(UsageError, match="before the oldest event that is kept"):
        kept.find(str(numbers[0] - 2))
    with pytest.raises(UsageError, match="does not begin with its create"):
        on_two_kernels(kept, "13932", "14042")
    for _ in range(keep):
        History(host.store, "testvm").undo()
    assert host.machine("testvm").snapshot() == states[numbers[0] - 1]
    with pytest.raises(Refused, match="no event"):
        History(host.store, "testvm").undo()


def test_a_history_has_its_bound(host, monkeypatch):
    monkeypatch.setattr(events, "KEPT_EVENTS", 5)
    monkeypatch.setattr(events, "_PRUNE_EVERY", 8)
    host.create(empty_vm("x"))
    host.set_memory("x", 2)
    for page in range(30):
        host.perform("x", "touch", Access(page * PAGE, 1, 2))
    history = History(host.store, "x")
    assert history.last == 32
    assert 5 <= len(history.events) <= 5 + 8
    assert rows(host)[0] == len(history.events)
    assert rows(host)[3] == 1


def test_an_event_costs_what_it_changed(host, testvm):
    host.create(testvm)
    size = _size(host)
    for page in range(100):
        host.perform("testvm", "touch", Access(page * PAGE, 1, 4))
    assert (_size(host) - size) / 100 < 4096


def _size(host):
    with closing(sqlite3.connect(host.store.path)) as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        free = db.execute("PRAGMA freelist_count").fetchone()[0]
    return (pages - free) * PAGE


def test_damaged_events_are_refused(host, testvm):
    host.create(testvm)
    with closing(sqlite3.connect(host.store.path)) as db:
        db.execute("UPDATE event SET result = '{}'")
        db.commit()
    with pytest.raises(StateError, match="an event is not as it was written"):
        History(host.store, "testvm")


def test_why_names_the_culprit(host, testvm):
    host.create(on(testvm, "13932", debug=False))
    host.reboot("testvm")
    history = History(host.store, "testvm")
    found = list(causes(history, 0x100001000))
    assert [(c.event.number, c.step, c.stage) for c in found] == [
        (2, 3, "boot"),
        (2, 1, "reinit"),
        (1, 2, "boot"),
    ]
    mapped, freed, first = found
    assert (mapped.before, mapped.after, mapped.table) == (0, first.after, (False, True))
    assert freed.culprit.function == "vmm_gpt_vacate_entry"
    assert (freed.before, freed.after, freed.table) == (first.after, 0, (True, False))
    assert freed.asked.function == "vm_map_remove"
    assert freed.asked.named() == {"start": 0xFFE00000, "end": 0x100000000}
    assert mapped.called("vm_handle_paging")


def test_the_counter_drifts_at_a_step_and_is_asked_for_up_to_a_step(host, testvm):
    host.create(on(testvm, "14367"))
    host.reboot("testvm")
    history = History(host.store, "testvm")
    reinit = history.find("2.1").seq
    found = [
        [(d.event, d.step) for d in drifts(history, seq)] for seq in (reinit - 1, reinit, None)
    ]
    assert found == [[], [(2, 1)], [(2, 1)]]


def test_why_sees_what_a_panic_left(host, testvm):
    host.create(on(testvm, "13932"))
    with pytest.raises(Stopped):
        host.reboot("testvm")
    newest = next(causes(History(host.store, "testvm"), 0x100000000))
    assert (newest.culprit.function, newest.after) == ("vmm_gpt_unmap_region", 0)
    assert newest.step == 1


def test_why_of_an_address_that_nothing_ever_touched(host, testvm):
    host.create(testvm)
    assert list(causes(History(host.store, "testvm"), 0xC0000000)) == []


def test_the_reboot_of_the_report_on_both_kernels(host, testvm):
    host.create(replace(on(testvm, "13932", debug=False), touches=()))
    host.perform("testvm", "touch", Access(1 << 32, 512, 2))
    host.reboot("testvm")
    steps = on_two_kernels(History(host.store, "testvm"), "13932", "14042")
    assert [step.name for step in steps if step.differs] == [
        "event 3 step 1 (reinit)",
        "event 3 step 2 (map)",
        "event 3 step 3 (boot)",
    ]
    (lost,) = steps[3].changes.entries if steps[3].differs else steps[-3].changes.entries
    assert (lost.gpa, lost.npages, lost.before) == (1 << 32, 512, 0)


def test_a_panic_on_one_of_two_kernels(host, testvm):
    host.create(testvm)
    host.reboot("testvm")
    steps = on_two_kernels(History(host.store, "testvm"), "13932", "14042")
    assert [step.ends[0] is not None for step in steps] == [False, False, True, False, False]
    assert steps[2].ends[0].startswith("panics (A): assertion failed")
    assert steps[3].changes is None
