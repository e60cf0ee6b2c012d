"""Our own regular expressions: what re means by them, in a time that is known before."""

from __future__ import annotations

import pickle
import re
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bhyvesim import limits, regex
from bhyvesim.errors import BadValue, UsageError

PIECES = (
    *("a", "b", ".", "*", "+", "?", "|", "(", ")", "[", "]", "^", "$", "-", "{", "}", ",", "_"),
    *("\\d", "\\w", "\\W", "\\s", "\\S", "\\b", "\\n", "\\]", "\\x41", "\\u00e9", "\\A", "\\Z"),
    *("{2}", "{1,}", "{,2}", "(?:", "[^", "a-b", "1", "*?"),
)
TEXTS = st.text(alphabet="ab1_ \nA]-{},é", max_size=8)


@settings(max_examples=1500)
@given(st.lists(st.sampled_from(PIECES), max_size=10).map("".join), st.lists(TEXTS, max_size=4))
def test_it_finds_what_re_finds(pattern, texts):
    try:
        ours = regex.compile(pattern)
    except BadValue:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what later versions may read otherwise
        theirs = re.compile(pattern)
    for text in texts:
        assert ours.found_in(text) == (theirs.search(text) is not None), text


@pytest.mark.parametrize(
    "pattern",
    [
        r"ptes\[i\] == 0",
        r"^assertion failed: .*, file: \S+, line: \d{1,4}$",
        r"(?:0x[0-9a-f]+|0)\b",
        "[]a]", "[^]a]+", "[a-]", "a{,3}?b", "x{", "{}", "a{1,2", r"[\d\]-]",
    ],
)  # fmt: skip
def test_usual_patterns_are_understood(pattern):
    theirs, ours = re.compile(pattern), regex.compile(pattern)
    text = "assertion failed: ptes[i] == 0 (0x67 == 0x0), file: ../a.c, line: 441"
    for one in (text, "]", "a-", "aab", "x{", "{}", "a{1,2", "0", ""):
        assert ours.found_in(one) == (theirs.search(one) is not None)
    assert pickle.loads(pickle.dumps(ours)) == ours
    assert {ours, regex.compile(pattern)} == {ours}


@pytest.mark.parametrize(
    ("pattern", "said"),
    {
        "[": "'[': column 2: the pattern ends: expected a ']'",
        "(a": "'(a': column 3: the pattern ends: expected a ')'",
        "a)": "'a)': column 2: a ')' too many: expected a '(' before it",
        "*": "'*': column 1: nothing to repeat: expected something before it",
        "a**": "'a**': column 3: a repetition of a repetition: expected a group around the first",
        r"\b+": r"'\\b+': column 4: a place is repeated: expected a character, a set or a group",
        r"(a)\1": r"'(a)\\1': column 5: \1 is not understood: expected an escape that is",
        "(?=a)": "'(?=a)': column 2: '(?=' is not understood: expected (…) or (?:…)",
        "(?i)a": "'(?i)a': column 2: '(?i' is not understood: expected (…) or (?:…)",
        "[z-a]": "'[z-a]': column 5: a range that is none: expected two characters",
        r"\x4": r"'\\x4': column 3: \x without its digits: expected a character's number",
        "a\\": r"'a\\': column 3: the pattern ends: expected a character after the backslash",
        "a{3,2}": "'a{3,2}': column 7: 3 to 2 times: expected the smaller number first",
        "a{9999999}": "'a{9999999}': column 11: '9999999' times: expected at most 1000 states",
        "((a{30}){30}){30}": "column 13: 1891 states up to here: expected at most 1000 states",
        "(" * 60: "column 51: too deeply nested: expected at most 50 levels",
        "a" * 1001: "a pattern of 1001 characters: expected at most 1000 characters",
    }.items(),
)
def test_what_is_refused(pattern, said):
    with pytest.raises(BadValue) as caught:
        regex.compile(pattern)
    assert said in str(caught.value)


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(a|aa)+$", "((a*)*)*b", "(.*){9}b"])
def test_a_search_takes_states_times_characters(pattern, monkeypatch):
    looked = []
    found = regex.compile(pattern)
    closure = found._closure
    monkeypatch.setattr(
        regex.Pattern, "_closure", lambda _, *args: looked.append(closure(*args)) or looked[-1]
    )
    text = "a" * 400 + "\n"
    assert not found.found_in(text + "c") or pattern == "(a|aa)+$"
    assert sum(map(len, looked)) <= len(found._states) * (len(text) + 2)


def test_a_text_that_is_too_long_is_no_answer():
    longest = "a" * limits.PATTERN_TEXT.most
    assert regex.compile("a$").found_in(longest)
    with pytest.raises(UsageError, match=r"^'a\$' in a text of 4097 characters: expected at most"):
        regex.compile("a$").found_in(longest + "a")
