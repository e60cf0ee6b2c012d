"""identify: which kernel a host runs, from what was seen on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bhyvesim import limits
from bhyvesim.cli.files import label_of, read_bytes
from bhyvesim.cli.pages import show
from bhyvesim.cli.params import SIZE, format_option, revision_option
from bhyvesim.cli.session import Format, Session
from bhyvesim.errors import BadValue, UsageError

if TYPE_CHECKING:
    from bhyvesim.explore.experiment import Experiment, Found
    from bhyvesim.explore.identify import Candidate, Evidence, Weighed
    from bhyvesim.report.identify import (
        Identified,
        IdentifyDanger,
        IdentifyExperiment,
        IdentifyVerdict,
    )

_STDIN = "-"


@click.command()
@click.option(
    "--panic", "panics", metavar="TEXT", multiple=True, help="A panic's text, or its function."
)
@click.option(
    "--panic-file", "panic_files", metavar="FILE", multiple=True, help="The same in a file."
)
@click.option(
    "--trace", "traces", metavar="FILE", multiple=True, help="Operations with their results."
)
@click.option(
    "--errno",
    "errnos",
    metavar="OPERATION=ERRNO",
    multiple=True,
    help="What one operation answered: hold=ENOTTY, alloc_memseg:4=ok.",
)
@click.option("--resident", type=SIZE, metavar="BYTES", help="Resident memory (--get-stats).")
@click.option("--wired", type=SIZE, metavar="BYTES", help="Wired memory (--get-stats).")
@click.option("--memmap", "memmaps", metavar="FILE", multiple=True, help="Output of --get-memmap.")
@click.option("--debug", "build", flag_value="debug", help="It is a DEBUG kernel.")
@click.option("--production", "build", flag_value="production", help="It is a production kernel.")
@click.option("--cpu", type=click.Choice(("amd", "intel")), help="The processor's make.")
@click.option("--no-experiment", is_flag=True, help="Look for no experiment.")
@click.option(
    "--steps",
    type=click.IntRange(1, 12),
    default=8,
    help="The longest experiment to look for. [default: 8]",
)
@format_option
@revision_option
@click.pass_obj
def identify(
    session: Session,
    /,
    *,
    build: str | None,
    cpu: str | None,
    no_experiment: bool,
    steps: int,
    fmt: Format | None,
    **seen: Any,
) -> int:
    """Say which kernel a host runs, from what was seen on it.

    Each kernel is run to see whether it can do what was seen; what nobody can decide rules
    none out. Then the shortest experiment is searched that tells apart those that are left.
    A trace is in the format of 'replay', a result beside each operation or in the line after
    it. OPERATION is alloc_memseg:SEGID, mmap_memseg:RANGE, npt_op[:OPERATION], hold, release
    or track_dirty_pages. A FILE may be - for standard input, and may be packed (.gz). Exit
    status 1 when no kernel is left.
    """
    from bhyvesim.explore.experiment import experiments
    from bhyvesim.explore.identify import candidates, weighed
    from bhyvesim.kernel.pte import FORMATS
    from bhyvesim.report.identify import identified

    evidence = _evidence(**seen)
    builds = {"debug": (True,), "production": (False,), None: (True, False)}[build]
    npts = [npt for npt, form in FORMATS.items() if cpu in (None, form.cpu)]
    judged = weighed(candidates(builds, npts), evidence)
    left = [each.candidate for each in judged if each.possible]
    found = None if no_experiment else experiments(left, steps)
    show(identified(_record(evidence, judged, found, steps)), fmt)
    return 0 if left else 1


def _evidence(
    panics: tuple[str, ...],
    panic_files: tuple[str, ...],
    traces: tuple[str, ...],
    errnos: tuple[str, ...],
    resident: int | None,
    wired: int | None,
    memmaps: tuple[str, ...],
) -> list[Evidence]:
    """What the options give, in the order of the help. Raises UsageError."""
    from bhyvesim.explore.evidence import Counters, parse_errno
    from bhyvesim.explore.panics import PanicText

    if [*panic_files, *traces, *memmaps].count(_STDIN) > 1:
        raise UsageError("- stands for several files: expected it once")
    found: list[Evidence] = []
    found += [_said("--panic", PanicText, text) for text in panics]
    found += [_panic_file(path) for path in panic_files]
    found += [_trace(path) for path in traces]
    found += [_said("--errno", parse_errno, text) for text in errnos]
    if resident is not None or wired is not None:
        found.append(_said("--resident, --wired", Counters, resident, wired))
    found += [_memmap(path) for path in memmaps]
    return found


def _said(option: str, make: Any, *values: Any) -> Evidence:
    try:
        piece: Evidence = make(*values)
    except BadValue as error:
        raise UsageError(f"{option}: {error}") from None
    return piece


def _panic_file(path: str) -> Evidence:
    from bhyvesim.explore.panics import PanicText

    text = _bounded(path).decode("utf-8", "replace")
    return _said(label_of(path), PanicText, text, f"--panic-file {label_of(path)}")


def _trace(path: str) -> Evidence:
    from bhyvesim.explore.recorded import read_trace

    source = label_of(path)
    try:
        return read_trace(source, _bounded(path).decode("utf-8"))
    except UnicodeDecodeError:
        raise UsageError(f"{source}: not UTF-8: expected one JSON object a line") from None


def _memmap(path: str) -> Evidence:
    from bhyvesim.config.importers.memmap import listing
    from bhyvesim.config.importers.source import decode
    from bhyvesim.explore.evidence import MemoryMap

    source = decode(_bounded(path), label_of(path), lambda _: None)
    return MemoryMap(source.name, listing(source.lines, source.name))


def _bounded(path: str) -> bytes:
    """The file at *path*, unpacked where its name ends in .gz. Raises UsageError."""
    data = read_bytes(path)
    if path.endswith(".gz"):
        data = _unpacked(path, data)
    if len(data) > limits.FOREIGN.most:
        raise UsageError(
            f"{label_of(path)}: over {limits.FOREIGN.most} bytes: expected a smaller file"
        )
    return data


def _unpacked(path: str, data: bytes) -> bytes:
    """As much of *data* as shows whether it is too large."""
    import gzip
    import io
    import zlib

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            return file.read(limits.FOREIGN.most + 1)
    except (OSError, EOFError, zlib.error):
        raise UsageError(f"{path}: damaged, or not packed: expected what gzip makes") from None


def _record(
    evidence: list[Evidence], judged: list[Weighed], found: Found | None, steps: int
) -> Identified:
    """All of it, as it is printed."""
    from bhyvesim.explore.identify import named
    from bhyvesim.report.identify import Identified, IdentifyEvidence

    left = [each.candidate for each in judged if each.possible]
    return Identified(
        tuple(IdentifyEvidence(piece.label, piece.remark) for piece in evidence),
        tuple(_verdicts(judged)),
        tuple(named(left)),
        () if found is None else tuple(_experiment(each, left) for each in found.experiments),
        () if found is None else found.alike,
        steps,
        None if found is None else found.whole,
    )


def _verdicts(judged: list[Weighed]) -> list[IdentifyVerdict]:
    """Kernels of one revision with one verdict are one row."""
    from bhyvesim.explore.identify import named
    from bhyvesim.report.identify import IdentifyObjection, IdentifyVerdict

    alike: dict[tuple[Any, ...], list[Candidate]] = {}
    for each in judged:
        alike.setdefault((each.candidate.gpt, each.objections), []).append(each.candidate)
    return [
        IdentifyVerdict(
            ", ".join(named(group)),
            tuple(candidate.name for candidate in group),
            not objections,
            tuple(IdentifyObjection(*objection) for objection in objections),
        )
        for (_, objections), group in alike.items()
    ]


def _experiment(experiment: Experiment, left: list[Candidate]) -> IdentifyExperiment:
    """For a replay, the VM is created on the newest revision that is left."""
    from bhyvesim.explore.identify import named
    from bhyvesim.explore.seen import told
    from bhyvesim.ops.ioctls import Create
    from bhyvesim.report.identify import IdentifyAnswer, IdentifyExperiment, IdentifyStep

    return IdentifyExperiment(
        not experiment.dangers,
        tuple(_dangers(experiment)),
        Create(*next(c for c in left if c.gpt == left[-1].gpt)).record(),
        tuple(IdentifyStep(move.words, move.operation.record()) for move in experiment.moves),
        tuple(
            IdentifyAnswer(tuple(named(group)), tuple(map(told, experiment.answers[group[0]])))
            for group in experiment.alike
        ),
    )


def _dangers(experiment: Experiment) -> list[IdentifyDanger]:
    from bhyvesim.explore.identify import named
    from bhyvesim.report.identify import IdentifyDanger

    alike: dict[tuple[int, str], list[Candidate]] = {}
    for step, candidate, stop in experiment.dangers:
        alike.setdefault((step, stop), []).append(candidate)
    return [IdentifyDanger(*key, tuple(named(group))) for key, group in alike.items()]
