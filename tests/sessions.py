"""Console sessions in documents: found, run in a shell, and compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of *language*, without their indentation."""
    pattern = rf"^( *)```{language}\n(.*?)^\1```"
    found = re.findall(pattern, text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(body) for _, body in found]


def sessions(text: str) -> Iterator[tuple[str, str]]:
    """``(command, output)`` of every ``$`` line in the console blocks."""
    for block in blocks(text, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, _trimmed(output)


def on_path() -> dict[str, str]:
    """The environment, with this Python's scripts first on the PATH."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def outputs(commands: list[str]) -> list[str]:
    """What *commands* print, one after the other in one shell."""
    script = "".join(
        f"{{ {command}\n}} 2>&1\ns=$?; echo '::end'; (exit $s)\n" for command in commands
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=on_path(), capture_output=True, text=True, check=False
    )
    return [_trimmed(part) for part in done.stdout.split("::end\n")[:-1]]


def _trimmed(text: str) -> str:
    """*text* without blanks at the ends of lines, which documents do not keep."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
