"""A progress bar for whom waits at a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

Item = TypeVar("Item")

_SOON = 1.0  # seconds until a bar is worth the flicker


def console(stream: TextIO) -> Console:
    """A console of rich that takes text as it is: ``[bootrom]`` is not markup."""
    from rich.console import Console

    plain = not getattr(stream, "coloured", True)
    return Console(file=stream, markup=False, highlight=False, emoji=False, no_color=plain or None)


def watched(items: Sequence[Item]) -> Iterator[Item]:
    """*items*, one by one; on a terminal with a bar from the second second on."""
    if not sys.stderr.isatty():
        yield from items
        return
    began = time.monotonic()
    with ExitStack() as stack:
        bar = None
        for done, item in enumerate(items):
            if bar is None and time.monotonic() - began >= _SOON:
                from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

                columns = (TextColumn("events"), BarColumn(), MofNCompleteColumn())
                shown = Progress(*columns, console=console(sys.stderr), transient=True)
                bar = stack.enter_context(shown)
                bar.add_task("events", total=len(items))
            if bar is not None:
                bar.update(bar.task_ids[0], completed=done)
            yield item


@contextmanager
def status(word: str) -> Iterator[Callable[[str], None]]:
    """Something to say in a line how far it is, beginning with *word*; heard at a terminal only."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console(sys.stderr), transient=True) as shown:
        task = shown.add_task(word)
        yield lambda text: shown.update(task, description=text)
