"""The shortest experiment: searched, and done again on the kernels that it tells apart."""

from __future__ import annotations

import json
from itertools import combinations

import pytest

from bhyvesim.explore.experiment import experiments
from bhyvesim.explore.identify import Candidate, candidates
from bhyvesim.explore.seen import visible
from bhyvesim.kernel.revisions import REVISIONS

PAIRS = list(combinations(REVISIONS, 2))


def of(*names, builds=(True, False), npts=("rvi", "ept")):
    return [c for c in candidates(builds, npts) if c.gpt in names]


def answers(candidate, operations, **keys):
    """What *operations* come to on a fresh VM, as a host shows it."""
    machine = candidate.machine(**keys)
    return json.dumps([visible(operation.apply(machine)) for operation in operations])


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_any_two_revisions_are_told_apart_without_danger(pair, debug):
    one, other = of(*pair, builds=(debug,), npts=("rvi",))
    found = experiments([one, other], 8)
    assert (len(found.experiments), found.alike, found.whole) == (1, (), True)
    (experiment,) = found.experiments
    assert not experiment.dangers
    assert answers(one, experiment.operations) != answers(other, experiment.operations)
    assert answers(one, experiment.operations[:-1]) == answers(other, experiment.operations[:-1])


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_whatever_the_builds_and_the_processors(pair):
    among = of(*pair)
    (experiment,) = experiments(among, 8).experiments
    for one, other in combinations(among, 2):
        if one.gpt != other.gpt:
            assert answers(one, experiment.operations) != answers(other, experiment.operations)


def test_all_six_are_told_apart_in_eight_steps():
    found = experiments(candidates(), 8)
    (experiment,) = found.experiments
    assert (len(experiment.moves), experiment.dangers, found.alike) == (8, (), ())
    assert [group[0].gpt for group in experiment.alike] == list(REVISIONS)
    assert all(len(group) == 4 for group in experiment.alike)
    for candidate in candidates(npts=("ept",)):  # an APIC page changes nothing of it
        same = answers(candidate, experiment.operations)
        assert answers(candidate, experiment.operations, apicv=True) == same


def test_the_bound_is_kept_and_said():
    found = experiments(of("13932", "14042"), 5)
    assert found.experiments == ()
    assert (found.alike, found.whole) == ((("13932", "14042"),), True)
    assert len(experiments(of("13932", "14042"), 6).experiments[0].moves) == 6


def test_no_shorter_one_was_overlooked():
    """Done without the search's short cuts: no five of the moves tell these two apart."""
    from bhyvesim.explore.moves import MOVES

    one, other = of("13932", "14042", builds=(False,), npts=("rvi",))
    level = [(one.machine(), other.machine(), frozenset())]
    for _ in range(4):
        following = []
        for a, b, there in level:
            for move in MOVES[4:13]:
                if move.makes_sense(there):
                    pair = a.fork(), b.fork()
                    results = [visible(move.operation.apply(m)) for m in pair]
                    assert results[0] == results[1]
                    following.append((*pair, move.after(there)))
        level = following
    assert level


@pytest.mark.parametrize("gpt", ["13932", "14042", "13896"])
def test_builds_are_told_apart_by_an_assert_that_is_marked_as_dangerous(gpt):
    found = experiments(of(gpt), 8)
    (experiment,) = found.experiments
    assert {(d.step, d.candidate.build, d.stop) for d in experiment.dangers} == {
        (5, f"{gpt} DEBUG", "panic A")
    }
    assert len(experiment.alike) == 2
    assert all(len(results) == 5 for results in experiment.answers.values())


def test_both_builds_of_15844_panic_each_in_its_way():
    (experiment,) = experiments(of("15844", npts=("rvi",)), 8).experiments
    assert [danger.stop for danger in experiment.dangers] == ["panic D", "panic C"]


def test_builds_without_an_assert_are_alike():
    found = experiments(of("14367"), 8)
    assert found.experiments == ()
    assert found.alike == (("14367 DEBUG", "14367 production"),)


@pytest.mark.parametrize("among", [[], of("2025", builds=(True,)), of("2025")[:1]])
def test_where_only_the_processor_is_open_there_is_nothing_to_search(among):
    assert experiments(among, 8) == ((), (), True)


def test_builds_of_two_revisions_may_be_mixed():
    among = [Candidate("14042", True, "rvi"), Candidate("13896", False, "ept")]
    (experiment,) = experiments(among, 8).experiments
    assert len(experiment.moves) == 1
