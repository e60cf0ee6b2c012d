"""The command line: bhyvectl's manner and subcommands, and the one place that reports errors."""

from __future__ import annotations

import os

from bhyvesim.cli.session import Session
from bhyvesim.cli.streams import guarded
from bhyvesim.errors import BhyvesimError, HostStopped

PROGRAM = "bhyvesim"


def run(argv: list[str]) -> int:
    """Run one command; returns its exit status, one of ``errors.STATUSES``."""
    with guarded() as (out, err):
        status = _decided(argv)
        out.flush()
        if out.failure is None or out.reader_is_gone:
            return status
        print(f"{PROGRAM}: {out.problem}", file=err)
        return status or 1


def _decided(argv: list[str]) -> int:
    """What the command came to, whatever becomes of its output."""
    from bhyvesim.cli.bhyvectl.manner import is_bhyvectl_style

    session = Session()
    try:
        if os.environ.get("BHYVESIM_REVISION_FILE"):
            from bhyvesim import revision_file

            for path in revision_file.given():
                revision_file.read(path)
        if argv == ["--version"] and not os.environ.get("BHYVESIM_REVISION_FILE"):
            from bhyvesim.cli.version import BUILT_IN, show

            show(BUILT_IN)
            return 0
        if is_bhyvectl_style(argv):
            from bhyvesim.cli.bhyvectl.main import main as bhyvectl

            return bhyvectl(argv, session)
        from bhyvesim.cli.root import main as root

        return root(argv, session)
    except HostStopped as stopped:
        from bhyvesim.cli.commands.lifecycle import say_stopped

        say_stopped(session, stopped)
        return stopped.exit_code
    except BhyvesimError as error:
        session.fail(str(error))
        return error.exit_code
    except Exception as error:
        from bhyvesim import revision_file

        blamed = revision_file.blamed(error)
        if blamed is None:
            raise
        session.fail(str(blamed))
        return blamed.exit_code
    except KeyboardInterrupt:
        session.fail("interrupted")
        return 130
