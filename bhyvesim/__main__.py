"""The command: ``bhyvesim``, ``python -m bhyvesim``."""

from __future__ import annotations

import gc
import sys

# New objects between two looks for cycles; after 700, as usual, would cost each start a tenth.
_LOOK_SELDOM = 50_000


def main() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(_LOOK_SELDOM)
    from bhyvesim.cli import run

    status = run(sys.argv[1:])
    gc.freeze()  # the process ends: a last look for cycles in all of it would free nothing
    sys.exit(status)


if __name__ == "__main__":
    main()
