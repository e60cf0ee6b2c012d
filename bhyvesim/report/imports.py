"""What became of the files that were imported together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from bhyvesim.lint.review import Finding
from bhyvesim.report import findings, tones
from bhyvesim.report.model import Column, Note, Report, one_of
from bhyvesim.units import format_size


@dataclass(slots=True)
class Imported:
    """A file, or one VM of it: what was read, or why it could not be."""

    source: str
    vm: str | None = None
    memory: int | None = None  # bytes
    bootrom: int | None = None  # bytes
    output: str | None = None  # the file that was written
    error: str | None = None
    found: list[Finding] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """The severity of the worst finding, ``ok`` for none worse than a note."""
        if self.error is not None:
            return "unreadable" if self.memory is None else "not written"
        return findings.verdict(self.found)

    @property
    def endangered(self) -> list[str]:
        """The revisions that some finding endangers, oldest first."""
        return findings.endangered(self.found)


Verdict = Annotated[str, one_of((findings.FINE, "warning", "error"))]


class ImportedFile(NamedTuple):
    """A file, or one VM of it."""

    file: str
    vm: str | None
    memory: Annotated[int | None, Note(meaning="Bytes of guest memory.")]
    bootrom: Annotated[int | None, Note(meaning="Bytes of the ROM; 0 without one.")]
    output: Annotated[str | None, Note(meaning="The file that was written.")]
    verdict: Annotated[Verdict | None, Note(meaning="The worst finding; null without --check.")]
    endangers: tuple[str, ...] | None
    error: Annotated[str | None, Note(meaning="Why nothing was imported.")]


class ImportedAll(NamedTuple):
    """`bhyvesim import` of several files, or with --check."""

    files: tuple[ImportedFile, ...]
    findings: Annotated[
        tuple[findings.FindingRow, ...], Note(meaning="As those of `bhyvesim check`.")
    ]


def summary(
    rows: Sequence[Imported],
    found: Sequence[findings.Located],
    *,
    reviewed: bool,
    written: bool,
) -> Report:
    """A row a VM, and a row a file that could not be read."""
    columns = [Column("FILE"), Column("VM"), Column("MEMORY", True), Column("ROM", True)]
    columns += [Column("VERDICT", tone=tones.verdict), Column("NOT ON")] if reviewed else []
    columns += [Column("OUTPUT")] if written else []
    record = ImportedAll(
        tuple(_record(row, reviewed) for row in rows), findings.reviewed(found).findings
    )
    return Report(tuple(columns), tuple(_row(row, reviewed, written) for row in rows), record)


def _row(row: Imported, reviewed: bool, written: bool) -> tuple[str, ...]:
    cells = [row.source, row.vm or "", _size(row.memory), _size(row.bootrom)]
    if reviewed:
        cells += [row.verdict, ", ".join(row.endangered)]
    if written:
        cells.append(row.output or row.verdict)
    return tuple(cells)


def _record(row: Imported, reviewed: bool) -> ImportedFile:
    judged = reviewed and row.error is None
    return ImportedFile(
        row.source,
        row.vm,
        row.memory,
        row.bootrom,
        row.output,
        row.verdict if judged else None,
        tuple(row.endangered) if judged else None,
        row.error,
    )


def _size(size: int | None) -> str:
    return "" if size is None else format_size(size)
