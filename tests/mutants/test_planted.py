"""The list of planted mistakes fits the code; a few are planted, and found."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from tests.mutants.mutant import PACKAGE, ROOT, Mutant
from tests.mutants.planted import MUTANTS
from tests.mutants.runner import Outcome, try_all

QUICK = (
    "kernel/reservoir.py: transient memory does not count towards the limit",
    "kernel/reservoir.py: memory of the reservoir does not go back into it",
    "units.py: KiB are thousands",
)
_RESERVOIR = "tests/kernel/test_reservoir.py"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.label)
def test_a_mutant_fits_the_code(mutant):
    text = (ROOT / PACKAGE / mutant.path).read_text(encoding="utf-8")
    planted = mutant.planted(text)
    assert ast.dump(ast.parse(planted)) != ast.dump(ast.parse(text))
    for test in mutant.tests.split():
        path, _, name = test.partition("::")
        assert (ROOT / path).is_file()
        assert not name or f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_every_mutant_is_another_and_has_a_name():
    assert max(Counter(mutant.label for mutant in MUTANTS).values()) == 1
    assert max(Counter(mutant[:3] for mutant in MUTANTS).values()) == 1


def test_a_few_are_planted_and_found_and_what_nobody_looks_at_survives(tmp_path):
    harmless = Mutant(
        "kernel/reservoir.py",
        "Bytes throughout.",
        "Pages throughout.",
        "a comment",
        f"{_RESERVOIR}::test_nothing_of_that_name",
    )
    survivor = harmless._replace(what="what no test reads", tests=_RESERVOIR)
    quick = [mutant for mutant in MUTANTS if mutant.label in QUICK]
    assert len(quick) == len(QUICK)
    outcomes = {o.mutant: o for o in try_all([*quick, harmless, survivor], tmp_path, 2)}
    assert [outcomes[mutant].found for mutant in quick] == [True] * len(quick)
    assert not any(outcomes[mutant].bad for mutant in quick)
    assert (outcomes[survivor].found, outcomes[survivor].problem) == (False, "")
    assert outcomes[survivor].bad
    assert "no tests" in outcomes[harmless].problem or "not found" in outcomes[harmless].problem
    text = (ROOT / PACKAGE / survivor.path).read_text(encoding="utf-8")
    for job in "01":  # what was planted is gone again
        assert (tmp_path / job / PACKAGE / survivor.path).read_text(encoding="utf-8") == text


def test_a_mutant_that_does_not_fit_is_said():
    mutant = Mutant("units.py", "a", "b", "what", _RESERVOIR)
    assert mutant.planted("xay") == "xby"
    for text in ("xyz", "aa"):
        with pytest.raises(ValueError, match="not once"):
            mutant.planted(text)


@pytest.mark.parametrize(
    ("found", "explained", "bad", "word"),
    [
        (True, "", False, "found"),
        (False, "", True, "SURVIVED"),
        (False, "equal", False, "explained"),
        (True, "equal", True, "FOUND, though"),
    ],
)
def test_what_an_outcome_means(found, explained, bad, word):
    outcome = Outcome(Mutant("a.py", "a", "b", "what", "", explained), found, 1.0)
    assert outcome.bad is bad
    assert str(outcome).startswith(word)
