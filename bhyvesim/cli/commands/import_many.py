"""Importing many files: a description each, and one table of what became of them."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator

from bhyvesim.cli.files import file_size, label_of, read_bytes, write_text
from bhyvesim.cli.pages import write
from bhyvesim.cli.session import Format, Session
from bhyvesim.config.importers.draft import Draft, Found, meaningless
from bhyvesim.config.importers.sniff import choose, find
from bhyvesim.config.importers.source import OwnFile
from bhyvesim.config.vm import load
from bhyvesim.errors import UsageError
from bhyvesim.lint.review import review
from bhyvesim.report import findings
from bhyvesim.report.imports import Imported, summary

# Beside the configurations of VMs lie their disks, firmware and logs.
_PASSED_OVER = (".img", ".iso", ".qcow2", ".raw", ".vmdk", ".vhd", ".fd", ".rom", ".log", ".pid")


class Batch:
    """What became of every file; nothing that goes wrong with one of them stops the others."""

    def __init__(
        self, session: Session, kind: str | None, *, check: bool, pick: int | None
    ) -> None:
        self.session = session
        self.kind = kind
        self.check = check
        self.pick = pick
        self.output: str | None = None
        self.folder = False
        self.rows: list[Imported] = []
        self.found: list[findings.Located] = []
        self.assumed: defaultdict[str, list[str]] = defaultdict(list)
        self.ignored = 0

    def write_to(self, output: str | None, *, folder: bool) -> None:
        """Write descriptions to *output*, a folder or one new file; None: write none."""
        self.output, self.folder = output, folder
        if output is not None and folder:
            try:
                os.makedirs(output, exist_ok=True)
            except OSError as error:
                raise UsageError(f"{output}: {error.strerror}: expected a folder") from None

    def take(self, source: str) -> None:
        """Read *source*, or the files in that folder, and write what they describe."""
        if not os.path.isdir(source):
            self._take_file(source)
            return
        own = 0
        for path in list(self._files_in(source)):
            try:
                self._take_file(path, among_others=True)
            except OwnFile:
                own += 1
        if own:
            self.session.note(f"{source}: {own} files of bhyvesim's own are passed over")

    def _files_in(self, folder: str) -> Iterator[str]:
        """The files below *folder* that may describe VMs; hidden ones are not looked at."""
        passed = 0
        for here, folders, names in os.walk(folder, onerror=self._fail_folder):
            folders[:] = sorted(name for name in folders if name[0] != ".")
            for name in sorted(name for name in names if name[0] != "."):
                path = os.path.join(here, name)
                if name.endswith(_PASSED_OVER) or not os.path.isfile(path):
                    passed += 1
                else:
                    yield path
        if passed:
            self.session.note(f"{folder}: {passed} disk images, ROMs and logs are passed over")

    def _fail_folder(self, error: OSError) -> None:
        path = str(error.filename)
        self._fail(Imported(path), f"{path}: {error.strerror}: expected a readable folder")

    def _take_file(self, path: str, *, among_others: bool = False) -> None:
        """Read one file. Raises OwnFile for our own, where it stands *among_others*."""
        label = label_of(path)
        try:
            found = find(read_bytes(path), label, self.kind, file_size, self.session.vm)
            if self.pick is not None or (self.output is not None and not self.folder):
                found = [choose(found, label, self.pick)]
        except UsageError as error:
            if among_others and isinstance(error, OwnFile):
                raise
            self._fail(Imported(label), str(error))
            return
        for one in found:
            self._take_vm(one, label)

    def _take_vm(self, one: Found, label: str) -> None:
        row = Imported(label)
        try:
            draft = one.read()
            text = draft.text(verbose=self.session.verbose)
            spec = load(text, f"the description of {label}")
            roms = {segment.segid for segment in spec.segments if segment.name == "bootrom"}
            row.vm, row.memory = spec.name, spec.memory
            row.bootrom = sum(m.length for m in spec.mappings if m.segid in roms)
            if self.output is not None:
                row.output = self._write(spec.name, text)
        except UsageError as error:
            self._fail(row, str(error))
            return
        self.rows.append(row)
        self._tell(draft, label)
        if self.check:
            row.found = review(spec, kernel_is_named=False)
            self.found += [findings.Located(label, draft.memory_line, 1, f) for f in row.found]

    def _write(self, name: str, text: str) -> str:
        """Write a description; returns the new file's path. Raises UsageError."""
        assert self.output is not None
        path = os.path.join(self.output, _file_name(name)) if self.folder else self.output
        write_text(path, text, new=True)
        return path

    def _tell(self, draft: Draft, label: str) -> None:
        for what in draft.assumed:
            self.assumed[what].append(label)
        for what in draft.ignored:
            self.session.detail(f"{label}: ignored: {what[:160]}")
        self.ignored += len(draft.ignored)

    def _fail(self, row: Imported, error: str) -> None:
        row.error = error
        self.rows.append(row)
        self.session.warn(error)

    def report(self, fmt: Format | None) -> int:
        """Print findings and the table; returns the exit status."""
        for what, labels in self.assumed.items():
            who = labels[0] if len(set(labels)) == 1 else f"{len(labels)} VMs"
            self.session.note(f"{who}: {what}")
        if self.ignored and not self.session.verbose:
            self.session.note(meaningless(self.ignored))
        if fmt != "json" and self.found:
            write(lambda width: [*findings.lines(self.found, width), ""], fmt)
        written = self.output is not None
        self.session.emit(summary(self.rows, self.found, reviewed=self.check, written=written), fmt)
        failed = sum(row.error is not None for row in self.rows)
        if failed:
            self.session.warn(f"{failed} of {len(self.rows)} could not be imported")
            return 2
        if not self.rows:
            raise UsageError("there is nothing to import: expected files that describe VMs")
        return 1 if any(row.verdict != "ok" for row in self.rows) else 0


def _file_name(name: str) -> str:
    """A file for the VM *name*: what shells and file systems take badly becomes ``_``."""
    fit = re.sub(r"[^\w.@+=-]|^[.-]", "_", name)
    return f"{fit}.yaml"
