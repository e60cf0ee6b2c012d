"""Writes man/*.1 from the commands; the wheel installs them."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from unittest.mock import patch

import click
from click_man.core import write_man_pages

from bhyvesim import __version__
from bhyvesim.cli.bhyvectl.main import OURS
from bhyvesim.cli.bhyvectl.options import SIMULATED, TABLE
from tools.commands import eager_root

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "man"

ENVIRONMENT = {
    "BHYVESIM_VM": "The VM that is meant where none is named.",
    "BHYVESIM_STATE_DIR": "The folder of the state; else bhyvesim below $XDG_STATE_HOME, "
    "else ~/.local/state/bhyvesim.",
    "BHYVESIM_REVISION_FILE": "Files with kernel revisions of one's own, a colon between them.",
    "BHYVESIM_TRUST_STATE": "1: a state that others may write is believed.",
    "BHYVESIM_TRACEBACK": "1: of what nobody foresaw (status 70), where in the code it was.",
    "SOURCE_DATE_EPOCH": "Seconds since 1970: stops the clock.",
    "NO_COLOR": "No colours, whatever its value.",
}


def _whole_line(command: click.Command, limit: int = 0) -> str:
    """The first paragraph of a command's help; click would cut it to 45 columns."""
    return " ".join((command.help or "").split("\n\n")[0].split())


def root_sections(root: click.Group) -> str:
    """What click-man leaves out of the root's page: bhyvectl's options, and the epilog."""
    takes = {**dict(TABLE), **OURS}
    text = ".SH BHYVECTL'S OPTIONS\nThese stand without a command, in bhyvectl's manner.\n"
    for name in sorted(SIMULATED | OURS.keys()):
        option = f"--{name}=VALUE" if takes[name] else f"--{name}"
        text += f".TP\n{_escaped(option)}\n"
        text += "As of bhyvectl.\n" if name in SIMULATED else "Of bhyvesim alone.\n"
    text += ".SH ENVIRONMENT\n"
    for name, about in ENVIRONMENT.items():
        text += f".TP\n{name}\n{_escaped(about)}\n"
    text += ".SH NOTES\n.nf\n"
    for line in (root.epilog or "").replace("\b\n", "").splitlines():
        text += f"{_escaped(line)}\n"
    return text + ".fi\n"


def _escaped(line: str) -> str:
    """*line* as roff takes it literally, also at the beginning of a line."""
    shown = line.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{shown}" if shown.startswith((".", "'")) else shown


def date() -> str:
    """The day of this version, as the changelog has it: not that on which somebody runs this."""
    heading = re.search(
        rf"^## {re.escape(__version__)} \((.+)\)$",
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert heading is not None, __version__
    return heading[1]


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.1"):
        old.unlink()
    with warnings.catch_warnings():
        # click-man 0.5 and 0.6 call a helper that click is about to drop.
        warnings.simplefilter("ignore", DeprecationWarning)
        root = eager_root()
        with patch("click_man.core.get_short_help_str", _whole_line):
            write_man_pages("bhyvesim", root, version=__version__, target_dir=folder, date=date())
    with (folder / "bhyvesim.1").open("a", encoding="utf-8") as page:
        page.write(root_sections(root))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
