"""Where the state is, and whether it is believed: who else may write there decides that.

*so_far* is what is known of the command's writes, to be said with an error.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from bhyvesim.errors import StateError

FILE_NAME = "state.sqlite3"
FOLDER_MODE, FILE_MODE = 0o700, 0o600

Note = Callable[[str], None]


def state_dir() -> str:
    """``$BHYVESIM_STATE_DIR``, else bhyvesim's folder among the user's XDG state.

    Raises StateError where nobody says where that is.
    """
    given = os.environ.get("BHYVESIM_STATE_DIR")
    if given:
        return given
    xdg = os.environ.get("XDG_STATE_HOME", "")
    base = xdg if os.path.isabs(xdg) else os.path.join(_home(), ".local", "state")
    return os.path.join(base, "bhyvesim")


def _home() -> str:
    home = os.environ.get("HOME", "")
    if not os.path.isabs(home):
        import pwd

        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            home = ""
    if not os.path.isabs(home):
        raise StateError(
            f"no home folder is known ($HOME is no path, uid {os.getuid()} has no name): "
            "expected $BHYVESIM_STATE_DIR or $XDG_STATE_HOME"
        )
    return home


def trusted_by_environment() -> bool:
    """Whether ``$BHYVESIM_TRUST_STATE`` says that the state is believed whoever may write it."""
    return os.environ.get("BHYVESIM_TRUST_STATE") == "1"


def look(path: str) -> os.stat_result | None:
    """What is at *path*, the state file; None where there is nothing.

    Raises StateError where that cannot be told, or where there is something else.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        loose = _loose_link(path)
        if loose is None:
            return None
        raise StateError(f"{loose} is a link that leads nowhere") from None
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a link, not a file" if stat.S_ISLNK(found.st_mode) else "not a file"
        raise StateError(f"{path} cannot be read: it is {kind}")
    return found


def check_folder(folder: str, note: Note, so_far: str) -> None:
    """Raises StateError for a folder where others may write; see :func:`_check`."""
    try:
        found = os.stat(folder)
    except OSError as error:
        raise StateError(f"{folder} cannot be read: {error.strerror}") from None
    _check(folder, found, FOLDER_MODE, note, so_far)


def check_file(path: str, found: os.stat_result, note: Note, so_far: str) -> None:
    """Raises StateError for a file that others may write; see :func:`_check`."""
    _check(path, found, FILE_MODE, note, so_far)


def _check(path: str, found: os.stat_result, wanted: int, note: Note, so_far: str) -> None:
    """Refuse what is somebody else's, or anybody's; take from a group what is ours."""
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.geteuid():
        problem = f"belongs to somebody else (uid {found.st_uid})"
    elif mode & stat.S_IWOTH:
        problem = f"may be written by anybody (mode {mode:04o})"
    elif mode & stat.S_IWGRP:
        tighten(path, wanted)
        note(
            f"{path} could be written by its group (mode {mode:04o}): its mode is {wanted:04o} now"
        )
        return
    else:
        return
    raise StateError(
        f"{path} {problem}: expected your own, of mode {wanted:04o}; 'bhyvesim --trust-state' "
        f"takes it as it is; {so_far}"
    )


def tighten(path: str, mode: int) -> None:
    """Give *path* that mode. Raises StateError."""
    try:
        os.chmod(path, mode)
    except OSError as error:
        raise StateError(f"{path} cannot be made {mode:04o}: {error.strerror}") from None


def make_folder(folder: str, so_far: str) -> None:
    """Ours alone; folders above it that are missing are made as usual. Raises StateError."""
    try:
        os.makedirs(os.path.dirname(os.path.abspath(folder)), exist_ok=True)
        if not os.path.isdir(folder):
            os.mkdir(folder, FOLDER_MODE)
    except FileExistsError:
        if os.path.isdir(folder):  # another command was faster
            return
        raise StateError(f"{folder} cannot be used: Not a directory; {so_far}") from None
    except OSError as error:
        problem = f"{folder} cannot be used: {error.strerror}"
        raise StateError(f"{problem}; {so_far}") from None


def make_file(path: str, so_far: str) -> None:
    """An empty file that is ours alone, where there is none. Raises StateError.

    One that is there is not opened: to close it would give back this process's locks on it.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
    except FileExistsError:
        return
    except OSError as error:
        problem = f"{path} cannot be written: {error.strerror}"
        raise StateError(f"{problem}; {so_far}") from None


@contextmanager
def beside(path: str, so_far: str) -> Iterator[str]:
    """The name of a new file of ours beside *path*; what was not moved away by the end is gone."""
    new = f"{path}.{os.getpid()}.new"
    with suppress(FileNotFoundError):
        os.unlink(new)
    try:
        make_file(new, so_far)
        yield new
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}; {so_far}") from None
    finally:
        for name in (new, f"{new}-journal"):
            with suppress(OSError):
                os.unlink(name)


def _loose_link(path: str) -> str | None:
    """The symbolic link on the way to *path*, which is not there, that leads nowhere; if any."""
    path = os.path.abspath(path)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return None if os.path.exists(path) else path
