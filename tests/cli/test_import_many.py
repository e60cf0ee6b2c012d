"""bhyvesim import: of several files, a description each and one table."""

from __future__ import annotations

import json
import os

import pytest
import yaml

from tests.cli.imports import EXPORT, LIBVIRT, VM_BHYVE, VMADM


@pytest.fixture
def folder(tmp_path):
    """Make a folder of files; returns its path."""

    def make(**files):
        for name, text in files.items():
            path = tmp_path / "hosts" / name.replace("__", "/").replace("_conf", ".conf")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(tmp_path / "hosts")

    return make


def test_a_folder_becomes_a_folder_of_descriptions(cli, folder, tmp_path):
    path = folder(web_conf=VM_BHYVE, zones__db=EXPORT.replace("web", "db"))
    status, out, err = cli("import", path, "-o", tmp_path / "out")
    assert status == 0, err
    assert out.splitlines() == [
        f"{'FILE'.ljust(len(path) + 9)}  VM   MEMORY  ROM  OUTPUT",
        f"{path}/web.conf  web      4G   2M  {tmp_path}/out/web.yaml",
        f"{path}/zones/db  db       4G   2M  {tmp_path}/out/db.yaml",
    ]
    assert sorted(os.listdir(tmp_path / "out")) == ["db.yaml", "web.yaml"]
    assert yaml.safe_load((tmp_path / "out" / "db.yaml").read_text())["memory"] == "4G"
    assert "bhyvesim: 2 VMs: the ROM's size, 2M, is assumed: its file is not here\n" in err
    assert "bhyvesim: 3 settings have no meaning here; --verbose lists them\n" in err


def test_a_file_that_cannot_be_read_is_listed_counted_and_the_status(cli, folder, tmp_path):
    path = folder(a_conf="loader=uefi\n", b_conf=VM_BHYVE)
    status, out, err = cli("import", path, "-o", tmp_path / "out")
    assert status == 2
    assert out.splitlines()[1].split() == [f"{path}/a.conf", "unreadable"]
    assert (tmp_path / "out" / "b.yaml").exists()
    assert f"bhyvesim: {path}/a.conf:1: no memory is given" in err
    assert err.splitlines()[-1] == "bhyvesim: 1 of 2 could not be imported"


@pytest.mark.parametrize("sources", [1, 2])
def test_several_need_a_folder_or_check(cli, folder, vm_file, sources):
    paths = [folder(a_conf=VM_BHYVE)] if sources == 1 else [vm_file(VM_BHYVE)] * 2
    status, out, err = cli("import", *paths)
    assert (status, out) == (2, "")
    assert err == "bhyvesim: where to? expected --output FOLDER for several files, or --check\n"


@pytest.mark.parametrize("option", ["--vm", "--pick"])
def test_one_name_or_number_fits_no_several(cli, vm_file, option):
    path = vm_file(VM_BHYVE)
    status, _, err = cli("import", path, path, option, "1", "--check")
    assert (status, f"{option} with several files: expected one" in err) == (2, True)


def test_a_file_of_several_vms_becomes_several(cli, vm_file, tmp_path):
    path = vm_file(f"[{VMADM},{VMADM.replace('web', 'db').replace('4096', '8192')}]", "vms.json")
    status, out, _ = cli("import", path, "-o", f"{tmp_path}/out/")
    assert status == 0
    assert [row.split()[1:3] for row in out.splitlines()[1:]] == [["web", "4G"], ["db", "8G"]]
    assert sorted(os.listdir(tmp_path / "out")) == ["db.yaml", "web.yaml"]


def test_nothing_is_written_over(cli, vm_file, tmp_path):
    first, second = vm_file(VMADM, "a"), vm_file(EXPORT, "b")
    (tmp_path / "out").mkdir()
    status, out, err = cli("import", first, second, "-o", tmp_path / "out")
    assert status == 2
    assert "vmadm" in (tmp_path / "out" / "web.yaml").read_text()
    assert out.splitlines()[2].split() == [second, "web", "4G", "2M", "not", "written"]
    assert f"{tmp_path}/out/web.yaml: exists already: expected a new file" in err


@pytest.mark.parametrize(
    ("name", "file"), [("a b", "a_b"), (".x", "_x"), ("-x", "_x"), ("a:b*", "a_b_"), ("é", "é")]
)
def test_the_file_is_named_after_the_vm(cli, vm_file, tmp_path, name, file):
    path = vm_file(VMADM.replace("web", name))
    assert cli("import", path, "-o", f"{tmp_path}/out/").status == 0
    assert os.listdir(tmp_path / "out") == [f"{file}.yaml"]


