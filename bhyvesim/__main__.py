"""The command: ``bhyvesim``, ``python -m bhyvesim``."""

from __future__ import annotations

import os
import sys


def hold_descriptors() -> None:
    """Put something at the descriptors 0, 1 and 2 that are closed.

    The next file that is opened had such a number otherwise, and whatever some library or
    child writes to standard error would stand in it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one


def main() -> None:
    """Run the command line and exit with its status."""
    hold_descriptors()
    try:
        from bhyvesim.cli import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # while it began or ended
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
