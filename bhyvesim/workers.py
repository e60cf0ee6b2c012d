"""Work done elsewhere: in processes of this machine, or on a cluster, by one interface.

That interface is the standard library's ``concurrent.futures.Executor``; what it is given are
plain functions of one argument, and what comes back are values: a task that was lost with its
worker can be done again, by anybody.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from functools import partial
from threading import Thread
from typing import Any, TypeVar

from bhyvesim import revision_file
from bhyvesim.errors import BhyvesimError, UsageError

T = TypeVar("T")
R = TypeVar("R")

_DEEP = 3  # tasks that wait for each worker, so that none is idle
_PATIENCE = 10  # seconds until a scheduler that does not answer is not there


class WorkerDied(BhyvesimError):
    """Something outside ended a worker process."""


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """An executor, and how many tasks it does at once; ``stop`` ends what it is doing.

    It is given *deep* tasks for each of those at a time.
    """

    def __init__(
        self,
        executor: Executor,
        count: int,
        stop: Callable[[], None] = lambda: None,
        *,
        deep: int = _DEEP,
    ) -> None:
        self.executor = executor
        self.count = count
        self.at_once = count * deep
        self.stop = stop

    def spread(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """What *work* makes of each of *tasks*, as they come; closing the iterator ends the rest.

        A task is taken from *tasks* when a worker will soon be free for it. Raises WorkerDied,
        and whatever *work* raises.
        """
        done_elsewhere = partial(_with_revisions, revision_file.sources(), work)
        waiting = iter(tasks)
        under_way: list[Future[R]] = []  # those that are ready together come in their order
        finished = False
        try:
            while True:
                for task in waiting:
                    under_way.append(self.executor.submit(done_elsewhere, task))
                    if len(under_way) >= self.at_once:
                        break
                if not under_way:
                    break
                ready = wait(under_way, return_when=FIRST_COMPLETED).done
                done = [future for future in under_way if future in ready]
                under_way = [future for future in under_way if future not in ready]
                for future in done:
                    yield future.result()
            finished = True
        except BrokenProcessPool:
            raise WorkerDied("a worker process was killed; what it had to do is not done") from None
        finally:
            if not finished:
                self.stop()


@contextmanager
def local(jobs: int, note: Callable[[str], None] = lambda text: None) -> Iterator[Workers]:
    """*jobs* processes of this machine, none of which is left behind; with 1, this one.

    This one too where no others can be had, as without a writable /dev/shm: *note* hears of it.
    """
    with _processes(jobs, note) if jobs > 1 else nullcontext(None) as executor:
        if executor is None:
            yield Workers(_Here(), 1, deep=1)  # who is never idle
            return
        workers = Workers(executor, jobs, _terminate)
        try:
            yield workers
        except BaseException:
            workers.stop()
            raise
        finally:
            executor.shutdown(cancel_futures=True)  # waits for them


@contextmanager
def _processes(jobs: int, note: Callable[[str], None]) -> Iterator[Executor | None]:
    """An executor of *jobs* processes; None where they cannot be had."""
    watched, held = os.pipe()  # whose other end is closed when this process is no more
    try:
        executor = None
        try:
            # A forked worker has its imports done.
            context = multiprocessing.get_context("fork")
            executor = ProcessPoolExecutor(jobs, context, _begin, (watched, held))
            # Workers are born deaf to interrupts, so that none comes before they ignore them.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                executor.submit(os.getpid)
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        except (OSError, ImportError, NotImplementedError) as error:
            _terminate()  # those that were made before one could not be
            reason = getattr(error, "strerror", None) or str(error)
            note(f"no other processes can be had here ({reason}): this one does the work alone")
            executor = None
        yield executor
    finally:
        os.close(watched)
        os.close(held)


@contextmanager
def dask(address: str) -> Iterator[Workers]:
    """The workers of the dask scheduler at *address*, which all have this very bhyvesim.

    Raises UsageError where there is no scheduler or worker, or they have another version.
    """
    import logging

    try:
        from distributed import Client
    except ImportError:
        raise UsageError("--dask needs dask.distributed: expected bhyvesim[dask]") from None
    for name in ("distributed", "distributed.core", "distributed.comm", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is said here
    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError, ImportError) as error:
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise UsageError(
            f"--dask {address[:100]}: no scheduler answers there ({reason}): "
            "expected an address such as tcp://10.0.0.1:8786"
        ) from None
    try:
        threads = client.nthreads()
        if not threads:
            raise UsageError(f"--dask {address}: it has no workers: expected at least one")
        _same_everywhere(address, client)
        # A task whose worker died is done again, by another.
        with client.get_executor(pure=False, retries=3) as executor:
            yield Workers(executor, sum(threads.values()), lambda: executor.shutdown(wait=False))
    finally:
        client.close()


def _same_everywhere(address: str, client: Any) -> None:
    """Raises UsageError where a worker lacks bhyvesim, or has other code than this process."""
    try:
        digests = set(client.run(_digest).values())
    except Exception as error:  # whatever the import of something else may raise
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise UsageError(
            f"--dask {address}: its workers cannot run bhyvesim ({reason}): expected it installed"
        ) from None
    if digests != {_digest()}:
        raise UsageError(
            f"--dask {address}: its workers have another version of bhyvesim: "
            "expected the one that runs here"
        )


def _digest() -> str:
    from bhyvesim.code import digest

    return digest()


def _begin(watched: int, held: int) -> None:
    """In a new worker: it ignores interrupts, which its parent hears, and ends with its parent.

    Whatever ends the parent closes its end of the pipe; it may have no time to end anybody.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.close(held)
    Thread(target=_end_with_parent, args=(watched,), daemon=True).start()


def _end_with_parent(watched: int) -> None:
    os.read(watched, 1)
    os._exit(1)


def _terminate() -> None:
    for worker in multiprocessing.active_children():
        worker.terminate()


def _with_revisions(sources: Mapping[str, bytes], work: Callable[[T], R], task: T) -> R:
    """*work* where the revisions from files are known."""
    known = revision_file.sources()
    for path, source in sources.items():
        if known.get(path) != source:
            revision_file.run(path, source)
    return work(task)


class _Here(Executor):
    """This process itself, at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
