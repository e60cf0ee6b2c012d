"""The command: ``bhyvesim``, ``python -m bhyvesim``."""

from __future__ import annotations

import gc
import os
import sys

# New objects between two looks for cycles; after 700, as usual, would cost each start a tenth.
_LOOK_SELDOM = 50_000


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
    gc.set_threshold(_LOOK_SELDOM)
    hold_descriptors()
    try:
        from bhyvesim.cli import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # while it began or ended
        status = 130
    gc.freeze()  # the process ends: a last look for cycles in all of it would free nothing
    sys.exit(status)


if __name__ == "__main__":
    main()
