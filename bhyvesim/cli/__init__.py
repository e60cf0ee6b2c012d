"""The command line: bhyvectl's manner and subcommands, and the one place that reports errors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bhyvesim.cli.session import Session
from bhyvesim.cli.streams import guarded
from bhyvesim.errors import FAILED, BhyvesimError, HostStopped

if TYPE_CHECKING:
    from bhyvesim.cli.shells import Offer

PROGRAM = "bhyvesim"
ASKED = "_BHYVESIM_COMPLETE"  # set by a completion script: which shell asks


def run(argv: list[str]) -> int:
    """Run one command; returns its exit status, one of ``errors.STATUSES``."""
    with guarded() as (out, err):
        asked = os.environ.get(ASKED)
        status = _decided(argv) if asked is None else _completed(asked, argv)
        out.flush()
        if out.failure is None or out.reader_is_gone:
            return status
        print(f"{PROGRAM}: {out.problem}", file=err)
        return status or 1


def _completed(asked: str, argv: list[str]) -> int:
    """Answer a shell that completes a line. It wants no error, and gets none."""
    from bhyvesim.cli.shells import answer

    def complete(words: Sequence[str], unfinished: str) -> Sequence[Offer]:
        from bhyvesim.cli.completing import complete

        return complete(words, unfinished)

    answer(asked, argv, complete)
    return 0


def _decided(argv: list[str]) -> int:
    """What the command came to, whatever becomes of its output."""
    session = Session()
    try:
        return _reported(argv, session)
    except KeyboardInterrupt:
        return _failed(session, argv, "interrupted", 130)
    except Exception as error:
        return _failed(session, argv, _unforeseen(error), FAILED)


def _reported(argv: list[str], session: Session) -> int:
    """Do what *argv* says, and say what errors mean that were foreseen."""
    from bhyvesim.cli.bhyvectl.manner import is_bhyvectl_style

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
        from bhyvesim.cli.plain import done_plainly

        status = done_plainly(argv, session)
        if status is not None:
            return status
        from bhyvesim.cli.root import main as root

        return root(argv, session)
    except HostStopped as stopped:
        from bhyvesim.cli.life import say_stopped

        say_stopped(session, stopped)
        if asks_for_json(argv):
            from bhyvesim.cli.told import tell_stopped

            tell_stopped(stopped, dry_run=session.dry_run)
        return stopped.exit_code
    except BhyvesimError as error:
        return _failed(session, argv, str(error), error.exit_code, error)
    except Exception as error:
        from bhyvesim import revision_file

        blamed = revision_file.blamed(error)
        if blamed is None:
            raise
        return _failed(session, argv, str(blamed), blamed.exit_code, blamed)


def _failed(
    session: Session,
    argv: Sequence[str],
    message: str,
    status: int,
    error: BhyvesimError | None = None,
) -> int:
    """Say what went wrong, to the person, and to the program that asked for JSON."""
    session.fail(message)
    if asks_for_json(argv):
        from bhyvesim.cli.told import tell_failed

        tell_failed(message, status, error)
    return status


def asks_for_json(argv: Sequence[str]) -> bool:
    """Whether ``--format json`` is among *argv*, wherever, before a ``--``."""
    for i, word in enumerate(argv):
        if word == "--":
            return False
        if word == "--format=json" or (word == "--format" and argv[i + 1 : i + 2] == ["json"]):
            return True
    return False


def _unforeseen(error: Exception) -> str:
    """An error that nobody foresaw, in one line; ``$BHYVESIM_TRACEBACK`` has all of it shown."""
    if isinstance(error, MemoryError):
        error.__traceback__ = None  # which holds what there was no more memory for
        return "there is not enough memory for this"
    if isinstance(error, OSError) and error.strerror:
        about = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return f"{about}{error.strerror}"
    import traceback

    if os.environ.get("BHYVESIM_TRACEBACK"):
        traceback.print_exception(error)
    places = traceback.extract_tb(error.__traceback__)
    place = f"{os.path.basename(places[-1].filename)}:{places[-1].lineno}" if places else "?"
    return (
        f"a mistake in bhyvesim: {type(error).__name__} ({place}): {error}; please report it, "
        "with what BHYVESIM_TRACEBACK=1 shows"
    )
