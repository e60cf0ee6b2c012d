"""A kernel revision in a file of somebody else's: Python that says how its page tables work.

The file is run, with all that this process may do: it is named on the command line or in
the environment by the person who wants it, never by a description.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType

from bhyvesim import limits
from bhyvesim.errors import BadValue, UsageError
from bhyvesim.kernel import revisions
from bhyvesim.kernel.gpt.engine import Gpt
from bhyvesim.kernel.revisions.revision import Revision

VARIABLE = "BHYVESIM_REVISION_FILE"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")

_sources: dict[str, bytes] = {}  # what was read, by path: for workers, and to know whose fault


def given() -> list[str]:
    """The files that the environment names."""
    return [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]


def read(path: str) -> str:
    """Add the revision in the file *path* to the table; its name.

    Raises UsageError where the file cannot be read, is no Python, fails, or defines no
    REVISION with a name of its own.
    """
    try:
        with open(path, "rb") as file:
            source = file.read(limits.PYTHON.most + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path}: {reason}: expected a revision in Python") from None
    if len(source) > limits.PYTHON.most:
        raise UsageError(f"{path}: over {limits.PYTHON.most} bytes: expected a revision in Python")
    return run(path, source)


def run(path: str, source: bytes) -> str:
    """:func:`read`, with the contents of the file at hand."""
    _sources[path] = source
    names: dict[str, object] = {"__name__": "bhyvesim_revision", "__file__": path}
    try:
        exec(compile(source, path, "exec", dont_inherit=True), names)
    except SyntaxError as error:
        place = f"{path}:{error.lineno or 1}:{error.offset or 1}"
        raise UsageError(f"{place}: {error.msg}: expected Python") from None
    except ValueError as error:  # bytes that are no source text
        raise blamed(error) or UsageError(f"{path}: {error}: expected Python") from None
    except (Exception, SystemExit) as error:
        raise blamed(error) or UsageError(f"{path}: {_said(error)}") from None
    try:
        revision = _checked(names.get("REVISION"), hashlib.sha256(source).hexdigest())
        revisions.add(revision)
    except BadValue as error:
        raise UsageError(f"{path}: {error}") from None
    return revision.name


def sources() -> dict[str, bytes]:
    """What was read so far, by path: what another process has to run to know the same."""
    return dict(_sources)


def blamed(error: BaseException) -> UsageError | None:
    """What to say of *error* if it came from the code of such a file; else None."""
    places = list(_places(error))
    if not places:
        return None
    path, line = places[-1]
    return UsageError(f"{path}:{line}: {_said(error)}: expected a revision that runs")


def _places(error: BaseException) -> Iterator[tuple[str, int]]:
    """The lines of such files in the traceback of *error*, or in that of a worker's."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if path in _sources:
            yield path, trace.tb_lineno
        trace = trace.tb_next
    for path, line in re.findall(r'File "(.*)", line (\d+)', str(error.__cause__ or "")):
        if path in _sources:
            yield path, int(line)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _checked(value: object, digest: str) -> Revision:
    if not isinstance(value, Revision):
        raise BadValue("defines no REVISION", "a bhyvesim.kernel.revisions.Revision of that name")
    if not isinstance(value.name, str) or not _NAME.fullmatch(value.name):
        raise BadValue("its name is no word", "letters, digits, '.', '_', '+' and '-', at most 64")
    if not (isinstance(value.engine, type) and issubclass(value.engine, Gpt)):
        raise BadValue("its engine is no class of page tables", "a subclass of Gpt")
    if value.engine.__abstractmethods__:
        lacking = ", ".join(sorted(value.engine.__abstractmethods__))
        raise BadValue(f"its engine lacks {lacking}", "a subclass of Gpt that has all of them")
    return replace(value, digest=digest)
