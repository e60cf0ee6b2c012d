"""The wheel and the sdist: the same bytes from the same sources, and nothing left out."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.sdist import ROOT, build, collected, unpack

pytest.importorskip("hatchling", reason="hatchling, which builds the packages, is not installed")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("made"), "sdist")


def test_two_builds_in_two_folders_are_the_same_bytes(sdist, tmp_path):
    made = []
    for name in ("one", "another, with a longer name"):
        tree = unpack(sdist, tmp_path / name)
        for file in tree.rglob("*.py"):
            file.touch()  # times of files are not of the sources
        made.append(
            {
                path.name: path.read_bytes()
                for target in ("sdist", "wheel")
                for path in [build(tree, tmp_path / f"{name}, {target}", target)]
            }
        )
    one, another = made
    assert sorted(one) == sorted(another)
    assert len(one) == 2
    assert [name for name in one if one[name] != another[name]] == []
    assert one[sdist.name] == sdist.read_bytes()


def test_the_wheel_has_the_package_its_manual_and_its_licence_and_no_tests(sdist, tmp_path):
    tree = unpack(sdist, tmp_path / "tree")
    with zipfile.ZipFile(build(tree, tmp_path / "wheel", "wheel")) as wheel:
        names = wheel.namelist()
    assert {name.split("/")[0].split("-")[0].split(".")[0] for name in names} == {"bhyvesim"}
    package = {str(file.relative_to(tree)) for file in (tree / "bhyvesim").rglob("*.*")}
    assert package <= set(names)
    assert sum(name.endswith(".1") for name in names) == len(list((tree / "man").iterdir()))
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_sdist_has_every_file_that_is_kept(sdist):
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no git checkout")
    listed = subprocess.run(
        ["git", "-c", "core.quotePath=off", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    with tarfile.open(sdist) as archive:
        shipped = {name.split("/", 1)[1] for name in archive.getnames()}
    kept = {name for name in listed if name and (ROOT / name).exists()}
    assert len(kept) > 900
    assert kept - shipped == set()


def test_every_test_can_be_collected_from_the_sdist(sdist, tmp_path):
    assert len(collected(unpack(sdist, tmp_path))) > 1000
