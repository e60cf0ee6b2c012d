"""Writes man/*.1 from the commands; the wheel installs them."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from click_man.core import write_man_pages

from bhyvesim import __version__
from tools.commands import eager_root

FOLDER = Path(__file__).parent.parent / "man"
DATE = "2026-11-22"  # of the version; not of the day on which somebody runs this


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.1"):
        old.unlink()
    with warnings.catch_warnings():
        # click-man 0.5 and 0.6 call a helper that click is about to drop.
        warnings.simplefilter("ignore", DeprecationWarning)
        write_man_pages("bhyvesim", eager_root(), version=__version__, target_dir=folder, date=DATE)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
