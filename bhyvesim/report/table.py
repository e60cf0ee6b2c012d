"""Reports for a terminal, in its width."""

from __future__ import annotations

from bhyvesim.report.fit import paragraph, table
from bhyvesim.report.model import Report


def rule_in(encoding: str | None) -> str:
    """What a rule is drawn with where text is encoded so."""
    return "─" if "utf" in (encoding or "").lower() else "-"


def lines(report: Report, width: int | None, rule: str) -> list[str]:
    """*report* as a table that fits, its notes below; with a rule where a person reads it."""
    if not report.rows:
        return paragraph(report.empty, width)
    if width is None:
        rule = ""
    shown = table(report.columns, report.rows, width, alike=report.alike, rule=rule)
    notes = [line for note in report.notes for line in paragraph(note, width)]
    apart = [""] if notes and "" in shown else []  # below records or several tables
    return [*shown, *apart, *notes]
