"""A pytest plugin: ``pytest examples/`` runs scenario files, one test a cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """YAML files that look like scenarios are ours; others are left alone."""
    from bhyvesim.scenario.discover import looks_like_a_scenario

    if file_path.suffix not in (".yaml", ".yml"):
        return None
    if looks_like_a_scenario(file_path.read_bytes()):
        return ScenarioFile.from_parent(parent, path=file_path)
    return None


class ScenarioFile(pytest.File):
    """One scenario."""

    def collect(self) -> Iterator[pytest.Item]:
        from bhyvesim.cli.files import read_bytes
        from bhyvesim.config.scenario.sources import Sources
        from bhyvesim.errors import UsageError

        try:
            scenario = Sources(read_bytes).load(str(self.path))
        except UsageError as error:
            raise self.CollectError(str(error)) from None
        for index, cell in enumerate(scenario.cells):
            yield ScenarioCell.from_parent(self, name=cell.name, scenario=scenario, index=index)


class ScenarioCell(pytest.Item):
    """One cell of a scenario's matrix."""

    def __init__(self, *, scenario: Any, index: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scenario = scenario
        self.index = index

    def runtest(self) -> None:
        from bhyvesim.report.scenario import failure_text
        from bhyvesim.scenario.cell import run_cell

        result = run_cell(self.scenario, self.index)
        if result.failure is not None:
            raise Unmet(failure_text(self.scenario, result))

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """The failed step alone: there is no Python code of the user's to show."""
        if isinstance(excinfo.value, Unmet):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"{self.scenario.title} {self.name}"


class Unmet(Exception):
    """A step did not come to what was expected."""
