"""The shape of everything that is printed: named columns, rows of text, and the JSON of both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from bhyvesim.text import clean, clean_json


class Column(NamedTuple):
    """A column's heading, and the alignment of its values."""

    name: str
    right: bool = False


class Report(NamedTuple):
    """One answer in three forms.

    ``data`` is the JSON document. ``exact``, when given, is the plain form to the byte;
    otherwise plain is the columns, aligned. ``empty`` is what a table without rows says,
    ``notes`` are lines below the table.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    data: Any
    exact: str | None = None
    empty: str = ""
    notes: tuple[str, ...] = ()

    def plain(self) -> str:
        """For pipes and files."""
        if self.exact is not None:
            return self.exact
        if not self.rows:
            return ""
        table = [tuple(column.name for column in self.columns), *self.clean_rows()]
        widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
        lines = []
        for row in table:
            cells = [
                cell.rjust(width) if column.right else cell.ljust(width)
                for cell, width, column in zip(row, widths, self.columns, strict=True)
            ]
            lines.append("  ".join(cells).rstrip() + "\n")
        lines += [f"{note}\n" for note in self.notes]
        return "".join(lines)

    def json(self) -> str:
        """For programs."""
        return clean_json(json.dumps(self.data, indent=2, ensure_ascii=False)) + "\n"

    def clean_rows(self) -> Iterator[tuple[str, ...]]:
        """The rows, fit to be shown."""
        for row in self.rows:
            yield tuple(map(clean, row))
