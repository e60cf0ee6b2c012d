"""Both ends of what pyproject.toml declares: the lowest versions are installed here and the command
line is run on them; the newest are what every other test runs on, as nothing is capped."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What of the test extra tests/cli imports; the rest is tools.
TESTS_NEED = {"jsonschema", "pexpect", "pytest", "xmlschema"}

lowest_python = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11),
    reason="the lowest versions go with the lowest Python, 3.11",
)
has_pip = pytest.mark.skipif(
    importlib.util.find_spec("pip") is None, reason="this environment has no pip"
)


def floors() -> list[str]:
    """The run-time dependencies, each at its lowest declared version."""
    pinned = []
    for requirement in PROJECT["dependencies"]:
        declared = re.match(r"([\w.-]+)\s*>=\s*([\w.]+)", requirement)
        assert declared, f"{requirement!r} declares no lowest version"
        pinned.append("==".join(declared.groups()))
    return pinned


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {name: v for name, v in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [*map(str, argv)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def python(tmp_path) -> Path:
    """The interpreter of a fresh environment, with bhyvesim and the floors in it."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    asked = run(*pip, "--retries", "0", "index", "versions", "pip")
    if "No matching distribution found" in asked.stderr:
        pytest.skip("no package index answers")
    venv.create(tmp_path / "floors", symlinks=True)
    made = tmp_path / "floors" / "bin" / "python"
    tests = [r for r in PROJECT["optional-dependencies"]["test"] if r.split(">")[0] in TESTS_NEED]
    done = run(*pip, "--python", made, "install", "--editable", ROOT, *floors(), *tests)
    assert done.returncode == 0, done.stderr
    return made


def installed(python: Path) -> dict[str, str]:
    """What pip put there: {name: version}."""
    done = run(sys.executable, "-m", "pip", "--python", python, "list", "--format", "json")
    return {package["name"].lower(): package["version"] for package in json.loads(done.stdout)}


def every_requirement() -> list[str]:
    """Those of the command line and of all extras."""
    extras = PROJECT["optional-dependencies"].values()
    return [*PROJECT["dependencies"], *(r for extra in extras for r in extra)]


PINNED = ("zensical",)  # of the tests; not yet 1.0: pyproject.toml says why


def test_every_dependency_has_a_lowest_version_and_none_a_highest():
    assert not any(requirement.startswith(PINNED) for requirement in PROJECT["dependencies"])
    for requirement in every_requirement():
        if requirement.startswith(("bhyvesim[", *(f"{name}==" for name in PINNED))):
            continue
        assert re.match(r"[\w.-]+>=[\w.]+(,!=[\w.]+)*$", requirement), requirement


@lowest_python
@has_pip
def test_the_command_line_works_with_the_lowest_declared_versions(python, tmp_path):
    there = installed(python)
    for name, lowest in (pin.split("==") for pin in floors()):
        assert f"{there[name]}.0".startswith(f"{lowest}.0"), name  # 8.1.0 is 8.1
    report = tmp_path / "report.xml"
    pytest_cli = ("-m", "pytest", "-p", "no:cacheprovider", "tests/cli")
    done = run(python, *pytest_cli, f"--basetemp={tmp_path / 'tests'}", f"--junit-xml={report}")
    assert done.returncode == 0, done.stdout + done.stderr
    cases = list(ElementTree.parse(report).iter("testcase"))
    skipped = [reason.get("message", "") for case in cases for reason in case.iter("skipped")]
    for reason in skipped:
        tool = reason.removesuffix(" is not installed")
        assert tool != reason, reason
        assert shutil.which(tool) is None, reason
    here = run(sys.executable, *pytest_cli, "--collect-only").stdout
    assert len(cases) == sum("::" in line for line in here.splitlines()) > 100
