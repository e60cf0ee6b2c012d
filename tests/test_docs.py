"""The documentation: every command in it is run, every link leads somewhere, nothing is stale."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.sessions import ROOT, outputs, sessions
from tools import helps, keys, manpages, reference, schemas
from tools.commands import all_commands

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_SESSIONS = [page for page in PAGES if "```console" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", WITH_SESSIONS, ids=lambda page: page.stem)
def test_sessions_show_real_output(page):
    shown = [
        (command, output)
        for command, output in sessions(page.read_text(encoding="utf-8"))
        if not command.startswith("make ")
    ]
    assert shown
    for (command, expected), got in zip(shown, outputs([c for c, _ in shown]), strict=True):
        assert got == expected, command


def test_the_site_builds_and_its_links_lead_somewhere(tmp_path):
    mkdocs = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(
        [*mkdocs, "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "index.html").exists()


def test_the_reference_is_made_from_the_code(tmp_path):
    reference.main(tmp_path)
    for name in reference.PAGES:
        made = (tmp_path / name).read_text(encoding="utf-8")
        assert made == (reference.FOLDER / name).read_text(encoding="utf-8"), "make docs"


def test_the_output_schema_is_made_from_the_records():
    made = schemas.output_schema()
    assert made == (schemas.SCHEMAS / "output.schema.json").read_text(encoding="utf-8"), "make docs"


@pytest.mark.parametrize("kind", keys.FILES)
def test_the_schemas_of_files_are_made_from_their_keys(kind):
    published = (keys.SCHEMAS / f"{kind}.schema.json").read_text(encoding="utf-8")
    assert keys.schema(kind) == published, "make docs"


def test_the_lines_of_help_are_the_commands_own():
    assert helps.helps() == helps.PAGE.read_text(encoding="utf-8"), "make docs"
    assert helps.built_in() == helps.BUILT_IN.read_text(encoding="utf-8"), "make docs"


def test_every_command_has_its_man_page(tmp_path):
    manpages.main(tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {path.name for path in manpages.FOLDER.iterdir()}
    for path, ctx in all_commands():
        text = (manpages.FOLDER / f"{path.replace(' ', '-')}.1").read_text(encoding="utf-8")
        for parameter in ctx.command.params:
            for option in (o for o in parameter.opts if o.startswith("--")):
                assert option.replace("-", r"\-") in text, (path, option)


def test_the_wheel_has_man_pages_and_schemas(tmp_path):
    import tomllib
    from importlib.metadata import entry_points

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {"man": "share/man/man1"}
    plugins = {point.name: point.value for point in entry_points(group="pytest11")}
    assert plugins["bhyvesim"] == "bhyvesim.pytest_plugin"
