"""The command line: bhyvectl's manner and subcommands, and the one place that reports errors."""

from __future__ import annotations

import os

from bhyvesim.cli.session import Session
from bhyvesim.cli.streams import guarded
from bhyvesim.errors import FAILED, BhyvesimError, HostStopped

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
    session = Session()
    try:
        return _reported(argv, session)
    except KeyboardInterrupt:
        session.warn("interrupted")
        return 130
    except Exception as error:
        return _failed(session, error)


def _reported(argv: list[str], session: Session) -> int:
    """Do what *argv* says, and say what errors mean that were foreseen."""
    from bhyvesim.cli.bhyvectl.main import is_bhyvectl_style

    try:
        if os.environ.get("BHYVESIM_REVISION_FILE"):
            from bhyvesim import revision_file

            for path in revision_file.given():
                revision_file.read(path)
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
        session.warn(str(error))
        return error.exit_code
    except Exception as error:
        from bhyvesim import revision_file

        blamed = revision_file.blamed(error)
        if blamed is None:
            raise
        session.warn(str(blamed))
        return blamed.exit_code


def _failed(session: Session, error: Exception) -> int:
    """An error that nobody foresaw, in one line; ``$BHYVESIM_TRACEBACK`` has all of it shown."""
    if isinstance(error, MemoryError):
        error.__traceback__ = None  # which holds what there was no more memory for
        session.warn("there is not enough memory for this")
        return FAILED
    if isinstance(error, OSError) and error.strerror:
        about = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        session.warn(f"{about}{error.strerror}")
        return FAILED
    import traceback

    if os.environ.get("BHYVESIM_TRACEBACK"):
        traceback.print_exception(error)
    places = traceback.extract_tb(error.__traceback__)
    place = f"{os.path.basename(places[-1].filename)}:{places[-1].lineno}" if places else "?"
    session.warn(
        f"a mistake in bhyvesim: {type(error).__name__} ({place}): {error}; please report it, "
        "with what BHYVESIM_TRACEBACK=1 shows"
    )
    return FAILED
