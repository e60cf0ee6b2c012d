"""What came of scenarios: a matrix each, failures in full, JSON, JUnit, GitHub annotations."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from bhyvesim.kernel.builds import build_name
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.report.fit import joined, packed, paragraph
from bhyvesim.report.model import Column, Report
from bhyvesim.report.tones import BAD, marked, verdict
from bhyvesim.scenario.model import CellResult, CellSpec, Failure, Scenario
from bhyvesim.text import clean

_INDENT = " " * 12
_PIPED = 100  # columns, for names of cells where nobody says how wide
_FIRST = "(in the first cell; in others with other hex numbers)"
_HEX = re.compile("0x[0-9a-f]+")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def matrix(scenario: Scenario, results: Sequence[CellResult]) -> Report:
    """Revisions across, everything else down, the outcome in the cell."""
    used = {cell.axes["gpt"] for cell in scenario.cells}
    revisions = [name for name in REVISIONS if name in used]
    by_cell = {result.cell: result for result in results}
    rows: dict[str, dict[str, str]] = {}
    for index, cell in enumerate(scenario.cells):
        result = by_cell.get(index)
        row = rows.setdefault(row_label(cell), {})
        row[cell.axes["gpt"]] = "-" if result is None else _cell_text(result)
    table = tuple(
        (label, *(row.get(name, "") for name in revisions)) for label, row in rows.items()
    )
    columns = (Column(""), *(Column(name, tone=verdict) for name in revisions))
    return Report(columns, table, scenario_record(scenario, results), alike=True)


def row_label(cell: CellSpec) -> str:
    """The axes of *cell* other than the revision: ``DEBUG amd``, ``production memory=8G``."""
    others = [axis for axis in cell.axes if axis not in ("gpt", "debug")]
    return " ".join(axis_word(axis, cell.axes[axis]) for axis in ("debug", *others))


def axis_word(axis: str, value: str) -> str:
    """``DEBUG``, ``amd``, ``memory=8G``: the value of an axis as rows call it."""
    if axis == "debug":
        return build_name(value == "true")
    return value if axis == "cpu" else f"{axis}={value}"


def _cell_text(result: CellResult) -> str:
    return result.outcome if result.passed else f"{_word(result)}: {result.outcome}"


def _word(result: CellResult) -> str:
    return "ERROR" if result.undecided else "FAIL"


def head(scenario: Scenario, width: int | None) -> list[str]:
    """What stands above a scenario's table."""
    return [*paragraph(f"{scenario.title} ({clean(scenario.source)})", width), ""]


def failure_text(scenario: Scenario, result: CellResult) -> str:
    """The step, what was expected, what came, and how to see it again."""
    return joined(failure_lines(scenario, [result], None), colour=False)


def alike(results: Sequence[CellResult]) -> list[list[CellResult]]:
    """The failures among a scenario's *results*, those together that differ in the cell alone.

    Hex numbers do not count: entries and addresses are others on every kind of host.
    """
    groups: dict[Failure, list[CellResult]] = {}
    for result in results:
        failure = result.failure
        if failure is not None:
            kind = replace(failure, got=_HEX.sub("0x", failure.got))
            groups.setdefault(kind, []).append(result)
    return list(groups.values())


def failure_lines(
    scenario: Scenario, results: Sequence[CellResult], width: int | None
) -> list[str]:
    """:func:`failure_text` of cells that fail alike, which it names."""
    failure = results[0].failure
    assert failure is not None
    cells = [scenario.cells[result.cell] for result in results]
    one = len(cells) == 1
    word = _word(results[0])
    which = f" {clean(cells[0].name)}" if one else f", {len(cells)} cells alike"
    first, *rest = paragraph(f"{word} {clean(scenario.title)}{which}", width, "", "    ")
    lines: list[str] = [marked(first, BAD, word), *rest]
    if not one:
        names = [cell.name for cell in cells]
        lines += packed(
            names, width or _PIPED, first="  cells     ", rest=_INDENT, between=", ", broken=","
        )
    for key, value in (
        ("step", failure.step),
        ("at", str(failure.place)),
        ("expected", failure.expected),
        ("got", failure.got),
    ):
        lines += paragraph(value, width, f"  {key:<10}", _INDENT)
    if len({result.failure for result in results}) > 1:
        lines += paragraph(_FIRST, width, _INDENT, _INDENT)
    words = _again(scenario, cells[0])
    if width is None:
        return [*lines, f"  again     {clean(' '.join(words))}"]
    return lines + packed(
        words, width, first="  again     ", rest=_INDENT, between=" ", broken=" \\"
    )


def reproduce(scenario: Scenario, cell: CellSpec) -> str:
    """The command that runs this cell alone."""
    return " ".join(_again(scenario, cell))


