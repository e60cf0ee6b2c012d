"""The command: ``bhyvesim``, ``python -m bhyvesim``."""

from __future__ import annotations

import gc
import sys

# New objects between two looks for cycles; Python's own 700 would cost each start a tenth.
_LOOK_SELDOM = 50_000


def main() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(_LOOK_SELDOM)
    from bhyvesim.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
