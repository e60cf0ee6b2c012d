"""Who else may write the state decides whether it is believed; files appear whole."""

from __future__ import annotations

import ast
import multiprocessing
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from bhyvesim.cli import run
from bhyvesim.cli.files import write_whole
from bhyvesim.errors import UsageError
from bhyvesim.store.store import Store
from tests.test_architecture import PACKAGE

NOBODY = 65534
COMMANDS = ("list", "reboot", "create --replace --config {}", "--get-memmap")


@pytest.fixture
def state(tmp_path, cli, config):
    cli("create", "--config", config("testvm"))
    return tmp_path / "state" / "state.sqlite3"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_file_and_folder_are_private_whatever_the_umask(tmp_path, cli, config):
    old = os.umask(0)
    try:
        cli("create", "--config", config("testvm"))
    finally:
        os.umask(old)
    folder = tmp_path / "state"
    assert (mode(folder), mode(folder / "state.sqlite3")) == (0o700, 0o600)


def test_a_readable_file_of_before_is_made_private(state, cli):
    state.chmod(0o644)
    assert cli("list").err == ""
    assert cli("reboot").status == 0
    assert mode(state) == 0o600


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_anybody_may_write_is_refused(state, cli, config, monkeypatch, command, what):
    path = state if what == "file" else state.parent
    path.chmod(0o707)
    words = command.format(config("testvm")).split()
    expected = (
        f"bhyvesim: {path} may be written by anybody (mode 0707): expected your own, of mode "
    )
    before = state.read_bytes()
    status, out, err = cli(*words)
    assert (status, out, err.count("\n")) == (4, "", 1)
    assert err.startswith(expected)
    assert state.read_bytes() == before
    assert cli("--trust-state", *words).status == 0
    monkeypatch.setenv("BHYVESIM_TRUST_STATE", "1")
    assert cli(*words).status == 0
    assert mode(path) == 0o707


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_somebody_elses_is_refused(state, cli, monkeypatch, what):
    path = state if what == "file" else state.parent
    look = os.lstat if what == "file" else os.stat

    def another(asked, *args, **kwargs):
        found = look(asked, *args, **kwargs)
        if os.fspath(asked) != str(path):
            return found
        return os.stat_result((*found[:4], NOBODY, *found[5:]))

    monkeypatch.setattr(os, look.__name__, another)
    status, out, err = cli("list")
    assert (status, out) == (4, "")
    assert err.startswith(f"bhyvesim: {path} belongs to somebody else (uid {NOBODY}): expected")
    assert cli("--trust-state", "list").status == 0


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_a_group_may_write_is_taken_from_it(state, cli, what):
    path, wanted = (state, 0o600) if what == "file" else (state.parent, 0o700)
    path.chmod(wanted | 0o070)
    status, _, err = cli("list")
    assert (status, mode(path)) == (0, wanted)
    assert err == (
        f"bhyvesim: {path} could be written by its group (mode {wanted | 0o070:04o}): "
        f"its mode is {wanted:04o} now\n"
    )
    assert cli("list").err == ""


@pytest.mark.parametrize("words", [("schema", "vm"), ("completion", "bash"), ("--version",)])
def test_what_needs_no_state_needs_no_home(cli, monkeypatch, words):
    for name in ("BHYVESIM_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "")
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert cli(*words).status == 0


@pytest.fixture
def open_folder(monkeypatch):
    """A folder for a state that others may reach, if they are let in."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.setenv("BHYVESIM_STATE_DIR", f"{name}/state")
        yield folder
        for path in (folder, *folder.iterdir()):
            path.chmod(0o700)


def _as_nobody(pipe, argv) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    with open(os.devnull, "w") as sys.stdout:
        pipe.send(run(argv))


@pytest.mark.parametrize(
    "command",
    [
        "create --dry-run --config {}",
        "reboot --vm testvm --dry-run",
        "destroy --vm testvm --dry-run",
        "host set --dry-run --memory 64G",
        "host show",
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_a_dry_run_needs_no_state_that_can_be_written(cli, config, open_folder, there, command):
    state, description = open_folder / "state", open_folder / "vm.yaml"
    shutil.copy(config("segments"), description)
    argv = command.format(description).split()
    if there:
        cli("create", "--config", config("testvm"))
    cli(*argv)  # what has to be imported is imported: nobody may be kept from where that lies
    if there:
        for path, its in ((state / "state.sqlite3", 0o400), (state, 0o500)):
            path.chmod(its)
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
    open_folder.chmod(0o555)
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        process = multiprocessing.get_context("fork").Process(
            target=_as_nobody, args=(theirs, argv)
        )
        process.start()
        status = ours.recv()
        process.join()
    refused = "--vm" in command and not there
    assert status == (1 if refused else 0)
    left = sorted(path.name for path in open_folder.rglob("*"))
    assert left == [*(["state", "state.sqlite3"] * there), "vm.yaml"]


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    path.chmod(0o640)
    write_whole(str(path), b"after")
    assert (path.read_text(), mode(path)) == ("after", 0o640)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError(28, "No space")])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_is_interrupted_leaves_what_was(tmp_path, monkeypatch, call, error):
    path = tmp_path / "file"
    path.write_text("before")

    def fail(*arguments):
        raise error

    monkeypatch.setattr(os, call, fail)
    with pytest.raises((KeyboardInterrupt, MemoryError, UsageError)):
        write_whole(str(path), b"after")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["file"]


def test_files_are_written_in_one_place():
    """Another would perhaps be found half-written."""
    homes = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _writes(node):
                homes.add(path.name)
    assert homes == {"files.py"}


def _writes(call: ast.Call) -> bool:
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    if name in ("write_text", "write_bytes"):
        return isinstance(call.func, ast.Attribute)
    modes = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "mode")]
    texts = {n.value for m in modes for n in ast.walk(m) if isinstance(n, ast.Constant)}
    return name == "open" and any(isinstance(t, str) and set(t) & set("wax+") for t in texts)


def test_the_store_of_the_python_api_says_nothing(tmp_path, capfd):
    with Store(str(tmp_path / "deep" / "state")).writing():
        pass
    assert capfd.readouterr() == ("", "")
