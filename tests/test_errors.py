"""Exceptions arrive from a worker as what they were."""

from __future__ import annotations

import pickle
from importlib import import_module
from pkgutil import walk_packages

import pytest

import bhyvesim
from bhyvesim import errors as e
from bhyvesim.cli.bhyvectl.getopt import OptionError
from bhyvesim.config.document import ConfigError
from bhyvesim.config.importers.source import ImportProblem, OwnFile
from bhyvesim.crash.codec import BadDump
from bhyvesim.host.host import Stopped
from bhyvesim.kernel.revisions import UnknownRevision
from bhyvesim.kernel.vmspace import MapConflict
from bhyvesim.store.rows import Damaged
from bhyvesim.store.store import LostRace
from bhyvesim.trace.aggregate import TooManyKeys
from bhyvesim.workers import WorkerDied
from tests.crash.test_dump import DUMP

STACK = (e.Frame("vm_map_remove", (1, 1 << 63)), e.Frame("vm_reinit"))
EXAMPLES = {
    type(error): error
    for error in (
        e.BhyvesimError("said"),
        e.Refused("EINVAL", "why"),
        e.NotRunning("ENOENT", "why"),
        e.UsageError("said"),
        e.BadValue("problem", "something else"),
        e.NotModelled("problem", "something else"),
        e.StateError("said"),
        Damaged("what", "problem"),
        LostRace("name"),
        e.KernelStop("message", STACK),
        e.KernelPanic("message", STACK, {"gpa": 1 << 40}),
        e.KernelHang(("a lock", "another"), STACK, {"start": 0}),
        BadDump("problem", "something else"),
        OptionError("said"),
        e.HostStopped("said"),
        Stopped(DUMP, 7, ()),
        ConfigError("file.yaml", 3, 4, "what", "something else"),
        ImportProblem("file", 3, "what", "something else"),
        OwnFile("file", 3, "what", "something else"),
        WorkerDied("said"),
        e.NothingFound("said"),
        MapConflict("why"),
        UnknownRevision("problem", "something else"),
        TooManyKeys(),
    )
}


def every_class(root=e.BhyvesimError):
    yield root
    for child in root.__subclasses__():
        yield from every_class(child)


def test_the_whole_tree_is_here():
    for module in walk_packages(bhyvesim.__path__, "bhyvesim."):
        if module.name not in ("bhyvesim.__main__", "bhyvesim.pytest_plugin"):
            import_module(module.name)
    ours = {cls for cls in every_class() if cls.__module__.startswith("bhyvesim")}
    assert ours == set(EXAMPLES)


@pytest.mark.parametrize("cls", EXAMPLES, ids=lambda cls: cls.__name__)
def test_a_round_trip_loses_nothing(cls):
    before = EXAMPLES[cls]
    after = pickle.loads(pickle.dumps(before))
    assert type(after) is cls
    assert str(after) == str(before)
    assert vars(after) == vars(before)
    assert after.exit_code == before.exit_code
