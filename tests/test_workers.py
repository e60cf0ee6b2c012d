"""Processes that work for another: they end with it, and it does without them where it must."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from bhyvesim import workers
from bhyvesim.workers import local
from tests.test_architecture import PACKAGE, imports

PATIENCE = 120  # seconds, after which it is stuck: nothing here takes so long
RIGHT = """
title: it boots
vm: {name: v, memory: 4M}
matrix: {debug: [true, false], cpu: [amd, intel]}
steps: [create, reboot]
"""

PARENT = """
import os, signal, sys
from bhyvesim.workers import local

told = int(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, where no terminal began it

def work(task):
    os.write(told, b"%d\\n" % os.getpid())
    while True:
        signal.pause()

with local(2) as workers:
    for _ in workers.spread(work, range(2)):
        pass
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGKILL", "SIGINT"])
def test_no_worker_outlives_its_parent(name):
    """Every worker holds an end of the pipe: it is at its end when the last of them is gone."""
    ours, theirs = os.pipe()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(theirs)], pass_fds=[theirs], stderr=subprocess.PIPE
    )
    os.close(theirs)
    with parent, open(ours, "rb", buffering=0) as told:
        said = b""
        while said.count(b"\n") < 2:
            said += _next(told)
        assert len(set(said.split())) == 2
        os.kill(parent.pid, getattr(signal, name))
        try:
            assert _next(told) == b""
        finally:
            parent.kill()


def _next(pipe) -> bytes:
    assert select.select([pipe], [], [], PATIENCE)[0], "nothing came"
    return pipe.read(4096)


def test_processes_are_made_in_one_place():
    """And so all of them end with their parent."""
    makers = {"multiprocessing", "concurrent.futures", "concurrent.futures.process"}
    homes = {path.name for path in PACKAGE.rglob("*.py") if makers & set(imports(path))}
    assert homes == {"workers.py"}


@pytest.fixture
def alone(monkeypatch):
    """No semaphore can be had, as where /dev/shm is not writable."""
    from multiprocessing import synchronize

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(synchronize.SemLock, "__init__", refuse)
    monkeypatch.setattr(workers, "cores", lambda: 2)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    "command",
    [
        "run {} --jobs 2",
        "bisect {} --jobs 2",
        "explore --runs 20 --jobs 2 -o {folder}/found",
        "prove --bound maps=1,points=6 --jobs 2",
    ],
)
def test_without_other_processes_this_one_does_it(cli, vm_file, tmp_path, command):
    path = vm_file(RIGHT)
    status, out, err = cli(*command.format(path, folder=tmp_path).split())
    said = "bhyvesim: no other processes can be had here (Permission denied): "
    assert err.count(f"{said}this one does the work alone\n") == 1
    assert "Traceback" not in err
    other = command.replace("--jobs 2", "--jobs 1").replace("found", "found1")
    assert cli(*other.format(path, folder=tmp_path).split()).status == status
    assert out


@pytest.mark.usefixtures("alone")
def test_matrix_too(cli, config, monkeypatch):
    import bhyvesim.cli.commands.matrix as module

    monkeypatch.setattr(module, "_MANY_CELLS", 1)
    monkeypatch.setattr(module, "cores", lambda: 2)
    status, _, err = cli("matrix", config("testvm"))
    assert status in (0, 1)
    assert "this one does the work alone" in err


def test_a_process_that_cannot_be_forked(monkeypatch):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    said = []
    with local(2, said.append) as some:
        assert some.count == 1
        assert list(some.spread(abs, [-1, -2])) == [1, 2]
    assert len(said) == 1
    assert "Resource temporarily unavailable" in said[0]


def test_no_file_stays_open():
    before = os.listdir("/dev/fd")
    with local(2) as some:
        assert sorted(some.spread(abs, [-1, -2])) == [1, 2]
    assert len(os.listdir("/dev/fd")) == len(before)
