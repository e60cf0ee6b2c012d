"""Reading the files that commands are given."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from bhyvesim.cli.streams import standard_input
from bhyvesim.errors import UsageError
from bhyvesim.vm.names import name_problem
from bhyvesim.vm.spec import VmSpec

MAX_BYTES = 4 << 20
STDIN = "<stdin>"


def read_vm_file(path: str, name: str | None = None) -> VmSpec:
    """The VM described in *path* (``-``: standard input), under *name* when one is given.

    Raises ConfigError or UsageError.
    """
    from bhyvesim.config.vm import load

    spec = load(read_bytes(path), label_of(path))
    if name is None:
        return spec
    check_name(name)
    return spec.but(name=name)


def check_name(name: str) -> None:
    """Raises UsageError for a name that no VM can have."""
    problem = name_problem(name)
    if problem is not None:
        from bhyvesim.units import shorten

        raise UsageError(
            f"--vm={shorten(name)} {problem}: expected a printable name of 1 to 127 bytes without /"
        )


def write_text(path: str, text: str, *, new: bool) -> None:
    """Write a file; with *new*, only where none is. Raises UsageError when it cannot be."""
    if new and os.path.lexists(path):
        raise UsageError(f"{path}: exists already: expected a new file")
    write_whole(path, text.encode("utf-8", "surrogateescape"))


def write_whole(path: str, data: bytes) -> None:
    """Write a file whole or not at all: what was there stays until the new one is on the disk.

    What is no plain file, such as /dev/stdout, is written to as it is. Raises UsageError.
    """
    there = os.path.realpath(path)
    special = os.path.exists(path) and not os.path.isfile(path)
    beside = there if special else f"{there}.{os.getpid()}.new"
    try:
        with open(beside, "wb" if special else "xb") as file:
            file.write(data)
            if special:
                return
            if os.path.exists(there):
                os.chmod(beside, stat.S_IMODE(os.stat(there).st_mode))
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, there)
    except BaseException as error:
        if not special:
            with suppress(OSError, ValueError):
                os.unlink(beside)
        if not isinstance(error, OSError | ValueError):
            raise
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path}: {reason}: expected a writable file") from None


def read_bytes(path: str) -> bytes:
    """The contents of a file, or of standard input; raises UsageError when it cannot be read."""
    try:
        if path == "-":
            return standard_input().read(MAX_BYTES)
        with open(path, "rb") as file:
            return file.read(MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path}: {reason}: expected a readable file") from None


def label_of(source: str) -> str:
    """*source* as messages and comments name it."""
    return STDIN if source == "-" else source


def file_size(path: str) -> int | None:
    """Bytes of the file at *path*; None where there is none."""
    try:
        return os.path.getsize(path) if os.path.isfile(path) else None
    except (OSError, ValueError):
        return None
