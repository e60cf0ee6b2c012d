"""Importing a crash: the VM that it was about, and what is known of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from bhyvesim import limits
from bhyvesim.cli.files import label_of, write_text
from bhyvesim.cli.session import Format, Session
from bhyvesim.cli.streams import standard_input
from bhyvesim.errors import UsageError
from bhyvesim.text import clean

if TYPE_CHECKING:
    from bhyvesim.config.importers.crash.findings import Told
    from bhyvesim.config.importers.crash.proof import Proof
    from bhyvesim.config.importers.draft import Draft
    from bhyvesim.report.crash_read import CrashOutcome, CrashRead


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """The file at *path*, or standard input, to be read once. Raises UsageError."""
    if path == "-":
        yield standard_input()
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    with file:
        yield file


def read_head(stream: BinaryIO, path: str, size: int) -> bytes:
    """The first *size* bytes of *stream*, or fewer. Raises UsageError."""
    try:
        return stream.read(size)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: OSError | ValueError) -> UsageError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return UsageError(f"{path}: {reason}: expected a readable file")


def import_crash(
    session: Session,
    path: str,
    head: bytes,
    rest: BinaryIO,
    *,
    output: str | None,
    scenario: str | None,
    pick: int | None,
    fmt: Format | None,
) -> int:
    """Read the crash in *head* and *rest*, and write what it tells; returns the exit status."""
    from bhyvesim.config.importers.crash.findings import choose, crashes_in, tell
    from bhyvesim.config.importers.crash.lines import MAX_LINE, lines_of

    label = label_of(path)
    begun = head + rest.readline(MAX_LINE)  # the head may end within a line
    reader = crashes_in(
        chain(begun.splitlines(), lines_of(rest, label)),
        label,
        long=len(head) > limits.FOREIGN.most,
    )
    told = tell(reader, choose(reader, label, pick), label, session.vm)
    session.note(told.verdict())
    for what in told.assumed:
        session.note(f"assumed: {what}")
    if scenario is not None and told.draft is None:
        session.warn("no scenario: there is no VM for it")
    elif scenario is not None:
        write_text(scenario, told.scenario(), new=True)
    text = _json(told) if fmt == "json" else _text(session, told)
    if output is None:
        sys.stdout.write(text)
    elif told.draft is not None:
        write_text(output, text, new=True)
    return 0 if told.draft is not None and told.reproduced else 1


def _text(session: Session, told: Told) -> str:
    """The description with the findings at its head, or those alone."""
    if told.draft is not None:
        return told.draft.text(verbose=session.verbose)
    return "".join(f"# {line}\n" for line in [f"From {clean(told.source)}.", *told.notes()])


def _json(told: Told) -> str:
    from bhyvesim.report.model import document

    return document(_record(told))


def _outcomes(draft: Draft, proof: Proof) -> Iterator[CrashOutcome]:
    from bhyvesim.report.crash_read import CrashOutcome

    for cpu, lives in ((draft.cpu or "amd", proof.lives), ("intel", proof.intel)):
        for life in lives:
            yield CrashOutcome(life.kernel.name, cpu, life.outcome)


def _record(told: Told) -> CrashRead:
    from bhyvesim.report.crash_read import CrashRead

    known, proof, draft = told.known, told.proof, told.draft
    return CrashRead(
        file=told.source,
        line=told.crash.line,
        message=told.message if told.crash.message else None,
        stack=told.functions,
        cause=None if known is None else known.stop.name,
        revisions=() if known is None else told.on,
        reproduced=told.reproduced,
        mended=told.mended,
        doubt=None if known is None else known.doubt or None,
        assumed=tuple(told.assumed),
        safe=told.safe,
        kernels=() if proof is None or draft is None else tuple(_outcomes(draft, proof)),
        findings=tuple(told.notes()),
        verdict=told.verdict(),
        vm=None if draft is None else draft.text(),
        scenario=None if draft is None else told.scenario(),
    )
