"""Draws docs/terminal.svg: a terminal in which a VM brings down its host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "terminal.svg"
COMMANDS = ("create --config configs/testvm-13932.yaml", "reboot")
COLUMNS = 84
# The moment of the report's panic; its identifiers are made from it.
MOMENT = {"SOURCE_DATE_EPOCH": "1630143825", "TZ": "America/Los_Angeles"}


def picture() -> str:
    """The terminal after the commands, as SVG that loads no font from elsewhere."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        for command, output in zip(COMMANDS, _outputs(), strict=True):
            console.print(Text.assemble(("$ ", "bold green"), (f"bhyvesim {command}", "bold")))
            console.print(Text(output), no_wrap=False)
        svg = console.export_svg(title="bhyvesim", unique_id="terminal")
    return re.sub(r"@font-face \{.*?\}\n?", "", svg, flags=re.DOTALL)


def _outputs() -> list[str]:
    with tempfile.TemporaryDirectory() as state:
        environment = {**os.environ, **MOMENT, "BHYVESIM_STATE_DIR": state}
        return [
            subprocess.run(
                [sys.executable, "-m", "bhyvesim", *command.split()],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            ).stdout.rstrip()
            for command in COMMANDS
        ]


def words(svg: str) -> list[str]:
    """The pieces of text that stand in a picture; how rich draws them may change."""
    return re.findall(r"<text [^>]*>([^<]*)</text>", svg)


def main() -> None:
    PICTURE.write_text(picture(), encoding="utf-8")


if __name__ == "__main__":
    main()
