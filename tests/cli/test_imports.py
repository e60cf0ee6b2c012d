"""Start-up is a feature: what each kind of command may import."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = {"rich", "yaml", "asyncio", "importlib.metadata", "hypothesis", "multiprocessing"}
ENGINE = {"bhyvesim.kernel.gpt", "bhyvesim.kernel.machine", "bhyvesim.kernel.vmspace"}
# What takes as long to import as printing a memory map does.
SLOW = {"click", "dataclasses", "inspect", "pathlib"}


def imported_by(*argv: str, **environment: str) -> set[str]:
    script = (
        "import sys\nfrom bhyvesim.cli import run\n"
        "try: sys.exit(run(sys.argv[1:]))\n"
        "finally: print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *argv],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    modules = set(done.stderr.split())
    assert "bhyvesim.cli" in modules
    return modules


def test_printing_a_memory_map_imports_neither_click_nor_the_engine(cli, config):
    cli("create", "--config", config("testvm"))
    assert not imported_by("--vm=testvm", "--get-memmap") & (HEAVY | ENGINE | SLOW)


@pytest.mark.parametrize("line", ["show", "touch --gpa 0x1000", "reboot", "destroy"])
def test_what_is_said_plainly_is_done_without_click(line, cli, config):
    cli("create", "--config", config("testvm"))
    modules = imported_by(*line.split())
    assert "bhyvesim.store.transaction" in modules
    assert not modules & (HEAVY | SLOW)


def test_the_version_imports_neither_click_nor_the_engine_nor_the_store():
    assert not imported_by("--version") & (HEAVY | ENGINE | SLOW | {"sqlite3"})


def test_a_list_of_vms_does_not_import_the_engine(cli, config):
    cli("create", "--config", config("testvm"))
    modules = imported_by("list")
    assert "bhyvesim.store.transaction" in modules
    assert not modules & (HEAVY | ENGINE | {"bhyvesim.store.codec", "dataclasses"})


def test_neither_start_nor_end_looks_for_cycles():
    script = (
        "import atexit, gc, sys\nfrom bhyvesim.__main__ import main\nlooks = []\n"
        "gc.callbacks.append(lambda phase, info: looks.append(info['generation']))\n"
        "atexit.register(lambda: print(looks, gc.get_freeze_count() > 10_000, file=sys.stderr))\n"
        "sys.argv = ['bhyvesim', '--help']\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[] True\n"


def test_help_knows_nothing_of_the_state():
    assert not imported_by("--help") & {"sqlite3", "bhyvesim.store", "bhyvesim.report.memory"}


@pytest.mark.parametrize("argv", [("--help",), ("--version",), ("list",)])
def test_light_commands_import_nothing_heavy(argv):
    assert not imported_by(*argv) & HEAVY


@pytest.mark.parametrize(
    "line", ["bhyvesim reb", "bhyvesim --vm=t", "bhyvesim --vm=t --get-g", "bhyvesim --format=j"]
)
def test_completing_imports_none_of_them(line):
    completing = {"_BHYVESIM_COMPLETE": "bash_complete", "COMP_POINT": str(len(line))}
    modules = imported_by(COMP_LINE=line, **completing)
    assert not modules & (HEAVY | ENGINE | {"bhyvesim.cli.commands.lifecycle"})


def test_help_does_not_import_the_engine():
    assert not imported_by("--help") & ENGINE
