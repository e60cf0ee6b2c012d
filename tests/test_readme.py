"""The console sessions in README.md, command by command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def sessions(text: str):
    """(command, output) of every ``$`` line in the console blocks."""
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output.rstrip("\n")


def test_the_readme_shows_real_output(tmp_path):
    shown = [
        (command, output)
        for command, output in sessions((ROOT / "README.md").read_text(encoding="utf-8"))
        if not command.startswith("make ")
    ]
    assert len(shown) > 8
    script = "".join(f"{command} 2>&1\ns=$?; echo '::end'; (exit $s)\n" for command, _ in shown)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    outputs = [part.rstrip("\n") for part in done.stdout.split("::end\n")]
    for (command, expected), got in zip(shown, outputs, strict=False):
        assert got.lstrip("\n") == expected, command
    assert len(outputs) == len(shown) + 1
