"""Any line of a few words: what is done plainly is what click would have done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.cli.test_plain import BEFORE, COMMANDS, GOOD, ODD, both


@given(
    st.lists(st.sampled_from(BEFORE), max_size=3),
    st.sampled_from(COMMANDS),
    st.lists(st.sampled_from(GOOD) | st.sampled_from(ODD), max_size=5),
)
def test_what_is_done_plainly_is_what_click_would_do(before, command, after):
    plain, by_click = both([*before, command, *after])
    assert plain == by_click