def test_a_name_too_long_for_a_file_is_one_failure(cli, vm_file, tmp_path):
    long = vm_file(VMADM.replace("web", "w" * 127), "a")
    status, out, _ = cli("import", long, "-o", f"{tmp_path}/out/")
    assert (status, "w" * 127 in out) == (0, True)


def test_check_reviews_what_was_imported(cli, folder):
    path = folder(a_conf=VM_BHYVE, b_conf=VM_BHYVE.replace("4G", "1G"))
    status, out, err = cli("import", "--check", path)
    assert status == 1
    finding, *_, first, second = out.splitlines()
    assert finding.startswith(f"{path}/a.conf:3:1: warning BV102 (ends-on-neighbour)")
    assert first.split()[1:] == ["a", "4G", "2M", "warning", "13932"]
    assert second.split()[1:] == ["b", "1G", "2M", "ok"]
    assert "could not be imported" not in err


def test_check_of_one_file_writes_it_as_well(cli, vm_file, tmp_path):
    out = tmp_path / "new.yaml"
    status, table, _ = cli("import", "--check", vm_file(LIBVIRT), "-o", out)
    assert status == 1
    assert table.splitlines()[-1].split()[-3:] == ["warning", "13932", str(out)]
    assert cli("check", out).status == 1


def test_check_says_what_check_says_of_the_description(cli, vm_file, tmp_path):
    source, out = vm_file(LIBVIRT), tmp_path / "new.yaml"
    mine = cli("import", "--check", source, "-o", out).out.splitlines()[0]
    theirs = cli("check", out).out.splitlines()[0]
    assert mine.split(": ", 1)[1] == theirs.split(": ", 1)[1]


def test_an_unreadable_file_outweighs_a_warning(cli, vm_file):
    status, out, _ = cli("import", "--check", vm_file(VM_BHYVE, "a"), vm_file("x", "b"))
    assert status == 2
    assert "unreadable" in out


def test_json_has_every_file(cli, vm_file):
    good, bad = vm_file(LIBVIRT, "a"), vm_file("x", "b")
    data = json.loads(cli("import", "--check", good, bad, "--format", "json").out)
    assert data["files"][0] == {
        "file": good,
        "vm": "web",
        "memory": 4 << 30,
        "bootrom": 2 << 20,
        "output": None,
        "verdict": "warning",
        "endangers": ["13932"],
        "error": None,
    }
    assert data["files"][1]["error"].startswith(f"{bad}:1: this is no file")
    assert data["findings"][0]["code"] == "BV102"


def test_format_is_for_tables(cli, vm_file):
    status, _, err = cli("import", vm_file(LIBVIRT), "--format", "json")
    assert (status, "--format with one file" in err) == (2, True)


def test_disks_and_our_own_files_are_passed_over_and_counted(cli, folder, tmp_path):
    path = folder(a_conf=VM_BHYVE, our="name: x\nmemory: 4G\n")
    os.truncate(tmp_path / "hosts" / "a.conf", len(VM_BHYVE))
    (tmp_path / "hosts" / "disk0.img").write_bytes(b"\0" * 9)
    (tmp_path / "hosts" / ".hidden").write_text("x")
    status, out, err = cli("import", "--check", path)
    assert status == 1
    assert len(out.splitlines()) == 5
    assert f"bhyvesim: {path}: 1 disk images, ROMs and logs are passed over\n" in err
    assert f"bhyvesim: {path}: 1 files of bhyvesim's own are passed over\n" in err


def test_a_folder_of_nothing_is_refused(cli, tmp_path):
    (tmp_path / "none").mkdir()
    status, _, err = cli("import", "--check", tmp_path / "none")
    assert (status, "there is nothing to import" in err) == (2, True)


def test_an_output_that_is_a_file_is_no_folder(cli, vm_file):
    path = vm_file(VM_BHYVE, "a.conf")
    status, out, err = cli("import", path, vm_file(VMADM, "b"), "-o", path)
    assert (status, out) == (2, "")
    assert err == f"bhyvesim: {path}: File exists: expected a folder\n"


def test_verbose_lists_with_the_files_name(cli, vm_file):
    path = vm_file(VM_BHYVE, "a.conf")
    err = cli("import", "--check", path, "--verbose").err
    assert f"bhyvesim: {path}: ignored: cpu=2 (line 2)" in err


def test_picking_one_to_check(cli, vm_file):
    path = vm_file(f"[{VMADM},{VMADM.replace('web', 'db')}]")
    _, out, _ = cli("import", "--check", path, "--pick", "2")
    assert [row.split()[1] for row in out.splitlines()[-1:]] == ["db"]
    assert cli("import", "--check", path, "--pick", "3").status == 2
