"""Writes bhyvesim/cli/helps.py: the line of each command in --help, from its own docstring.

Kept apart so that --help imports no command.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import bhyvesim
from tools.commands import eager_root

PAGE = Path(bhyvesim.__file__).parent / "cli" / "helps.py"


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


def main() -> None:
    PAGE.write_text(helps(), encoding="utf-8")


if __name__ == "__main__":
    main()
