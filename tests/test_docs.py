"""The documentation: every command in it is run, every link leads somewhere, nothing is stale."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bhyvesim.config.readers import names
from bhyvesim.config.scenario.expectations import EXPECT_KEYS
from bhyvesim.config.scenario.sources import SCENARIO_KEYS, Sources
from bhyvesim.config.scenario.steps import STEPS
from bhyvesim.config.vm import VM_KEYS
from bhyvesim.errors import STATUSES
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.scenario.cell import run_cell
from tests.sessions import ROOT, blocks, outputs, sessions
from tools import examples, helps, keys, manpages, panics, reference, schemas
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


def test_the_reference_is_made_from_the_code(tmp_path):
    reference.main(tmp_path)
    for name in reference.PAGES:
        made = (tmp_path / name).read_text(encoding="utf-8")
        assert made == (reference.FOLDER / name).read_text(encoding="utf-8"), "make docs"


def test_every_option_has_an_example_that_the_documentation_shows():
    missing = [
        f"{path} {option.opts[-1]}"
        for path, ctx in all_commands()
        for option in examples.options_of(ctx)
        if not examples.of_option(path.removeprefix("bhyvesim "), option.opts)
    ]
    assert missing == [], "docs/reference/by-example.md has room"


def test_the_page_of_scenarios_shows_each_key_and_its_scenarios_come_true(tmp_path, cli):
    page = (ROOT / "docs/how-to/write-a-scenario.md").read_text(encoding="utf-8")
    shown = blocks(page, "yaml")
    for text in shown:
        name = text.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(text, encoding="utf-8")
    status, _, err = cli("run", tmp_path)
    assert (status, err.endswith(" 0 failed\n")) == (0, True), err
    words = {word for text in shown for word in re.findall(r"[-\w]+", text.split("\n", 1)[1])}
    wanted = {"include", "matrix", "when", *STEPS, *names(SCENARIO_KEYS), *names(EXPECT_KEYS)}
    assert wanted - words == set()


@pytest.mark.parametrize("stop", panics.known(), ids=lambda stop: stop.name)
def test_each_stop_is_shown_on_the_kernels_that_have_it_and_on_no_other(stop):
    shown = set()
    for path in panics.scenarios_of(stop):
        scenario = Sources(lambda name: Path(name).read_bytes()).load(str(ROOT / path))
        for index, cell in enumerate(scenario.cells):
            result = run_cell(scenario, index)
            assert result.failure is None
            if result.outcome.startswith(f"{stop.name} at "):
                shown.add(cell.axes["gpt"])
    assert shown == {name for name, r in REVISIONS.items() if stop in r.stops}


def test_the_output_schema_is_made_from_the_records():
    made = schemas.output_schema()
    assert made == (schemas.SCHEMAS / "output.schema.json").read_text(encoding="utf-8"), "make docs"


def test_every_key_has_an_example_and_says_what_holds_without_it():
    sections = {"vm": VM_KEYS, "scenario": SCENARIO_KEYS, "expect": EXPECT_KEYS}
    sections |= {name: kind.keys for name, kind in STEPS.items()}
    rows = [(s, row) for s, some in sections.items() for row in keys.rows(some, s)]
    assert len(rows) > 100
    assert [(section, row.path) for section, row in rows if not row.example] == []
    assert [(section, row.path) for section, row in rows if not row.default] == []


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


def test_man_pages_are_whole():
    for path, _ in all_commands():
        text = (manpages.FOLDER / f"{path.replace(' ', '-')}.1").read_text(encoding="utf-8")
        name = text.partition(".SH NAME\n")[2].partition("\n")[0]
        assert not name.endswith("..."), name
        assert len(name) > len(path)
        assert "...\n  See" not in text
    text = (manpages.FOLDER / "bhyvesim.1").read_text(encoding="utf-8")
    for word in ("get-memmap", "get-gpa-pmap=VALUE", "force-reset", "set-mem=VALUE"):
        assert f"\\-\\-{word.replace('-', chr(92) + '-')}" in text
    for status, meaning in STATUSES.items():
        assert f"  {status:<3}  {meaning}" in text
    assert "$XDG_STATE_HOME" in text
    root = text.partition(".SH DESCRIPTION")[0]
    assert "simulated bhyve VMs" in root


def test_the_wheel_has_man_pages_and_schemas(tmp_path):
    import tomllib
    from importlib.metadata import entry_points

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {"man": "share/man/man1"}
    plugins = {point.name: point.value for point in entry_points(group="pytest11")}
    assert plugins["bhyvesim"] == "bhyvesim.pytest_plugin"
