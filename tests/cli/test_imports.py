"""Start-up is a feature: what each kind of command may import."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"rich", "yaml", "asyncio", "importlib.metadata", "hypothesis", "multiprocessing"}
ENGINE = {"bhyvesim.gpt", "bhyvesim.machine.vm", "bhyvesim.vmspace"}


def imported_by(*argv: str) -> set[str]:
    script = (
        "import sys; from bhyvesim.cli import run; status = run(sys.argv[1:]);"
        "print(*sys.modules, sep='\\n', file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *argv], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_printing_a_memory_map_imports_neither_click_nor_the_engine(cli, config):
    cli("create", "--config", config("testvm"))
    assert not imported_by("--vm=testvm", "--get-memmap") & (HEAVY | ENGINE | {"click"})


@pytest.mark.parametrize("argv", [("--help",), ("--version",), ("list",)])
def test_light_commands_import_nothing_heavy(argv):
    assert not imported_by(*argv) & HEAVY


def test_help_does_not_import_the_engine():
    assert not imported_by("--help") & ENGINE
