"""bhyvesim import: what holds for every kind of file."""

from __future__ import annotations

import pytest
import yaml

from tests.cli.imports import SAMPLES


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_sample_is_a_vm_of_4_gib_with_a_rom(cli, vm_file, kind):
    status, out, err = cli("import", vm_file(SAMPLES[kind], "web.conf"))
    assert status == 0, err
    vm = yaml.safe_load(out)
    vmm = "propolis" if kind == "propolis" else "bhyve"
    assert vm == {"name": "web", "vmm": vmm, "memory": "4G", "bootrom": "2M"}


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_memory_says_in_which_line_it_stands(cli, vm_file, kind):
    text = SAMPLES[kind]
    out = cli("import", vm_file(text, "web.conf")).out
    sizes = ("memory", "ram", "value=4G", "value: 4G", '-m "$MEM"')
    line = max(i for i, row in enumerate(text.splitlines(), 1) if any(s in row for s in sizes))
    memory = next(row for row in out.splitlines() if row.startswith("memory:"))
    assert f"line {line}" in memory


@pytest.mark.parametrize("kind", SAMPLES)
def test_windows_line_ends_and_indentation_change_nothing(cli, vm_file, kind):
    text = SAMPLES[kind]
    if kind != "zonecfg-info":  # where indentation is what tells an attribute
        text = "".join(f"  {line}" for line in text.splitlines(keepends=True))
    plain = cli("import", vm_file(SAMPLES[kind], "web.conf"))
    other = cli("import", vm_file(text.replace("\n", "\r\n"), "web.conf"))
    assert yaml.safe_load(other.out) == yaml.safe_load(plain.out)


@pytest.mark.parametrize("kind", [k for k in SAMPLES if k != "propolis"])
def test_a_rom_that_is_not_here_is_said_to_be_assumed(cli, vm_file, kind):
    _, out, err = cli("import", vm_file(SAMPLES[kind], "web.conf"))
    assert "its size is assumed: its file is not here" in out
    assert "bhyvesim: the ROM's size, 2M, is assumed: its file is not here\n" in err


@pytest.mark.parametrize("kind", SAMPLES)
def test_another_size_is_never_imported_as_this_one(cli, vm_file, kind):
    text = SAMPLES[kind].replace("4096", "6144").replace("4G", "6G").replace(">4<", ">6<")
    _, out, _ = cli("import", vm_file(text, "web.conf"))
    assert yaml.safe_load(out)["memory"] == "6G"


@pytest.mark.parametrize(
    ("kind", "size"),
    [("vm-bhyve", "4X"), ("zonecfg-export", "4.5G"), ("zadm", "much"), ("script", "4097K,")],
)
def test_a_size_that_is_none_is_refused_where_it_stands(cli, vm_file, kind, size):
    path = vm_file(SAMPLES[kind].replace("4G", size), "web.conf")
    status, out, err = cli("import", path)
    assert (status, out) == (2, "")
    assert "the memory size" in err


def test_the_name_given_on_the_command_line_wins(cli, vm_file):
    out = cli("import", vm_file(SAMPLES["zadm"]), "--vm", "db").out
    assert 'name: "db"  # --vm' in out


@pytest.mark.parametrize(
    ("file", "name"),
    [("db.conf", "db"), ("a b.conf", "a b"), ("a\tb.conf", "a_b"), ("é" * 90, "é" * 63)],
)
def test_without_a_name_the_files_is_taken(cli, vm_file, file, name):
    out = cli("import", vm_file(SAMPLES["vm-bhyve"], file)).out
    assert yaml.safe_load(out)["name"] == name


def test_from_says_what_the_text_does_not(cli, vm_file):
    path = vm_file("memory.size=4G\n")
    assert cli("import", path, "--from", "bhyve-config").status == 0
    status, _, err = cli("import", path, "--from", "libvirt")
    assert (status, "XML without a <domain>" in err) == (2, True)
