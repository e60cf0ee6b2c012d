"""The small form of every target, and that the oracle sees what it is for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.fuzz_inputs import keep, small, targets
from tests.fuzz_inputs.__main__ import TARGETS

MUTATIONS = {"crash": 300, "scenario": 600, "probe": 600}


def test_every_target_is_named():
    assert set(TARGETS) == set(targets.TARGETS)
    on_disk = {path.name for folder in ("corpus", "found") for path in folders(folder)}
    assert on_disk <= set(TARGETS)


def folders(kind):
    return [path for path in (targets.HERE / kind).glob("*") if path.is_dir()]


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_are_taken_or_refused(name):
    """In a process of its own, whose memory can be bounded."""
    count = str(MUTATIONS.get(name, 2000))
    command = [sys.executable, "-m", "tests.fuzz_inputs", name, "--small", count]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_mutations_are_the_same_each_time():
    assert list(small.inputs("row", 20)) == list(small.inputs("row", 20))
    assert list(small.inputs("row", 20)) != list(small.inputs("row", 20, seed=2))


def test_what_reaches_new_lines_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(keep, "HERE", tmp_path)
    new = tmp_path / "new"
    new.mkdir()
    (new / "as before").write_bytes(targets.TARGETS["row"].begin()[0])
    (new / "an unknown kind of list").write_bytes(b"l[1,2]")
    (new / "the same again").write_bytes(b"l[1,22]")
    (new / "too long").write_bytes(b"w" + b"[" * 3000)
    monkeypatch.setattr(keep, "kept", lambda name: [])
    assert keep.keep("row", new, 9) == 1
    assert [path.read_bytes() for path in (tmp_path / "corpus" / "row").glob("*")] == [b"l[1,2]"]


@pytest.fixture
def replaced(monkeypatch):
    def by(run):
        target = targets.TARGETS["probe"]._replace(run=run)
        monkeypatch.setitem(targets.TARGETS, "probe", target)

    return by


def test_the_oracle_sees_an_error_of_ours(replaced):
    replaced(lambda data: [][len(data)])
    assert "IndexError" in small.wrong_with("probe", b"")


def test_the_oracle_sees_what_takes_long(replaced, monkeypatch):
    monkeypatch.setattr(small, "SECONDS", -1.0)
    replaced(lambda data: None)
    assert small.wrong_with("probe", b"").endswith("s of processor time")


def test_the_oracle_sees_much_memory():
    code = (
        "from tests.fuzz_inputs import small, targets\n"
        "run = lambda data: bytearray(len(data) << 20)\n"
        "targets.TARGETS['probe'] = targets.TARGETS['probe']._replace(run=run)\n"
        "raise SystemExit(small.judge('probe', iter([b'x' * 100, b'x' * 300])))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"probe: {b'x' * 300!r}\n")
    assert done.stderr.rstrip().endswith("MemoryError")
