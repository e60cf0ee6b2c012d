"""The shape of everything that is printed: a record, which is the JSON, and rows of its values.

A record is a named tuple, a Value or a dataclass whose fields are the keys of a JSON object.
``KEYS`` of its class has the keys that are no names of Python's, ``ABSENT`` the fields that are
left out where they are None. The JSON Schemas are derived from the types of the fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple

from bhyvesim.text import clean, clean_json


class Column(NamedTuple):
    """A column's heading, the alignment of its values, and what they mean (see tones.py)."""

    name: str
    right: bool = False
    tone: Callable[[str], str | None] | None = None


class Note(NamedTuple):
    """What a field's type is annotated with: the only words, a pattern, what is meant."""

    words: tuple[str, ...] = ()
    pattern: str = ""
    meaning: str = ""


def one_of(words: Iterable[str]) -> Note:
    """What to annotate a string with that is one of *words*."""
    return Note(tuple(words))


Hex = Annotated[str, Note(pattern="^0x[0-9a-f]+$", meaning="A 64-bit word in hex.")]


def fields_of(record: object) -> Sequence[str]:
    """The names of a record's fields, in order; none of what is no record."""
    for names in ("_fields", "arguments", "__dataclass_fields__"):
        if hasattr(record, names):
            return tuple(getattr(record, names))
    return ()


def plain(record: Any) -> Any:
    """*record* as dicts, lists, numbers and strings."""
    names = fields_of(record)
    if names:
        keys, absent = getattr(record, "KEYS", {}), getattr(record, "ABSENT", ())
        values = ((name, getattr(record, name)) for name in names)
        return {
            keys.get(name, name): plain(value)
            for name, value in values
            if value is not None or name not in absent
        }
    if isinstance(record, (tuple, list)):
        return [plain(value) for value in record]
    if isinstance(record, dict):
        return {key: plain(value) for key, value in record.items()}
    return record


def document(record: Any) -> str:
    """*record* as a JSON document, with what is unfit to be shown escaped."""
    import json

    return clean_json(json.dumps(plain(record), indent=2, ensure_ascii=False)) + "\n"


class Report(NamedTuple):
    """One answer in three forms.

    ``data`` is the record of it. ``exact``, when given, is the plain form to the byte;
    otherwise plain is the columns, aligned. ``empty`` is what a table without rows says,
    ``notes`` are lines below the table. ``alike``: all columns but the first hold the same.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    data: Any
    exact: str | None = None
    empty: str = ""
    notes: tuple[str, ...] = ()
    alike: bool = False

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
        return document(self.data)

    def clean_rows(self) -> Iterator[tuple[str, ...]]:
        """The rows, fit to be shown."""
        for row in self.rows:
            yield tuple(map(clean, row))
