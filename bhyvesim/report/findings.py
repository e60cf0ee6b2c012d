"""What a review found: for people, programs, GitHub and SARIF viewers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from bhyvesim import __version__
from bhyvesim.report.scenario import escape_data, escape_property
from bhyvesim.vmm.review import RULES, Finding, Severity

_GITHUB = {Severity.NOTE: "notice", Severity.WARNING: "warning", Severity.ERROR: "error"}


class Located(NamedTuple):
    """A finding, and where it stands; lines and columns from 1."""

    source: str
    line: int
    column: int
    finding: Finding


def plain(found: Sequence[Located]) -> str:
    """A line a finding: ``file:line:col: severity CODE: message [endangers …]``."""
    lines = []
    for source, line, column, f in found:
        revisions = f" [endangers {', '.join(f.revisions)}]" if f.revisions else ""
        lines.append(
            f"{source}:{line}:{column}: {f.severity.name.lower()} {f.rule.code} "
            f"({f.rule.name}): {f.message}{revisions}\n"
        )
    return "".join(lines)


def data(found: Sequence[Located]) -> dict[str, Any]:
    """JSON of all of them."""
    return {
        "findings": [
            {
                "file": source,
                "line": line,
                "column": column,
                "code": f.rule.code,
                "name": f.rule.name,
                "severity": f.severity.name.lower(),
                "message": f.message,
                "gpa": f.gpa,
                "endangers": list(f.revisions),
            }
            for source, line, column, f in found
        ]
    }


def github(found: Sequence[Located]) -> str:
    """A workflow command a finding."""
    lines = []
    for source, line, column, f in found:
        title = escape_property(f"{f.rule.code} {f.rule.name}")
        place = f"file={escape_property(source)},line={line},col={column},title={title}"
        lines.append(f"::{_GITHUB[f.severity]} {place}::{escape_data(f.message)}\n")
    return "".join(lines)


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
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": source},
                        "region": {"startLine": line, "startColumn": column},
                    }
                }
            ],
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
