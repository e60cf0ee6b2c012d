"""Writes bhyvesim/cli/helps.py: the line of each command in --help, from its own docstring;
and bhyvesim/cli/builtin.py: what --version says of each kernel revision, from kernel/revisions.

Kept apart so that --help imports no command, and --version no kernel.
"""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import bhyvesim
from tools.commands import eager_root

PAGE = Path(bhyvesim.__file__).parent / "cli" / "helps.py"
BUILT_IN = PAGE.with_name("builtin.py")
_OURS = """from bhyvesim.kernel.revisions import REVISIONS
for r in REVISIONS.values(): print(repr((r.name, r.date, r.summary, r.known)))"""


def helps() -> str:
    """The module."""
    lines = [
        '"""The line of each command in --help. Made by tools/helps.py from their docstrings."""\n',
        "HELPS = {",
    ]
    for name, command in eager_root().commands.items():
        first = inspect.cleandoc(command.help or "").split("\n\n")[0]
        line = " ".join(first.split())
        lines.append(f'    "{name}": "{line}",')
    return "\n".join([*lines, "}"]) + "\n"


def built_in() -> str:
    """The other module; made by a process of its own, which has no revision of anybody else's."""
    done = subprocess.run([sys.executable, "-c", _OURS], capture_output=True, text=True, check=True)
    lines = [
        '"""The kernel revisions as --version shows them. Made by tools/helps.py from theirs."""\n',
        "BUILT_IN = (",
    ]
    for row in map(ast.literal_eval, done.stdout.splitlines()):
        lines += [
            "    (",
            *(f"        {json.dumps(text, ensure_ascii=False)}," for text in row),
            "    ),",
        ]
    return "\n".join([*lines, ")"]) + "\n"


def main() -> None:
    PAGE.write_text(helps(), encoding="utf-8")
    BUILT_IN.write_text(built_in(), encoding="utf-8")


if __name__ == "__main__":
    main()
