"""A little of ``make torture``; and that it leaves no command out."""

from __future__ import annotations

import random

import pytest

from bhyvesim.cli.root import COMMANDS
from tests.torture import FAULTS, READERS, SCENES, Torture, small_disk, why_no_strace

FEW = {"unlink": 1, "fsync": 1, "rename": 1, "ftruncate": 0}  # so often that command does it
SOME = ("reboot", "create --replace", "undo", "state restore", "crash export")


@pytest.fixture(scope="module")
def torture(tmp_path_factory):
    return Torture(tmp_path_factory.mktemp("torture"), SOME)


def test_every_command_that_changes_anything_is_there():
    assert COMMANDS.keys() - READERS == COMMANDS.keys() & SCENES.keys()
    assert not READERS & SCENES.keys()


def test_kills_at_random_instants(torture):
    chance = random.Random(14042)
    for scene in torture.scenes * 3:
        torture.kill(scene, chance)


@pytest.mark.parametrize("call", FAULTS)
def test_system_calls_that_fail(torture, call):
    why = why_no_strace()
    if why is not None:
        pytest.skip(why)
    scene = torture.scenes[-1 if call in ("fsync", "rename", "write") else 0]
    found = torture.every_fault(scene, call, f"error={FAULTS[call][0]}", 2)
    assert found == FEW.get(call, 2)
    torture.every_fault(scene, call, "signal=KILL", 1)


def test_a_restore_whose_last_sync_fails_does_not_say_that_nothing_was_written(torture):
    why = why_no_strace()
    if why is not None:
        pytest.skip(why)
    restore = next(scene for scene in torture.scenes if scene.name == "state restore")
    assert torture.every_fault(restore, "fdatasync", "error=EIO", 100) > 4


def test_a_disk_that_is_full(torture):
    with small_disk(4096) as disk:
        if disk is None:
            pytest.skip("only root can mount a small disk")
        scene = torture.scenes[0]
        assert torture.full(scene, disk, 0).status == 4
        assert torture.full(scene, disk, 1 << 20).status == 0
