"""Engine and oracle agree on every state, on every revision."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from bhyvesim.kernel.revisions import REVISIONS
from tests.property.lockstep import lockstep

QUICK = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("revision", REVISIONS)
def test_engine_agrees_with_the_oracle(revision):
    run_state_machine_as_test(lockstep(revision), settings=QUICK)
