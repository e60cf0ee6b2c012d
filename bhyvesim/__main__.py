"""The command: ``bhyvesim``, ``python -m bhyvesim``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        from bhyvesim.cli import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # while it began or ended
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
