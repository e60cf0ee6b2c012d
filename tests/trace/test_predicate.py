"""Predicates: as C has them, compared with Python's; mistakes with their column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bhyvesim.errors import BadValue
from bhyvesim.trace.predicate import parse

NAMES = {"gpa": int, "len": int, "prot": int, "probefunc": str, "caller": str}

numbers = st.integers(-4, 6)
atoms = st.one_of(
    st.tuples(numbers, st.booleans()).map(
        lambda n: (hex(n[0]) if n[1] else str(n[0]), str(n[0]), int)
    ),
    st.sampled_from(("gpa", "len", "prot")).map(lambda name: (name, name, int)),
    st.sampled_from(("probefunc", "caller", '"a"', '"b"')).map(lambda s: (s, s, str)),
)


def _compared(parts):
    (a, python_a, kind), sign, (b, python_b, other) = parts
    if kind is not other:
        b, python_b = a, python_a
    return f"{a} {sign} {b}", f"int(({python_a}) {sign} ({python_b}))", int


comparisons = st.tuples(atoms, st.sampled_from(("==", "!=", "<", "<=", ">", ">=")), atoms).map(
    _compared
)


def _grown(inner):
    """Comparisons joined, negated, and compared with numbers again."""
    words = {"&&": "and", "||": "or"}
    joined = st.tuples(inner, st.sampled_from(("&&", "||")), inner).map(
        lambda t: (
            f"({t[0][0]}) {t[1]} ({t[2][0]})",
            f"int(bool(({t[0][1]}) {words[t[1]]} ({t[2][1]})))",
            int,
        )
    )
    negated = inner.map(lambda t: (f"!({t[0]})", f"int(not ({t[1]}))", int))
    again = st.tuples(inner, st.sampled_from(("==", "<")), numbers).map(
        lambda t: (f"({t[0][0]}) {t[1]} {t[2]}", f"int(({t[0][1]}) {t[1]} {t[2]})", int)
    )
    return st.one_of(joined, negated, again)


expressions = st.recursive(comparisons, _grown, max_leaves=8)
values = st.fixed_dictionaries(
    {
        **dict.fromkeys(("gpa", "len", "prot"), numbers),
        **dict.fromkeys(("probefunc", "caller"), st.sampled_from("ab")),
    }
)


@given(expressions, values)
def test_agrees_with_python(expression, given_values):
    text, python, _ = expression
    expected = eval(python, {}, given_values)
    assert parse(text, NAMES)(given_values) == bool(expected)


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("1 || 0 && 0", True),
        ("(1 || 0) && 0", False),
        ("3 > 2 > 1", False),
        ("1 == 2 < 3", True),
        ("!gpa == 0", True),
        ("4K == 4096 && gpa < 4GiB && 0 == 0x0", True),
        ("!!gpa", True),
        ("!(gpa == 5) || len", True),
        ("gpa==0x5&&len==-1", True),
        ('probefunc == "vm_reinit" && caller != "x"', True),
    ],
)
def test_binds_as_c_does(text, truth):
    given_values = {"gpa": 5, "len": -1, "probefunc": "vm_reinit", "caller": "vmm_ioctl"}
    assert parse(text, NAMES)(given_values) is truth


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "it ends here: expected a name, a number"),
        ("gpa = 5", 5, "'=' has no meaning: expected '=='"),
        ("gpa == ", 7, "it ends here"),
        ("gpa == 5 len", 10, "'len' stands here: expected an operator, or the end"),
        ("(gpa == 5", 10, "expected ')' or an operator"),
        ("gqa == 5", 1, "there is no 'gqa' here: expected gpa"),
        ('gpa == "x"', 5, "'==' between a number and a string"),
        ("len && caller", 8, "a string alone is not true or false"),
        ("gpa & 1", 5, "'&' has no meaning"),
        ("gpa == 12ab", 8, "'12ab' is not a number: expected 4096, 0x1000 or 4K"),
        ("gpa == 010", 8, "'010' would be octal in D: expected 0x8 or 8"),
        ("gpa == 0x1" + "0" * 16, 8, "is too large: expected 4096, 0x1000 or 4K, below 2^64"),
        ("- gpa", 3, "'gpa' stands here: expected a number"),
        ("(" * 60, 51, "too deeply nested"),
        ('caller == "x', 11, "has no meaning"),
    ],
)
def test_mistakes_have_their_column(text, column, words):
    with pytest.raises(BadValue) as raised:
        parse(text, NAMES)
    assert f"column {column} of" in str(raised.value)
    assert words in str(raised.value)


@given(st.text(alphabet='gpalen()!&|<>="- 0x19', max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        parse(text, NAMES)({"gpa": 1, "len": 2})
    except (BadValue, KeyError):
        return


def test_what_is_missing_matters_only_where_it_decides():
    predicate = parse('probefunc == "a" || gpa == 5', NAMES)
    assert predicate({"probefunc": "a"})
    with pytest.raises(KeyError):
        predicate({"probefunc": "b"})


def test_parentheses_beside_each_other_are_not_nested():
    assert parse(" && ".join(["(gpa == 1)"] * 60), NAMES)({"gpa": 1})
