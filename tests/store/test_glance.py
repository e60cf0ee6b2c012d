"""A glance at a stored description says what the description says."""

from __future__ import annotations

from pathlib import Path

import pytest

from bhyvesim import load
from bhyvesim.store.codec import encode_spec
from bhyvesim.store.glance import Glance, glance

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_it_is_what_the_whole_description_says(path):
    spec = load(path).spec
    kernel = spec.kernel
    assert glance(encode_spec(spec)) == Glance(kernel.gpt, kernel.debug, spec.cpu, spec.memory)
