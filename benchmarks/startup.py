"""What it costs to start each command, against `import click, sqlite3`: whole processes.

    python -m benchmarks.startup [--rounds 30] [COMMAND ...]

Each round runs every command once, one after the other, the yardstick among them: whatever the
machine does meanwhile it does to all. What counts is the median of a round's ratios, the command
to the yardstick of the same round. The state holds one VM. Bytecode is kept, as it is of what is
installed, whatever $PYTHONDONTWRITEBYTECODE says: else each start would compile bhyvesim anew, and
the yardstick nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bhyvesim.cli.root import COMMANDS

ROOT = Path(__file__).parent.parent
BHYVESIM = str(Path(sys.executable).parent / "bhyvesim")
YARDSTICK = "import click, sqlite3"
ROUNDS = 30
MANY = 10_000  # VMs of a list that is long


class Start(NamedTuple):
    """A command, the ratio that it should stay below, and what of the environment it needs."""

    argv: list[str]
    most: float | None = None
    environment: dict[str, str] = {}  # noqa: RUF012  # nobody changes it


class Cost(NamedTuple):
    """Median seconds, the median ratio to the yardstick, and what it should stay below."""

    seconds: float
    ratio: float
    most: float | None


_COMPLETING = {
    "_BHYVESIM_COMPLETE": "bash_complete",
    "COMP_WORDS": "bhyvesim reb",
    "COMP_CWORD": "1",
}


def starts() -> dict[str, Start]:
    """What is started, by what it is called."""
    found = {
        "python -c pass": Start([sys.executable, "-c", "pass"]),
        YARDSTICK: Start([sys.executable, "-c", YARDSTICK]),
        "--get-memmap": Start([BHYVESIM, "--vm=x", "--get-memmap"], 1.0),
        "--version": Start([BHYVESIM, "--version"], 1.0),
        "--help": Start([BHYVESIM, "--help"], 1.2),
        "completion": Start([BHYVESIM], 1.3, _COMPLETING),
    }
    lives = {
        "list": [],
        "show": [],
        "touch": ["--gpa", "0x1000", "--len", "4096", "--access", "r"],
        "reboot": [],
        "destroy": [],
    }
    for name, options in lives.items():
        if name in COMMANDS:
            found[name] = Start([BHYVESIM, name, *options], 1.4)
    return found


def make_vm(state: Path, name: str = "x") -> None:
    """A state folder with one VM in it."""
    config = str(ROOT / "configs" / "testvm.yaml")
    run([BHYVESIM, "create", "--config", config, "--vm", name], state)


def run(argv: list[str], state: Path, environment: dict[str, str] | None = None) -> float:
    """Seconds of one process, which has to end well."""
    env = {**os.environ, "BHYVESIM_STATE_DIR": str(state), **(environment or {})}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    subprocess.run(argv, env=env, check=True, capture_output=True)
    return time.perf_counter() - began


def measure(folder: Path, rounds: int = ROUNDS, only: set[str] | None = None) -> dict[str, Cost]:
    """The cost of each start, or of those named in *only*."""
    kept, state = folder / "kept", folder / "state"
    make_vm(kept)
    taken = {n: s for n, s in starts().items() if not only or n == YARDSTICK or n in only}
    times: dict[str, list[float]] = {name: [] for name in taken}
    for turn in range(rounds + 1):  # the first finds nothing in any cache, bytecode included
        for name, start in taken.items():
            shutil.rmtree(state, ignore_errors=True)
            shutil.copytree(kept, state)  # the same state for each
            seconds = run(start.argv, state, start.environment)
            if turn:
                times[name].append(seconds)
    base = times[YARDSTICK]
    return {
        name: Cost(
            statistics.median(times[name]),
            statistics.median(a / b for a, b in zip(times[name], base, strict=True)),
            start.most,
        )
        for name, start in taken.items()
    }


def crowd(state: Path, count: int = MANY) -> None:
    """A state folder with *count* VMs: one that was created, and copies of its rows."""
    import sqlite3
    from contextlib import closing

    make_vm(state)
    with closing(sqlite3.connect(state / "state.sqlite3")) as db, db:
        life, seq, stamp = db.execute("SELECT life, seq, stamp FROM vm").fetchone()
        rows = [(f"vm{i:05}", life, seq, stamp + i) for i in range(1, count)]
        db.executemany("INSERT INTO vm (name, life, seq, stamp) VALUES (?, ?, ?, ?)", rows)


def long_list(folder: Path, rounds: int = 5) -> tuple[float, float]:
    """Median seconds of `list` with no VM, and with :data:`MANY`."""
    empty, full = folder / "empty", folder / "full"
    crowd(full)
    pairs = [(run([BHYVESIM, "list"], empty), run([BHYVESIM, "list"], full)) for _ in range(rounds)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def rows(costs: dict[str, Cost]) -> list[tuple[str, ...]]:
    """A row a start: name, milliseconds, ratio, what it should stay below."""
    return [
        (
            f"`{name}`",
            f"{cost.seconds * 1e3:.1f} ms",
            f"{cost.ratio:.2f}",
            "" if cost.most is None else f"{cost.most:.1f}",
        )
        for name, cost in costs.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("only", nargs="*", metavar="COMMAND")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for row in rows(measure(Path(name), given.rounds, set(given.only))):
            print("{:26} {:>9} {:>6} {:>5}".format(*row))
        if not given.only:
            empty, full = long_list(Path(name))
            print(f"list of {MANY} VMs: {full - empty:.2f} s beyond the {empty:.2f} s of an empty")


if __name__ == "__main__":
    main()
