"""Runs of calls are split where a predicate turns, exactly as call by call."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bhyvesim.trace.probe import Probe, describe
from bhyvesim.trace.select import Selection
from tests.trace.firings import MAP, firing, singly

KNOWN = [Probe(MAP, False), Probe(MAP, True)]
PAGE = 0x1000

atoms = st.one_of(
    st.sampled_from(("gpa", "arg1", "len", "arg2", "0x2800", "arg1 == 0x2000")),
    st.integers(-2 * PAGE, 12 * PAGE).map(str),
    st.integers(-2, 12).map(lambda n: str(n * PAGE)),
)
comparisons = st.tuples(atoms, st.sampled_from(("==", "!=", "<", "<=", ">", ">=")), atoms).map(
    lambda t: f"(({t[0]}) {t[1]} ({t[2]}))"
)
predicates = st.recursive(
    comparisons,
    lambda inner: st.tuples(inner, st.sampled_from(("&&", "||", "==")), inner).map(
        lambda t: f"!({t[0]} {t[1]} {t[2]})"
    ),
    max_leaves=5,
)


@given(predicates, st.integers(0, 8), st.integers(1, 10), st.integers(0, 9))
def test_a_run_is_split_as_call_by_call(predicate, first, times, length):
    run = firing(first * PAGE, length * PAGE, times, PAGE)
    select = Selection([describe(f"f:entry /{predicate}/", KNOWN)])
    expected = [one.frame for call in singly(run) for one in select(call)]
    assert [one.frame for wanted in select(run) for one in singly(wanted)] == expected


def test_a_run_of_a_tebibyte_is_split_at_once():
    run = firing(0, PAGE, 1 << 28, PAGE)
    select = Selection([describe("f:entry /gpa == 0x7fff000 || gpa > 0xffffffe000/", KNOWN)])
    assert [(one.frame.named()["gpa"], one.times) for one in select(run)] == [
        (0x7FFF000, 1),
        (0xFFFFFFF000, 1),
    ]


def test_an_argument_that_a_function_lacks_matches_nothing():
    others = [*KNOWN, Probe(MAP._replace(name="h", params=()), False)]
    select = Selection([describe(":entry /len == 0x1000/", others)])
    assert not list(select(firing(function=others[-1].function)))
    assert len(list(select(firing()))) == 1
