"""A dask cluster with a real scheduler and two real workers on loopback."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from bhyvesim import workers
from bhyvesim.explore.bound import parse_bound
from bhyvesim.explore.campaign import Bounds, Campaign
from bhyvesim.explore.certificate import Proof, Question
from bhyvesim.explore.search import Target
from bhyvesim.workers import dask, local

pytest.importorskip("distributed", reason="needs dask.distributed")
pytestmark = pytest.mark.filterwarnings("default")  # those of the library are its own

QUESTION = Question(parse_bound("maps=2,points=12"), "15844", True, "rvi")


def _start(module, *arguments, **where):
    command = [sys.executable, "-W", "ignore", "-m", f"distributed.cli.{module}", *arguments]
    return subprocess.Popen([*command, "--no-dashboard"], text=True, **where)


@pytest.fixture
def cluster(tmp_path):
    """The address of a scheduler, and the processes of its two workers."""
    from distributed import Client

    host = ("--host", "127.0.0.1", "--port", "0")
    processes = [_start("dask_scheduler", *host, stderr=subprocess.PIPE)]
    try:
        said = iter(processes[0].stderr.readline, "")
        address = next(line.split()[-1] for line in said if "Scheduler at:" in line)
        one = ("--nthreads", "1", "--no-nanny", "--local-directory", str(tmp_path))
        for _ in range(2):
            processes.append(_start("dask_worker", address, *one, stderr=subprocess.DEVNULL))
        with Client(address, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, processes[1:]
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()
        processes[0].stderr.close()


def test_one_worker_is_killed_and_nothing_is_lost(cluster):
    address, processes = cluster
    alone = Proof(QUESTION)
    with local(1) as here:
        alone.go_on(here, lambda done: None)
    spread = Proof(QUESTION)
    killed = []

    def tell(done):
        if not killed:
            processes[0].kill()
            killed.append(done)

    with dask(address) as there:
        assert there.count == 2
        spread.go_on(there, tell)
    assert killed[0] < QUESTION.shapes
    assert processes[0].wait() == -9
    assert spread.certificate() == alone.certificate()


def test_run_and_explore_come_to_the_same_there(cluster, cli):
    address, _ = cluster
    found = []
    for somebody in (local(1), dask(address)):
        campaign = Campaign(Target("13896"), 7)
        with somebody as some:
            campaign.explore(some, Bounds(500, None), lambda searched: None)
            found.append([f._replace(seconds=0.0) for f in campaign.shrunk(some)])
    assert found[0] == found[1]
    cases = "examples/bhyve-tests/a-shared-leaf.yaml"
    here, there = (
        json.loads(cli("run", cases, *where, "--format", "json").out)
        for where in (("--jobs", "1"), ("--dask", address))
    )
    for run in (here, there):
        for cell in run["scenarios"][0]["cells"]:
            del cell["seconds"]
    assert here == there


def test_no_scheduler_is_said(cli, monkeypatch):
    monkeypatch.setattr(workers, "_PATIENCE", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outcome = cli("prove", "--bound", "maps=1,points=3", "--dask", f"tcp://127.0.0.1:{port}")
    assert outcome.status == 2
    assert "no scheduler answers there" in outcome.err
    assert outcome.err.count("\n") == 1
