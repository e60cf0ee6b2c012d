"""Work that is not to go on for ever: its time, and what ends it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TimeOver(BaseException):
    """The time is over. No error of anybody's, so that nobody on the way takes it for one."""


@contextmanager
def deadline(seconds: float) -> Iterator[Callable[[], None]]:
    """Within, TimeOver comes after *seconds*.

    It comes wherever the work is, by an alarm, where this is a process's main thread and the
    alarm nobody else's. Elsewhere, as on a cluster, it comes where what is yielded is called.
    """
    until = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() >= until:
            raise TimeOver

    if not _alarm_is_free():
        yield check
        return
    waiting = True

    def ring(number: int, frame: object) -> None:
        if waiting:
            raise TimeOver

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield check
    finally:
        waiting = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _alarm_is_free() -> bool:
    return (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    )
