"""replay: recorded operations, run in memory."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from bhyvesim.cli.params import revision_option
from bhyvesim.cli.session import Session
from bhyvesim.cli.streams import reader_is_gone, standard_input
from bhyvesim.errors import BadValue, UsageError
from bhyvesim.ops.replay import Replayer, parse_line

_SHOWN = 10
_LONG = 100_000  # bytes on disk from which a file gets a progress bar
_LINES_A_TICK = 50


@click.command()
@click.argument("files", metavar="FILE... | -", type=click.Path(), nargs=-1, required=True)
@click.option(
    "--check", is_flag=True, help="Compare with the results in the files; print no others."
)
@revision_option
@click.pass_obj
def replay(session: Session, files: tuple[str, ...], check: bool) -> int:
    """Run recorded operations, and print one result object a line.

    Each line of a FILE is an operation as a JSON object, or {"ops": […], "results": […]};
    a FILE that ends in .gz is unpacked. No stored VM is touched.
    """
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
                checker.compare(f"{path}:{number}: operation {i + 1}", op, expected, got)
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
            for line in (
                f"{where}:",
                f"  op        {_compact(op)}",
                f"  expected  {_compact(expected)}",
                f"  got       {_compact(got)}",
            ):
                print(line)

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
def lines_of(path: str, *, quiet: bool = True) -> Iterator[Iterable[str]]:
    """The lines of a file, one at a time; with a progress bar where a person waits for it."""
    try:
        with _open(path) as (raw, file), _progress(path, file, quiet=quiet) as advance:
            yield _decoded(raw, path, advance)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}: expected a readable file") from None


@contextmanager
def _open(path: str) -> Iterator[tuple[Iterable[bytes], IO[bytes] | None]]:
    """The lines, and the file on disk that they come from; its position tells how far they are."""
    if path == "-":
        yield standard_input(), None
        return
    with open(path, "rb") as file:
        if path.endswith(".gz"):
            import gzip

            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked, file
        else:
            yield file, file


def _decoded(raw: Iterable[bytes], path: str, advance: Callable[[], None]) -> Iterator[str]:
    number = 1
    try:
        for line in raw:
            if number % _LINES_A_TICK == 0:
                advance()
            yield line.decode("utf-8")
            number += 1
    except UnicodeDecodeError:
        raise UsageError(f"{path}:{number}: not UTF-8: expected one JSON object a line") from None
    except EOFError:
        raise UsageError(f"{path}:{number}: the file is cut off: expected all of it") from None


@contextmanager
def _progress(path: str, file: IO[bytes] | None, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """A bar on a terminal's standard error, for files long enough to wait for."""
    size = 0 if file is None else os.fstat(file.fileno()).st_size
    if file is None or quiet or size < _LONG or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from bhyvesim.report.table import console

    columns = (TextColumn(os.path.basename(path), markup=False), BarColumn(), DownloadColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=console(sys.stderr), transient=True)
    with bar:
        task = bar.add_task("", total=size)
        yield lambda: bar.update(task, completed=file.tell())
