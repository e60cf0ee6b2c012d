"""The command line: bhyvectl's manner and subcommands, and the one place that reports errors."""

from __future__ import annotations

import sys

from bhyvesim.cli.session import Session
from bhyvesim.errors import BhyvesimError, HostStopped

PROGRAM = "bhyvesim"


def run(argv: list[str]) -> int:
    """Run one command; returns its exit status.

    0 fine · 1 refused by the simulated kernel, or an expectation not met · 2 usage or
    configuration · 3 the simulated kernel panicked or hung · 4 the state is unusable.
    """
    from bhyvesim.cli.bhyvectl import is_bhyvectl_style

    session = Session()
    try:
        if is_bhyvectl_style(argv):
            from bhyvesim.cli.bhyvectl import main as bhyvectl

            return bhyvectl(argv, session)
        from bhyvesim.cli.root import main as root

        return root(argv, session)
    except HostStopped as stopped:
        from bhyvesim.cli.lifecycle import say_stopped

        say_stopped(session, stopped)
        return stopped.exit_code
    except BhyvesimError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        _silence_stdout()
        return 1
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130


def _silence_stdout() -> None:
    """Keep the interpreter from complaining about a reader that went away."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
