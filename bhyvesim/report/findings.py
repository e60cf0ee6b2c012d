"""What a review found: for people, programs, GitHub and SARIF viewers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from bhyvesim import __version__
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.lint.review import Finding
from bhyvesim.lint.rules import RULES, Severity
from bhyvesim.report import tones
from bhyvesim.report.fit import paragraph
from bhyvesim.report.model import Column, Report, one_of
from bhyvesim.report.scenario import escape_data, escape_property
from bhyvesim.report.tones import Line, Part
from bhyvesim.text import clean
from bhyvesim.units import format_size

FINE = "ok"  # what a VM is whose findings are notes
SeverityWord = Annotated[str, one_of(severity.name.lower() for severity in Severity)]
_GITHUB = {Severity.NOTE: "notice", Severity.WARNING: "warning", Severity.ERROR: "error"}


class Located(NamedTuple):
    """A finding, and where it stands; lines and columns from 1, None for a stored VM."""

    source: str
    line: int | None
    column: int | None
    finding: Finding

    @property
    def place(self) -> str:
        if self.line is None:
            return self.source
        return f"{self.source}:{self.line}:{self.column}"


def lines(found: Sequence[Located], width: int | None) -> list[str]:
    """A line a finding, or as many as it needs in *width*.

    ``file:line:col: severity CODE: message [endangers …]``.
    """
    told: list[str] = []
    for located in found:
        f = located.finding
        severity = f.severity.name.lower()
        revisions = f" [endangers {', '.join(f.revisions)}]" if f.revisions else ""
        head = f"{clean(located.place)}: "
        text = f"{severity} {f.rule.code} ({f.rule.name}): {f.message}{revisions}"
        first, *rest = paragraph(text, width, head, "    ")
        tone = tones.verdict(severity)
        if tone:
            first = Line(first, (Part(len(head), len(head) + len(severity), tone),))
        told += [first, *rest]
    return told


def fleet(
    reviewed: Sequence[tuple[str, int, Sequence[Finding]]],
    unread: Sequence[str],
    together: str | None,
) -> Report:
    """A row a VM: its worst finding, and the kernels that some finding endangers.

    *together* is what all of them lack.
    """
    rows = [
        (source, format_size(memory), verdict(found), ", ".join(endangered(found)))
        for source, memory, found in reviewed
    ]
    rows += [(source, "", "unreadable", "") for source in unread]
    columns = (
        Column("FILE OR VM"),
        Column("MEMORY", True),
        Column("VERDICT", tone=tones.verdict),
        Column("NOT ON"),
    )
    return Report(columns, tuple(rows), {}, notes=() if together is None else (together,))


def verdict(found: Sequence[Finding]) -> str:
    """The severity of the worst of a VM's findings; ``ok`` where none is more than a note."""
    worst = max((f.severity for f in found), default=Severity.NOTE)
    return FINE if worst == Severity.NOTE else worst.name.lower()


def endangered(found: Sequence[Finding]) -> list[str]:
    """The revisions that some of a VM's findings endanger, oldest first."""
    names = {name for f in found for name in f.revisions}
    return [name for name in REVISIONS if name in names]


class FindingRow(NamedTuple):
    """One finding, and where it stands: line and column are null of a stored VM."""

    file: str
    line: int | None
    column: int | None
    code: str
    name: str
    severity: SeverityWord
    message: str
    gpa: int | None
    endangers: tuple[str, ...]


class UnreadFile(NamedTuple):
    """A file that could not be read, and why."""

    file: str
    error: str


class Reviewed(NamedTuple):
    """`bhyvesim check`: the findings."""

    findings: tuple[FindingRow, ...]
    unreadable: tuple[UnreadFile, ...]


def reviewed(found: Sequence[Located], unread: Sequence[tuple[str, str]] = ()) -> Reviewed:
    """All of them, and the files that could not be read, with the reason."""
    return Reviewed(
        tuple(
            FindingRow(
                source,
                line,
                column,
                f.rule.code,
                f.rule.name,
                f.severity.name.lower(),
                f.message,
                f.gpa,
                tuple(f.revisions),
            )
            for source, line, column, f in found
        ),
        tuple(UnreadFile(*file) for file in unread),
    )


def github(found: Sequence[Located]) -> str:
    """A workflow command a finding."""
    lines = []
    for source, line, column, f in found:
        title = escape_property(f"{f.rule.code} {f.rule.name}")
        place = f"title={title}"
        if line is not None:
            place = f"file={escape_property(source)},line={line},col={column},{place}"
        lines.append(f"::{_GITHUB[f.severity]} {place}::{escape_data(f.message)}\n")
    return "".join(lines)


def _sarif_place(source: str, line: int | None, column: int | None) -> dict[str, Any]:
    if line is None:
        return {"logicalLocations": [{"name": source}]}
    region = {"startLine": line, "startColumn": column}
    return {"physicalLocation": {"artifactLocation": {"uri": source}, "region": region}}


def sarif(found: Sequence[Located]) -> str:
    """SARIF 2.1.0."""
    rules = [
        {"id": rule.code, "name": rule.name, "shortDescription": {"text": rule.summary}}
        for rule in RULES.values()
    ]
    results = [
        {
            "ruleId": f.rule.code,
            "ruleIndex": list(RULES).index(f.rule.code),
            "level": f.severity.name.lower(),
            "message": {"text": f.message},
            "locations": [_sarif_place(source, line, column)],
            "properties": {"endangers": list(f.revisions)},
        }
        for source, line, column, f in found
    ]
    driver = {"name": "bhyvesim", "version": __version__, "rules": rules}
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json.dumps(document, indent=2) + "\n"
