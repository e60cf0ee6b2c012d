"""The workflow: no more rights than it needs, every declared Python, commands that there are."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.sdist import ROOT

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


def test_it_may_read_and_no_more():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in WORKFLOW["jobs"].values())
    checkouts = [step for step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_every_declared_python_is_in_the_matrix():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    matrix = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]
    assert declared[0] == project["requires-python"].removeprefix(">=") == matrix["python"][0]
    assert set(declared) <= set(matrix["python"])


def test_each_kind_of_dependencies_has_its_step():
    matrix = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]
    kinds = {*matrix["dependencies"], *(more["dependencies"] for more in matrix["include"])}
    conditions = [step["if"] for step in STEPS if "if" in step]
    assert {f"matrix.dependencies == '{kind}'" for kind in kinds} == set(conditions)
    assert len(conditions) == len(kinds) == 3


@pytest.mark.parametrize(
    "command", [s["run"] for s in STEPS if s.get("run", "").startswith("make")]
)
def test_what_it_makes_is_in_the_makefile(command):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE)


def test_every_action_is_pinned():
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|[0-9a-f]{40})", action) for action in used)
