"""requirements/test.txt: what make test-locked installs, to the byte."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements" / "test.txt").read_text(encoding="utf-8")
PINS = re.findall(r"^(?!#)(\S+==.*?)(?<!\\)$", LOCK, re.MULTILINE | re.DOTALL)
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements() -> list[str]:
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    build = PYPROJECT["build-system"]["requires"]
    return [*project["dependencies"], *extras["test"], *extras["dask"], *build]


def pins() -> dict[str, Requirement]:
    found = (Requirement(pin.split("\\")[0].strip()) for pin in PINS)
    return {pin.name: pin for pin in found}


@pytest.mark.parametrize("text", [r for r in requirements() if not r.startswith("bhyvesim[")])
def test_every_requirement_is_locked_at_a_version_that_it_allows(text):
    wanted = Requirement(text)
    (version,) = pins()[wanted.name.lower()].specifier
    assert version.operator == "=="
    assert wanted.specifier.contains(version.version)


def test_every_locked_file_is_known_by_its_hash():
    assert len(PINS) == LOCK.count("==") - LOCK.count(" == ") > 40
    for pin in PINS:
        hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})\b", pin)
        assert hashes, pin.split("==")[0]


def test_what_some_pythons_only_need_is_locked_for_them():
    only = {name: str(pin.marker) for name, pin in pins().items() if pin.marker}
    assert "3.12" in only["importlib-metadata"]
