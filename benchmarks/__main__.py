"""Measure everything, and write docs/performance.md."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pyperf

from benchmarks import startup
from benchmarks.cases import COPIES, FAULTS, SIZES, memory_of, recorded_lines, recorded_operations
from benchmarks.state import Cost, costs
from bhyvesim.kernel.revisions import REVISIONS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"


def measure_engine(folder: Path) -> dict[str, float]:
    """Median seconds of each engine case."""
    out = folder / "engine.json"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.engine", "-o", str(out), "--quiet"], cwd=ROOT, check=True
    )
    suite = pyperf.BenchmarkSuite.load(str(out))
    return {bench.get_name(): bench.median() for bench in suite.get_benchmarks()}


def duration(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def life_table(times: dict[str, float]) -> str:
    rows = []
    for gpt in REVISIONS:
        cells = [times.get(f"life {gpt} {label}") for label in SIZES]
        first, last = cells[0], cells[-1]
        ratio = "" if first is None or last is None else f"{last / first:.2f}"
        shown = ("panics" if cell is None else duration(cell) for cell in cells)
        rows.append((f"`{gpt}`", *shown, ratio))
    return table(("revision", *SIZES, "32 TiB / 8 GiB"), rows)


def fault_table(times: dict[str, float]) -> str:
    labels = {
        "faults single 14042": "64 GiB, `14042`, one call each",
        "faults batch 14042": "64 GiB, `14042`, in batch",
        "faults single 2025": "64 GiB, `2025`, one call each",
        "faults batch 2025": "64 GiB, `2025`, in batch",
        "faults batch 63 TiB": "63 TiB, `14042`, in batch",
    }
    loop = times["yardstick"]
    rows = [
        (label, f"{times[name] / FAULTS * 1e6:.2f} us", f"{times[name] / loop:.1f}")
        for name, label in labels.items()
    ]
    return table(("a million random single-page faults", "each", "yardsticks in all"), rows)


def other_table(times: dict[str, float]) -> str:
    operations = recorded_operations(recorded_lines())
    rows = [
        (
            f"{extents:,} extents of 8 pages, 8-page holes, and the dump",
            f"{times[f'fragmented {extents}'] / extents * 1e6:.2f} us an extent",
        )
        for extents in (20_000, 40_000, 80_000)
    ]
    for method, count in COPIES.items():
        each = duration(times[f"copied by {method}"] / count)
        rows.append((f"a booted guest of 8 GiB, copied by {method}", each))
    rows.append(("a life of 8 GiB on `2025`, nobody listens", duration(times["life 2025 8 GiB"])))
    rows.append(("the same, every call listened to", duration(times["life, traced"])))
    rows.append(("replay of the recorded traces", f"{operations / times['replay']:,.0f} ops/s"))
    for label, script in (
        (
            "memory kept and peak, a million faults, one call each",
            "for gpa in gpas: machine.access(gpa, 1, 2)",
        ),
        ("memory kept and peak, a million faults, in batch", "machine.access_batch(gpas, 2)"),
    ):
        kept, peak = memory_of(script)
        rows.append((label, f"{kept / 1e6:.1f} MB, {peak / 1e6:.1f} MB"))
    return table(("work", "cost"), rows)


def state_table(costs: dict[str, Cost]) -> str:
    rows = [
        (
            name,
            f"{c.bytes:,.0f}",
            *map(duration, (c.event, c.moment, c.everything, c.report)),
            f"{c.report_bytes:,}",
        )
        for name, c in costs.items()
    ]
    heads = (
        *("guest", "bytes an event", "an event", "any moment, a walk", "any moment, all of it"),
        *("a report of the first two events", "its bytes"),
    )
    return table(heads, rows)


def command_table(costs: dict[str, startup.Cost]) -> str:
    head = ("command", "wall time", f"of `{startup.YARDSTICK}`", "meant to be at most")
    return table(head, startup.rows(costs))


def commands(folder: Path) -> str:
    """The section on starting up, measured."""
    costs = startup.measure(folder)
    empty, full = startup.long_list(folder)
    return f"""## Commands

Whole processes, each command once a round, {startup.ROUNDS} rounds; ratios are medians of those \
within a round. Bytecode is there, and the state holds one VM.

{command_table(costs)}
`list` of {startup.MANY:,} VMs takes {duration(full - empty)} longer than of none.
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        starting = commands(Path(name))
        times = measure_engine(Path(name))
        states = costs()
    PAGE.write_text(
        f"""# Performance

Written by `make bench` (pyperf; medians). {platform.python_implementation()} \
{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores, \
which may have been busy: compare figures within this page, best with the yardstick, a plain loop \
of a million turns in the same run: **{duration(times["yardstick"])}**.

## One life: create, touch all, reboot, destroy

Production kernels, RVI, bhyve's layout. 15844 panics on every guest across 512 GiB.

{life_table(times)}
## Faults

{fault_table(times)}
## The rest

{other_table(times)}
## Stored VMs and their past

Events that touch one page each; any of their moments, looked at by a walk, and read whole.

{state_table(states)}
{starting}""",
        encoding="utf-8",
    )
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
