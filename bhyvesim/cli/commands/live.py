"""replay --live: what a host answered, held against the kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bhyvesim import limits
from bhyvesim.cli.commands.replay import lines_of
from bhyvesim.cli.files import label_of
from bhyvesim.cli.pages import show
from bhyvesim.cli.session import Format
from bhyvesim.errors import BadValue, UsageError

if TYPE_CHECKING:
    from bhyvesim.explore.identify import Candidate
    from bhyvesim.explore.live import Judge, Judged
    from bhyvesim.report.live import Live, LiveKernel, LiveUnderWay, LiveVm


def replay_live(path: str, gpt: tuple[str, ...], fmt: Format | None) -> int:
    """Read the recording at *path*, and say which of the kernels *gpt* it fits (none: all)."""
    from bhyvesim.explore.live import Judge
    from bhyvesim.kernel.revisions import REVISIONS
    from bhyvesim.report.live import FITS, page

    asked = tuple(dict.fromkeys(gpt)) or tuple(REVISIONS)
    judge = Judge(asked)
    label = label_of(path)
    number = 0
    try:
        with lines_of(path, quiet=False, longest=limits.LIVE_LINE, errors="replace") as lines:
            for number, line in enumerate(lines, start=1):
                judge.read(number, line)
        judged = judge.finish()
    except BadValue as error:
        raise UsageError(f"{label}:{max(number, 1)}: {error}") from None
    record = _record(label, asked, judge, judged)
    show(page(record), fmt)
    return 0 if record.verdict == FITS else 1


def _record(label: str, asked: tuple[str, ...], judge: Judge, judged: list[Judged]) -> Live:
    from bhyvesim.explore.identify import candidates, named
    from bhyvesim.report.live import DIFFERS, FITS, UNKNOWN, Live

    out = {c for each in judged for c, d in each.differences.items() if d is not None}
    left = [c for c in candidates() if c.gpt in asked and c not in out]
    whole = bool(judged) and all(each.life.unknown_from is None for each in judged)
    compared = any(each.compared for each in judged)
    verdict = DIFFERS if not left else FITS if whole and compared else UNKNOWN
    reader = judge.reader
    vms = tuple(_vm(each) for each in judged)
    return Live(label, asked, reader.lines, tuple(reader.notes), vms, tuple(named(left)), verdict)


def _vm(judged: Judged) -> LiveVm:
    from bhyvesim.explore.identify import named
    from bhyvesim.report.live import DIFFERS, FITS, UNKNOWN, LiveVm

    life = judged.life
    left = [c for c, difference in judged.differences.items() if difference is None]
    unknown = life.unknown_from is not None or not judged.compared
    none = bool(judged.differences) and not left
    return LiveVm(
        life.name,
        life.vm,
        life.first,
        life.last,
        judged.compared,
        judged.skipped,
        life.unknown_from,
        life.why,
        DIFFERS if none else UNKNOWN if unknown else FITS,
        tuple(named(left)),
        tuple(_kernels(judged)),
        _under_way(judged),
    )


def _under_way(judged: Judged) -> LiveUnderWay | None:
    from bhyvesim.explore.identify import named
    from bhyvesim.report.live import LiveStop, LiveUnderWay

    call = judged.life.under_way
    if call is None:
        return None
    alike: dict[str, list[Candidate]] = {}
    for candidate, stop in judged.stops.items():
        alike.setdefault(stop, []).append(candidate)
    stops = tuple(LiveStop(stop, tuple(named(group))) for stop, group in alike.items())
    return LiveUnderWay(call.line, call.function, stops)


def _kernels(judged: Judged) -> list[LiveKernel]:
    """Kernels of one revision with the same first difference are one row."""
    from bhyvesim.explore.identify import named
    from bhyvesim.explore.live import Difference
    from bhyvesim.report.live import LiveDifference, LiveKernel

    alike: dict[tuple[str, Difference | None], list[Candidate]] = {}
    for candidate, difference in judged.differences.items():
        alike.setdefault((candidate.gpt, difference), []).append(candidate)
    return [
        LiveKernel(", ".join(named(group)), None if d is None else LiveDifference(*d))
        for (_, d), group in alike.items()
    ]
