"""Commands that are killed, or whose system calls fail: the state is as before, or as after.

``python -m tests.torture`` takes every changing command through 1,000 kills at random
instants, a fault and a kill at every system call on the state, and a disk that is full; the
tests a few of each, by number. After each: the state is whole, before or after and never
between, what was said of it is so, and the next command works.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from bhyvesim.cli import run
from bhyvesim.cli.root import COMMANDS
from bhyvesim.store import outcome
from bhyvesim.store.schema import TABLES
from bhyvesim.store.store import Store
from bhyvesim.store.upkeep import check

ROOT = Path(__file__).parent.parent
OLD = ROOT / "tests" / "store" / "state-0.1.sqlite3"
FILE = "state.sqlite3"
SMALL = "name: s\nmemory: 4M\nkernel: {gpt: '2025'}\ntouch: none\n"
DOOMED = (ROOT / "configs" / "testvm-13932.yaml").read_text(encoding="utf-8")

# What the base state is made by; {f} is the folder of files.
BASE = (
    "create --config {f}/small.yaml --vm a",
    "create --config {f}/small.yaml --vm held",
    "hold --gpa 0 --vm held",
    "create --config {f}/small.yaml --vm paused",
    "pause --vm paused",
    "alloc-memseg 3 --size 4M --vm a",
    "map --gpa 1G --segment 3 --len 1M --vm a",
    "npt --gpa 0 --len 0 --operation EN_TRACK_DIRTY --vm a",
    "poke --gpa 0 --value 7 --vm a",
    "--create --vm empty",
    "create --config {f}/doomed.yaml --vm doomed",
    "create --config {f}/doomed.yaml --vm dead",
    "reboot --vm dead",
    "create --config {f}/doomed.yaml --vm forgotten",
    "reboot --vm forgotten",
    "destroy --vm forgotten",
    "crash export 1 -o {f}/1.dump",
    "host set --memory 64G --locked 0",
    "state backup {f}/backup",
    "reboot --vm a",
)
# Every command that changes the state, or a file; {o} is where it may write others.
SCENES = {
    "create": "create --config {f}/small.yaml --vm new",
    "create --replace": "create --config {f}/small.yaml --vm a --replace",
    "--create": "--create --vm=new",
    "--set-mem": "--vm=empty --set-mem=64",
    "--force-poweroff": "--vm=a --force-poweroff",
    "reboot": "reboot --vm a",
    "a panic": "reboot --vm doomed",
    "pause": "pause --vm a",
    "resume": "resume --vm paused",
    "touch": "touch --gpa 0 --len 1M --access w --vm a",
    "hold": "hold --gpa 4K --vm a",
    "release": "release 1 --vm held",
    "alloc-memseg": "alloc-memseg 4 --size 4M --vm a",
    "map": "map --gpa 2G --segment 3 --len 4M --wired --vm a",
    "unmap": "unmap --gpa 1G --len 1M --vm a",
    "poke": "poke --gpa 4K --value 9 --vm a",
    "fill": "fill --gpa 8K --len 64K --byte 7 --vm a",
    "dirty": "dirty --gpa 0 --len 64K --op set --vm a",
    "npt": "npt --gpa 0 --len 0 --operation DIS_TRACK_DIRTY --vm a",
    "track-dirty": "track-dirty --gpa 0 --len 64K --vm a",
    "destroy": "destroy --vm a",
    "destroy --force": "destroy --force --vm a",
    "migrate": "migrate --vm a --to b",
    "undo": "undo --vm a",
    "log": "log --prune --keep 1 --vm a",
    "crash": "crash rm 2",
    "crash import": "crash import {f}/1.dump",
    "crash export": "crash export 1 -o {o}/1.dump",
    "host": "host set --memory 128G --locked 0",
    "host forget": "host forget",
    "state": "state backup {o}/backup",
    "state restore": "state restore {f}/backup",
    "state compact": "state compact --older-than 0",
    "report": "report --vm a -o {o}/a.html",
    "config": "config init {o}/vm.yaml",
    "import": "import {f}/bhyve.conf -o {o}/imported.yaml",
    "run": "run {f}/scenario.yaml --jobs 1 --junit {o}/junit.xml",
    "explore": "explore --runs 20 --seed 1 --jobs 1 --gpt 13932 -o {o}/found",
    "prove": "prove --bound maps=1,points=6 --jobs 1 --certificate {o}/certificate.json",
    "migration": "host set --memory 64G --locked 0",
}
READERS = {
    "list", "peek", "why", "diff", "matrix", "bisect", "check", "explain", "completion", "schema",
    "walk", "gpt", "find", "leaks", "fsck", "trace", "identify", "lockstep", "replay",
    "show", "record", "help",
}  # fmt: skip

LONG_AGO, NOW = 1_600_000_000, 1_700_000_000  # when the base was made, and what is done to it

# How a system call on the state may fail.
FAULTS = {
    "pwrite64": ("EIO", "ENOSPC"),
    "fdatasync": ("EIO",),
    "fsync": ("EIO", "ENOSPC"),
    "openat": ("EACCES", "EMFILE"),
    "unlink": ("EACCES", "EIO"),
    "rename": ("EIO",),
    "ftruncate": ("EIO",),
    "fcntl": ("EIO", "EAGAIN"),
    "pread64": ("EIO",),
    "write": ("ENOSPC",),
}
OFTEN = ("openat", "pread64", "fcntl")


class Failure(AssertionError):
    """What must not be."""


class Left(NamedTuple):
    """What there is: a digest of the state, and of each file."""

    state: str
    files: frozenset[tuple[str, str]]


class Scene(NamedTuple):
    """A command, the state that it begins with, and what it leaves."""

    name: str
    words: str
    template: Path  # a folder: its state, and what other files were written (out)
    before: Left
    after: Left
    status: int
    seconds: float


class Ended(NamedTuple):
    """How a command ended: its status, None if it was killed, and what it said."""

    status: int | None
    said: str


class Torture:
    """Scenes, made once, and how they go on."""

    def __init__(self, folder: Path, names: tuple[str, ...] = tuple(SCENES)) -> None:
        self.folder = folder
        self.files = folder / "files"
        self.files.mkdir()
        scenario = "title: t\nvm: small.yaml\nsteps: [create, reboot, destroy]\n"
        for name, text in (
            ("small.yaml", SMALL),
            ("doomed.yaml", DOOMED),
            ("scenario.yaml", scenario),
            ("bhyve.conf", "name=b\ncpus=1\nmemory.size=4M\n"),
        ):
            (self.files / name).write_text(text, encoding="utf-8")
        self.seen: Counter[str] = Counter()
        for module, _ in COMMANDS.values():  # here once, and not in every child
            import_module(f"bhyvesim.cli.commands.{module}")
        base = folder / "base"
        self._fresh(base, None)
        for words in BASE:
            ended = self._child(base, words, epoch=LONG_AGO)
            assert ended.status in (0, 3), (words, ended)
        (base / FILE).chmod(0o600)
        self.scenes = [self._scene(name, base) for name in names]

    def _scene(self, name: str, base: Path) -> Scene:
        template = self.folder / f"template-{len(list(self.folder.iterdir()))}"
        self._fresh(template, None if name == "migration" else base)
        if name == "migration":
            shutil.copy(OLD, template / FILE)
            (template / FILE).chmod(0o600)
        words, there = SCENES[name], self.folder / "work"
        self._fresh(there, template)
        before = left(there)
        began = time.monotonic()
        ended = self._child(there, words)
        seconds = time.monotonic() - began
        after = left(there)
        assert ended.status in (0, 1, 3), (name, ended)
        assert after != before, (name, ended)
        return Scene(name, words, template, before, after, ended.status, seconds)

    def _fresh(self, there: Path, template: Path | None) -> None:
        shutil.rmtree(there, ignore_errors=True)
        if template is None:
            there.mkdir(0o700)
            (there / "out").mkdir()
        else:
            shutil.copytree(template, there)
            there.chmod(0o700)

    def _child(
        self,
        there: Path,
        words: str,
        during: Callable[[int, int], None] = lambda pid, go: None,
        epoch: int = NOW,
    ) -> Ended:
        """Run a command in a process of its own; *during* is told its number.

        It begins when something is written to *go*, at the latest when *during* returns.
        """
        said = self.folder / "said"
        argv = words.format(f=self.files, o=there / "out").split()
        waits, go = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 99
            try:
                os.close(go)
                os.environ.update(BHYVESIM_STATE_DIR=str(there), SOURCE_DATE_EPOCH=str(epoch))
                err = os.open(said, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                os.dup2(err, 2)
                os.read(waits, 1)
                with (
                    open(1, "w", closefd=False) as out,
                    open(2, "w", closefd=False) as err_text,
                    redirect_stdout(out),
                    redirect_stderr(err_text),
                ):
                    status = run(argv)
            finally:
                os._exit(status)
        os.close(waits)
        try:
            during(pid, go)
        finally:
            os.close(go)
        _, how = os.waitpid(pid, 0)
        text = said.read_text(errors="replace") if said.exists() else ""
        return Ended(os.waitstatus_to_exitcode(how) if os.WIFEXITED(how) else None, text)

    def judge(self, scene: Scene, there: Path, ended: Ended, why: str) -> None:
        """Raises Failure where the state is not as it has to be after *ended*."""
        story = f"{scene.name}: {why}: status {ended.status}: {ended.said.strip()}"
        if "Traceback" in ended.said:
            raise Failure(f"a traceback: {story}")
        store = Store(str(there), wait_seconds=1)
        found = check(store).findings
        if found:
            raise Failure(f"damaged: {found[:3]}: {story}")
        now, before, after = left(there), scene.before, scene.after
        if now.state not in (before.state, after.state):
            raise Failure(f"between: {story}")
        if not now.files <= before.files | after.files:
            raise Failure(f"a file is not whole: {story}")
        if ended.status == scene.status and now != after:
            raise Failure(f"said to be done, and is not: {story}")
        if outcome.NOTHING in ended.said and now.state != before.state:
            raise Failure(f"something was written: {story}")
        if outcome.WRITTEN in ended.said and now.state != after.state:
            raise Failure(f"nothing was written: {story}")
        following = self._child(there, "create --config {f}/small.yaml --vm next")
        if following.status != 0:
            raise Failure(f"the next command fails: {following}: {story}")
        self.seen["after" if now == after else "before"] += 1

    def kill(self, scene: Scene, random_: random.Random) -> None:
        """End it at a random instant."""
        there = self.folder / "work"
        self._fresh(there, scene.template)
        instant = random_.uniform(0, scene.seconds * 1.1)

        def during(pid: int, go: int) -> None:
            os.write(go, b"x")
            time.sleep(instant)
            os.kill(pid, signal.SIGKILL)

        ended = self._child(there, scene.words, during)
        self.judge(scene, there, ended, f"killed after {instant * 1000:.1f} ms")

    def fault(self, scene: Scene, call: str, inject: str, number: int) -> bool:
        """Let the *number*-th *call* on the state fail; whether there was one."""
        there = self.folder / "work"
        self._fresh(there, scene.template)
        log = self.folder / "strace"
        command = ["strace", "-f", "-o", str(log), "-e", f"trace={call}"]
        command += ["-e", f"inject={call}:{inject}:when={number}"]
        tracer: list[subprocess.Popen[str]] = []

        def during(pid: int, go: int) -> None:
            started = subprocess.Popen(
                [*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True
            )
            tracer.append(started)
            assert started.stderr is not None
            said = started.stderr.readline()
            if "attached" not in said:
                raise Failure(f"strace: {said}")
            os.write(go, b"x")

        ended = self._child(there, scene.words, during)
        assert tracer[0].stderr is not None
        tracer[0].communicate()
        injected = re.search(r"INJECTED|killed by SIGKILL", log.read_text(errors="replace"))
        self.judge(scene, there, ended, f"{call} {number}: {inject}")
        return injected is not None

    def every_fault(self, scene: Scene, call: str, inject: str, most: int) -> int:
        """A fault at the first, second ... call, as far as there are calls; how many were."""
        count = 0
        while count < most and self.fault(scene, call, inject, count + 1):
            count += 1
        return count

    def full(self, scene: Scene, disk: Path, free: int) -> Ended:
        """Run it on a disk that has *free* bytes left."""
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        there = disk / "work"
        self._fresh(there, scene.template)
        left = os.statvfs(disk)
        filler = disk / "filler"
        with open(filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(4096, left.f_bavail * left.f_frsize - free))
        ended = self._child(there, scene.words)
        filler.unlink()
        self.judge(scene, there, ended, f"{free} bytes free")
        return ended


def left(there: Path) -> Left:
    """All rows of the state but for the stamps, which are another every time; and the files.

    A file that is not whole yet has another name, and does not count.
    """
    rows: list[object] = []
    with Store(str(there), wait_seconds=1).reading() as transaction:
        for table in TABLES:
            names = [row[1] for row in transaction._query(f"PRAGMA table_info({table})")]
            kept = ", ".join(f'"{name}"' for name in names if (table, name) != ("vm", "stamp"))
            if kept:
                rows.append((table, sorted(transaction._query(f"SELECT {kept} FROM {table}"))))
    files = frozenset(
        (path.name, _digest(_contents(path)))
        for path in (there / "out").rglob("*")
        if path.is_file() and not re.search(r"\.new(-journal)?$", path.name)
    )
    return Left(_digest(repr(rows).encode()), files)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _contents(path: Path) -> bytes:
    """What a file says, without the seconds that it took; a backup as its rows."""
    data = path.read_bytes()
    if data.startswith(b"SQLite format 3\0"):
        with closing(sqlite3.connect(path)) as db:
            return "\n".join(db.iterdump()).encode()
    return re.sub(rb'(time|seconds)[" =:]+[0-9.]+', b"", data)


@contextmanager
def small_disk(kilobytes: int) -> Iterator[Path | None]:
    """A file system of that size; None where none can be mounted."""
    with tempfile.TemporaryDirectory() as folder:
        options = f"size={kilobytes}k,mode=700"
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
            yield None
            return
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def why_no_strace() -> str | None:
    """Why no fault can be put in; None where it can."""
    if shutil.which("strace") is None:
        return "strace is missing"
    probe = ["strace", "-o", os.devnull, "-e", "inject=getuid:error=EIO", "true"]
    done = subprocess.run(probe, capture_output=True, check=False)
    return None if done.returncode == 0 else "strace may not trace here"


def kills(torture: Torture, amount: int, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(amount):
        torture.kill(torture.scenes[number % len(torture.scenes)], chance)
    print(f"{amount} kills (seed {seed}): {_told(torture)}", flush=True)


def faults(torture: Torture, most: int, calls: Sequence[str]) -> None:
    why = why_no_strace()
    if why is not None:
        print(f"no faults: {why}")
        return
    for call in calls:
        for inject in (*(f"error={error}" for error in FAULTS[call]), "signal=KILL"):
            each = most if call in OFTEN else 1000
            count = sum(torture.every_fault(s, call, inject, each) for s in torture.scenes)
            print(f"{call} {inject}: {count} times: {_told(torture)}", flush=True)


def disks(torture: Torture) -> None:
    with small_disk(8192) as disk:
        if disk is None:
            print("no full disk: only root can mount one")
            return
        count = 0
        for scene in torture.scenes:
            for free in range(0, 1 << 20, 8 << 10):
                count += 1
                if torture.full(scene, disk, free).status == scene.status:
                    break
        print(f"{count} full disks: {_told(torture)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.torture")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--most", type=int, default=200, help="faults of calls that are many")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", choices=("kills", "faults", "disks"))
    parser.add_argument("--call", action="append", choices=FAULTS, help="faults of these alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        torture = Torture(Path(name))
        if options.only in (None, "kills"):
            kills(torture, options.kills, options.seed)
        if options.only in (None, "faults"):
            faults(torture, options.most, options.call or tuple(FAULTS))
        if options.only in (None, "disks"):
            disks(torture)


def _told(torture: Torture) -> str:
    seen = dict(torture.seen)
    torture.seen.clear()
    return f"whole every time, {seen.get('before', 0)} as before, {seen.get('after', 0)} as after"


if __name__ == "__main__":
    main()