def _again(scenario: Scenario, cell: CellSpec) -> list[str]:
    """:func:`reproduce`, the words that belong together together."""
    return ["bhyvesim run", shlex.quote(scenario.source), f"-k {shlex.quote(cell.name)}"]


class FailedStep(NamedTuple):
    """The step that was not as expected, where it stands, and how to see it again."""

    step: str
    file: str
    line: int
    column: int
    expected: str
    got: str
    reproduce: str


class RunCell(NamedTuple):
    """One cell; ``drift`` is the page counter's after the last reboot.

    ``overdue``: it did not end in time, at the step that ``failure`` names; ``unknown``: what
    the kernel makes of that step is not modelled.
    """

    name: str
    axes: dict[str, str]
    passed: bool
    overdue: bool
    unknown: bool
    outcome: str
    drift: int
    seconds: float
    failure: FailedStep | None


class RunScenario(NamedTuple):
    """One scenario, and its cells that were run."""

    title: str
    file: str
    cells: tuple[RunCell, ...]


class Run(NamedTuple):
    """`bhyvesim run`: every cell of every scenario; ``failed`` are those that were decided."""

    scenarios: tuple[RunScenario, ...]
    cells: int
    failed: int
    overdue: int
    unknown: int


def run_record(scenarios: Sequence[RunScenario], results: Sequence[CellResult]) -> Run:
    """A whole run."""
    overdue = sum(result.overdue for result in results)
    unknown = sum(result.unknown for result in results)
    failed = sum(result.failed for result in results)
    return Run(tuple(scenarios), len(results), failed, overdue, unknown)


def scenario_record(scenario: Scenario, results: Sequence[CellResult]) -> RunScenario:
    """One scenario's results."""
    cells = tuple(_cell_record(scenario, result) for result in results)
    return RunScenario(scenario.title, scenario.source, cells)


def _cell_record(scenario: Scenario, result: CellResult) -> RunCell:
    cell = scenario.cells[result.cell]
    failed = result.failure
    return RunCell(
        cell.name,
        dict(cell.axes),
        result.passed,
        result.overdue,
        result.unknown,
        result.outcome,
        result.drift,
        round(result.seconds, 6),
        None
        if failed is None
        else FailedStep(
            failed.step,
            failed.place.source,
            failed.place.line,
            failed.place.column,
            failed.expected,
            failed.got,
            reproduce(scenario, cell),
        ),
    )


def github(scenario: Scenario, failure: Failure, cell: CellSpec) -> str:
    """A workflow command that marks the failed step in the changed files."""
    title = escape_property(f"{scenario.title} {cell.name}")
    place = failure.place
    message = escape_data(f"{failure.step}: expected {failure.expected}, got {failure.got}")
    file = escape_property(place.source)
    return f"::error file={file},line={place.line},col={place.column},title={title}::{message}\n"


def escape_data(text: str) -> str:
    """*text* as the message of a workflow command."""
    return clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """*text* as a property of a workflow command."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def junit(
    scenarios: Sequence[Scenario],
    results: Sequence[CellResult],
    timestamp: str,
) -> str:
    """JUnit XML: a suite a scenario, a case a cell. *timestamp* is ISO 8601 without a zone."""
    from xml.etree import ElementTree as ET

    root = ET.Element("testsuites")
    for index, scenario in enumerate(scenarios):
        mine = [r for r in results if r.scenario == index]
        if not mine:
            continue
        suite = ET.SubElement(
            root,
            "testsuite",
            {
                "name": _xml(scenario.title),
                "id": str(index),
                "package": _xml(scenario.source),
                "hostname": "localhost",
                "timestamp": timestamp,
                "tests": str(len(mine)),
                "failures": str(sum(r.failed for r in mine)),
                "errors": str(sum(r.undecided for r in mine)),
                "skipped": "0",
                "time": f"{sum(r.seconds for r in mine):.6f}",
            },
        )
        ET.SubElement(suite, "properties")
        for result in mine:
            cell = scenario.cells[result.cell]
            case = ET.SubElement(
                suite,
                "testcase",
                {
                    "classname": _xml(scenario.source),
                    "name": _xml(f"{scenario.title} {cell.name}"),
                    "time": f"{result.seconds:.6f}",
                },
            )
            if result.failure is not None:
                got = f"expected {result.failure.expected}, got {result.failure.got}"
                undecided = ("error", "timeout" if result.overdue else "unknown")
                kind = undecided if result.undecided else ("failure", "expectation")
                attributes = {"type": kind[1], "message": _xml(got)}
                failure = ET.SubElement(case, kind[0], attributes)
                failure.text = _xml(failure_text(scenario, result))
        ET.SubElement(suite, "system-out")
        ET.SubElement(suite, "system-err")
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    """*text* without the characters that XML cannot hold, or that no reader should obey."""
    return "\n".join(clean(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", t)) for t in text.split("\n"))
