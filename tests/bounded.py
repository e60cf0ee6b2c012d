"""The command in a process of its own, with little memory and little time."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import NamedTuple

SECONDS = 10  # of processor time: ten times what anything here needs
BYTES = 1 << 30  # of addresses, of which a Python with its libraries has a tenth


class Ended(NamedTuple):
    status: int
    out: str
    err: str


def _bound() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


def bounded(*arguments, folder, given=b"", **environment):
    """What ``bhyvesim ARGUMENTS`` came to in *folder*, *given* on its standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "bhyvesim", *map(str, arguments)],
        input=given,
        capture_output=True,
        cwd=folder,
        env={**os.environ, "BHYVESIM_STATE_DIR": str(folder / "state"), **environment},
        preexec_fn=_bound,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
