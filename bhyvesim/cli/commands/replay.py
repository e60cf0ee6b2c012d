"""replay: recorded operations, run in memory."""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from gzip import BadGzipFile, GzipFile
from typing import IO, Any, cast

import click

from bhyvesim import limits
from bhyvesim.cli.files import label_of
from bhyvesim.cli.pages import fitting
from bhyvesim.cli.params import REVISION, format_option, revision_option
from bhyvesim.cli.session import Format, Session
from bhyvesim.cli.streams import reader_is_gone, standard_input
from bhyvesim.errors import BadValue, UsageError
from bhyvesim.ops.replay import Replayer, parse_line
from bhyvesim.text import clean

_SHOWN = 10
_LONG = 100_000  # bytes on disk from which a file gets a progress bar
_LINES_A_TICK = 50


@click.command()
@click.argument("files", metavar="FILE... | -", type=click.Path(), nargs=-1, required=True)
@click.option(
    "--check", is_flag=True, help="Compare with the results in the files; print no others."
)
@click.option(
    "--live",
    is_flag=True,
    help="FILE is what the script of 'record' printed: say which kernel the host behaves as.",
)
@click.option("--gpt", type=REVISION, multiple=True, help="With --live: these kernels; may repeat.")
@format_option
@revision_option
@click.pass_obj
def replay(
    session: Session,
    files: tuple[str, ...],
    check: bool,
    live: bool,
    gpt: tuple[str, ...],
    fmt: Format | None,
) -> int:
    """Run recorded operations, and print one result object a line.

    Each line of a FILE is an operation as a JSON object, or {"ops": […], "results": […]};
    a FILE that ends in .gz is unpacked. No stored VM is touched. With --live, FILE was recorded
    on a host, and is held against each kernel; exit status 1 where none fits, and where it
    cannot be told, because something of it is lost.
    """
    if live:
        if check or len(files) != 1:
            raise click.UsageError("--live is of one FILE: expected no other, and no --check")
        from bhyvesim.cli.commands.live import replay_live

        return replay_live(files[0], gpt, fmt)
    if gpt or fmt:
        raise click.UsageError("--gpt and --format are of --live: expected it")
    checker = _Checker() if check else None
    printing = checker is None and sys.stdout.isatty()  # a bar would stand among the results
    for path in files:
        replayer = Replayer(session.listener, session.recorder)
        with lines_of(path, quiet=printing) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    _run_line(replayer, line, path, number, checker)
                if reader_is_gone():
                    return 0
    if checker is None:
        sys.stdout.flush()
        return 0
    return checker.summary()


def _run_line(
    replayer: Replayer, line: str, path: str, number: int, checker: _Checker | None
) -> None:
    try:
        for i, (op, expected) in enumerate(parse_line(line)):
            got = replayer.run(op)
            if checker is None:
                sys.stdout.write(_compact(got) + "\n")
            elif expected is not None:
                checker.compare(f"{clean(path)}:{number}: operation {i + 1}", op, expected, got)
    except BadValue as error:
        sys.stdout.flush()
        raise UsageError(f"{path}:{number}: {error}") from None


class _Checker:
    """Counts comparisons, and prints the first that fail."""

    def __init__(self) -> None:
        self.compared = self.different = 0

    def compare(self, where: str, op: dict[str, Any], expected: Any, got: Any) -> None:
        self.compared += 1
        if got == expected and type(got) is type(expected):
            return
        self.different += 1
        if self.different <= _SHOWN:
            write = fitting(sys.stdout)
            for line in (
                f"{where}:",
                f"  op        {_compact(op)}",
                f"  expected  {_compact(expected)}",
                f"  got       {_compact(got)}",
            ):
                write(f"{line}\n")

    def summary(self) -> int:
        if not self.compared:
            raise UsageError("nothing to compare: expected lines with ops and results")
        if self.different:
            more = self.different - _SHOWN
            if more > 0:
                print(f"and {more} more")
            print(f"{self.different} of {self.compared} results differ")
            return 1
        print(f"{self.compared} results, all as expected")
        return 0


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


@contextmanager
def lines_of(
    path: str, *, quiet: bool = True, longest: limits.Limit = limits.LINE, errors: str = "strict"
) -> Iterator[Iterable[str]]:
    """The lines of a file, one at a time; with a progress bar where a person waits for it.

    A line over *longest* is refused; *errors*: what becomes of what is no UTF-8.
    """
    label = label_of(path)
    try:
        with _open(path) as (raw, file), _progress(path, file, quiet=quiet) as advance:
            yield _decoded(raw, label, advance, longest, errors)
    except OSError as error:
        raise UsageError(f"{label}: {error.strerror or error}: expected a readable file") from None


@contextmanager
def _open(path: str) -> Iterator[tuple[IO[bytes], IO[bytes] | None]]:
    """What to read, and the file on disk that it comes from; its position tells how far that is."""
    if path == "-":
        yield standard_input(), None
        return
    with open(path, "rb") as file:
        if path.endswith(".gz"):
            with GzipFile(fileobj=file) as unpacked:
                yield cast("IO[bytes]", unpacked), file
        else:
            yield file, file


def _decoded(
    raw: IO[bytes],
    path: str,
    advance: Callable[[], None],
    longest: limits.Limit,
    errors: str,
) -> Iterator[str]:
    number = 1
    try:
        while line := raw.readline(longest.most + 1):
            if len(line) > longest.most:
                raise UsageError(f"{path}:{number}: a longer line: expected {longest}")
            if number % _LINES_A_TICK == 0:
                advance()
            yield line.decode("utf-8", errors)
            number += 1
    except UnicodeDecodeError:
        raise UsageError(f"{path}:{number}: not UTF-8: expected one JSON object a line") from None
    except EOFError:
        raise UsageError(f"{path}:{number}: the file is cut off: expected all of it") from None
    except (zlib.error, BadGzipFile):
        raise UsageError(f"{path}:{number}: damaged: expected what gzip made") from None


@contextmanager
def _progress(path: str, file: IO[bytes] | None, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """A bar on a terminal's standard error, for files long enough to wait for."""
    size = 0 if file is None else os.fstat(file.fileno()).st_size
    if file is None or quiet or size < _LONG or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from bhyvesim.cli.progress import console

    columns = (TextColumn(os.path.basename(path), markup=False), BarColumn(), DownloadColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=console(sys.stderr), transient=True)
    with bar:
        task = bar.add_task("", total=size)
        yield lambda: bar.update(task, completed=file.tell())
