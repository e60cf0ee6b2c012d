"""What was read of a crash, as one document."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from bhyvesim.report.model import Note, one_of


class CrashOutcome(NamedTuple):
    """What the VM's life came to on a kernel."""

    kernel: str
    cpu: Annotated[str, one_of(("amd", "intel"))]
    outcome: Annotated[str, Note(meaning="ok, or why it is not safe.")]


class CrashRead(NamedTuple):
    """`bhyvesim import` of a crash."""

    file: str
    line: int
    message: Annotated[str | None, Note(meaning="The panic's message.")]
    stack: Annotated[tuple[str, ...], Note(meaning="Its functions, innermost first.")]
    cause: Annotated[str | None, Note(meaning="The known cause; null for one that is not known.")]
    revisions: Annotated[tuple[str, ...], Note(meaning="The revisions that come to it so.")]
    reproduced: Annotated[tuple[str, ...], Note(meaning="Those on which this VM comes to it.")]
    mended: Annotated[str | None, Note(meaning="The first revision that mends it.")]
    doubt: Annotated[str | None, Note(meaning="What speaks for the cause only in part.")]
    assumed: tuple[str, ...]
    safe: Annotated[tuple[str, ...] | None, Note(meaning="The revisions on which this VM is safe.")]
    kernels: tuple[CrashOutcome, ...]
    findings: Annotated[tuple[str, ...], Note(meaning="All of it in sentences.")]
    verdict: str
    vm: Annotated[str | None, Note(meaning="The VM's description, in YAML.")]
    scenario: Annotated[str | None, Note(meaning="A scenario over all revisions that passes.")]
