"""The page of panics and the hang: from the revisions' stops, and a scenario or two of each."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from bhyvesim.cli import run
from bhyvesim.config.scenario.sources import Sources
from bhyvesim.crash.dump import CrashDump
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.kernel.revisions.stops import Stop
from bhyvesim.report.explain import DumpCase, tell
from bhyvesim.scenario.cell import Cell, observe
from bhyvesim.scenario.model import Scenario

ROOT = Path(__file__).parent.parent
SCENARIOS = "examples/panics"
_HEAD = """# The panics and the hang

The ways in which the simulated kernels are known to stop. Each has a scenario in `{scenarios}/`,
which shows it on every kernel that has it, and on none of the others. `bhyvesim explain` tells a
panic that you have met in these words, with the numbers of its case;
[Read a crash](../how-to/read-a-crash.md) begins with a crash of a real host.

| | where | on | mended |
| --- | --- | --- | --- |
"""


def known() -> list[Stop]:
    """Every way to stop, the panics first and by their letters."""
    found = {stop.name: stop for revision in REVISIONS.values() for stop in revision.stops}
    return sorted(found.values(), key=lambda stop: (not stop.letter, stop.letter))


def scenarios_of(stop: Stop) -> list[str]:
    """The paths of those that show it."""
    begin = stop.letter.lower() or "hang"
    return [f"{SCENARIOS}/{p.name}" for p in sorted((ROOT / SCENARIOS).glob(f"{begin}*.yaml"))]


def panics_page() -> str:
    """A section for each way to stop, below a table of them all."""
    text = _HEAD.format(scenarios=SCENARIOS)
    sections = ""
    for stop in known():
        title = f"Panic {stop.letter}" if stop.letter else "The hang"
        having = [r.name for r in REVISIONS.values() if stop in r.stops]
        mended = []
        section = f"\n## {title}\n\nIn `{stop.function}`"
        section += f": `{stop.claim}` fails.\n" if stop.claim else ".\n"
        for path in scenarios_of(stop):
            dump = _first_dump(_loaded(path), stop)
            told = tell(DumpCase(dump))
            assert told is not None, path
            mended.append(told.mended_in or "nowhere yet")
            section += f"\n**{_loaded(path).title.partition(': ')[2].capitalize()}.** "
            section += f"On kernel {dump.gpt}:\n\n{_quoted(' '.join(told.story))}\n"
            section += f"{told.mended}\n\n```text\n{dump.message}\n```\n\n"
            section += f"```console\n$ bhyvesim run {path}\n{_printed(path)}\n```\n"
        anchor = title.lower().replace(" ", "-")
        fixed, on = ", ".join(dict.fromkeys(mended)), ", ".join(having)
        text += f"| [{title}](#{anchor}) | `{stop.function}` | {on} | {fixed} |\n"
        sections += section
    return text + sections


def _loaded(path: str) -> Scenario:
    """The scenario in the project's file *path*."""
    return Sources(lambda name: Path(name).read_bytes()).load(str(ROOT / path))


def _first_dump(scenario: Scenario, stop: Stop) -> CrashDump:
    """What is left of the first of its cells that *stop* ends, on a DEBUG kernel if on any."""
    return next(_dumps(scenario, stop))


def _dumps(scenario: Scenario, stop: Stop) -> Iterator[CrashDump]:
    for spec in scenario.cells:
        cell = Cell(spec.vm)
        for step in scenario.steps:
            stopped = observe(step, cell).stop
            if stopped is None:
                continue
            if stopped.function == stop.function:
                where = {"vm": spec.vm.name, "operation": step.name, "time_ns": 0, "uuid": ""}
                yield CrashDump.of(stopped, cell.running, **where)
            break


def _quoted(story: str) -> str:
    return f"> {story}\n".replace("*", r"\*").replace("[", r"\[")


def _printed(path: str) -> str:
    """What the command line prints of a scenario that passes, when its output is no terminal."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        status = run(["run", str(ROOT / path)])
    assert status == 0, out.getvalue()
    return out.getvalue().replace(str(ROOT / path), path).rstrip()
