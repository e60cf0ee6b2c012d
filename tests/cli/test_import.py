"""bhyvesim import: foreign files become descriptions, and bad ones a message."""

from __future__ import annotations

import pytest
import yaml

from bhyvesim import limits
from bhyvesim.config.importers.memsize import parse_memsize
from bhyvesim.config.importers.sniff import find
from bhyvesim.config.importers.source import ImportProblem, Source
from tests.cli.imports import VM_BHYVE
from tests.cli.test_life import MEMMAP

PASTED = f": frankenstein; sudo bhyvectl --vm=testvm --get-memmap\n{MEMMAP}: frankenstein;\n"
HEAD = "Address     Length      Segment     Offset      Prot  Flags\n"


@pytest.fixture
def imported(cli, vm_file):
    def run(text, *argv):
        status, out, err = cli("import", vm_file(text, "foreign"), *argv)
        assert status == 0, err
        return out, yaml.safe_load(out), err

    return run


def test_the_reports_map_comes_back_byte_for_byte(cli, vm_file, imported):
    out, vm, err = imported(PASTED)
    assert vm == {"name": "foreign", "vmm": "propolis", "memory": "8G", "bootrom": "2M"}
    assert 'name: "foreign"  # none is given: the file\'s' in out
    assert "# 2 settings have no meaning here; --verbose lists them" in out
    assert err == "bhyvesim: 2 settings have no meaning here; --verbose lists them\n"
    cli("create", "--config", vm_file(out))
    assert cli("--get-memmap").out == MEMMAP


@pytest.mark.parametrize(
    "name", ["testvm", "testvm-13932", "production-13932", "intel-bhyve", "segments"]
)
@pytest.mark.parametrize("with_memseg", [True, False])
def test_what_get_memmap_printed_makes_the_same(cli, config, vm_file, imported, name, with_memseg):
    cli("create", "--config", config(name))
    memseg = ["--get-memseg"] if with_memseg else []
    before = cli("--get-memmap", *memseg).out
    text, _, _ = imported(before)
    cli("create", "--config", vm_file(text), "--vm", "again")
    assert cli("--vm=again", "--get-memmap", *memseg).out == before


def test_a_long_name_needs_the_segments(cli, vm_file, imported):
    description = (
        "name: x\nsegments: [{id: 2, name: a-very-long-name, size: 2M}]\n"
        "mappings: [{gpa: 1M, segment: 2, offset: 1M, len: 1M}]\n"
    )
    cli("create", "--config", vm_file(description))
    memmap, memseg = cli("--get-memmap").out, cli("--get-memseg").out
    status, _, err = cli("import", vm_file(memmap, "foreign"))
    assert (status, "the name runs into the offset" in err) == (2, True)
    _, vm, _ = imported(memseg + memmap)
    assert vm["segments"] == [{"id": 2, "name": "a-very-long-name", "size": "2M"}]
    assert vm["mappings"][0]["offset"] == 1 << 20


def test_bhyve_config(imported):
    out, vm, err = imported(
        "name=web\nmemory.size=8G\nlpc.bootrom=/no/such/rom.fd\ncpus=4\n# comment\nuuid=%(name)\n"
    )
    assert vm == {"name": "web", "vmm": "bhyve", "memory": "8G", "bootrom": "2M"}
    assert 'name: "web"  # name, line 1' in out
    assert "its size is assumed: its file is not here" in out
    assert err.splitlines() == [
        "bhyvesim: the ROM's size, 2M, is assumed: its file is not here",
        "bhyvesim: 2 settings have no meaning here; --verbose lists them",
    ]


@pytest.mark.parametrize("where", ["before", "after"])
def test_verbose_lists_what_has_no_meaning(cli, vm_file, where):
    path = vm_file("memory.size=8G\ncpus=4\nuuid=x\n", "foreign")
    argv = ("--verbose", "import", path) if where == "before" else ("import", path, "--verbose")
    _, out, err = cli(*argv)
    assert err.splitlines() == [
        "bhyvesim: ignored: cpus=4 (cpus, line 2)",
        "bhyvesim: ignored: uuid=x (uuid, line 3)",
    ]
    assert "# Ignored: cpus=4 (cpus, line 2)\n# Ignored: uuid=x (uuid, line 3)\n" in out


def test_one_setting_is_counted_in_the_singular(imported):
    _, _, err = imported("memory.size=8G\ncpus=4\n")
    assert err == "bhyvesim: 1 setting has no meaning here; --verbose lists it\n"


def test_bhyve_config_wired_with_a_framebuffer(cli, vm_file, imported):
    text = "memory.size=4096\nmemory.wired=YES\npci.0.29.0.device=fbuf\n"
    out, vm, _ = imported(text, "--vm", "x")
    assert [m.get("wired") for m in vm["mappings"]] == [True, True, None]
    assert vm["segments"][-1] == {"id": 3, "name": "framebuffer", "size": "16M"}
    assert cli("create", "--config", vm_file(out)).status == 0


def test_the_size_of_a_rom_that_is_there(imported, vm_file):
    rom = vm_file(b"\0" * 4096 * 3, "rom.fd")
    _, vm, _ = imported(f"memory.size=1G\nlpc.bootrom={rom}\n")
    assert vm["bootrom"] == "12K"


def test_a_bhyve_command_line(imported):
    text = (
        "#!/bin/sh\nexec /usr/sbin/bhyve -c 4 -S -m 16G \\\n"
        "  -l bootrom,/r.fd,/v.fd -s 0,hostbridge vm0\n"
    )
    out, vm, err = imported(text)
    assert vm["name"] == "vm0"
    assert [(m["len"], m.get("wired")) for m in vm["mappings"]] == [
        ("13G", True),
        ("3G", True),
        ("2M", None),
    ]
    assert "trapped MMIO" in out
    assert "2 settings have no meaning here" in err


def test_propolis(imported):
    text = '[main]\nname = "p"\ncpus = 4\nmemory = 8192\nbootrom = "/r"\n[dev.x]\ndriver = "d"\n'
    _, vm, err = imported(text)
    assert vm == {"name": "p", "vmm": "propolis", "memory": "8G", "bootrom": "2M"}
    assert "2 settings have no meaning here" in err


def test_a_propolis_server_has_no_memory_in_its_file(cli, vm_file):
    text = 'bootrom = "/r"\n[block_dev.a]\ntype = "file"\n[dev.block0]\ndriver = "d"\n'
    status, out, err = cli("import", vm_file(text, "server.toml"))
    assert (status, out) == (2, "")
    assert "propolis-server configuration, which holds no memory" in err
    assert "instance spec of the API request" in err


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256", 256 << 20),
        ("1048576", 1 << 20),
        ("8G", 8 << 30),
        ("8Gigs", 8 << 30),
        ("0x10", 16 << 20),
    ],
)
def test_memory_sizes_by_bhyves_rule(text, size):
    assert parse_memsize(text, Source("f", "", [], lambda path: None), 1) == size


@pytest.mark.parametrize("text", ["", "1.5G", "8Q", "-1", "1" * 30, "08", "1048577", "0"])
def test_what_is_no_memory_size(text):
    with pytest.raises(ImportProblem):
        parse_memsize(text, Source("f", "", [], lambda path: None), 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: an empty file"),
        (" \n\n", "1: an empty file"),
        ("# nothing\n", "1: nothing but comments"),
        ("hello\n", "1: this is no file that can be imported"),
        (HEAD, "2: a memory map without rows"),
        (HEAD + "0    12XB     sysmem   0     RWX\n", "2: the length '12XB'"),
        (HEAD + "0    1MB     sysmem   0     RW\n", "2: '0    1MB     sysmem   0     RW'"),
        (HEAD + "0    1MB     sysmem   0     ---\n", "2: a map without protection"),
        (HEAD + "0    1MB     sysmem   0     RWX   magic\n", "2: the flag 'magic'"),
        (HEAD + "800  1MB     sysmem   0     RWX\n", "2: numbers that are not page-aligned"),
        (
            HEAD + "0    2MB     sysmem   0     RWX\n100000   1MB   s   0   RWX\n",
            "3: a map at 0x10",
        ),
        (MEMMAP[:150], "3: "),
        (b"\x00\x01\x02", "1: a binary file"),
        (b"\xff\xfea\0", "1: text in UTF-16"),
        ("a\n\x1b[1m\n", "2: the character '\\x1b'"),
        (b"name=caf\xe9\nmemory.size=1G\n", "1: not UTF-8"),
        (b"a" * 2_000_000, "1: over 1048576 bytes"),
        ("memory.size=8X\n", "1: the memory size '8X'"),
        ("memory.size=1G\nmemory.wired=maybe\n", "2: 'maybe' is no boolean"),
        ("name=%(name)\n", "1: '%(name)' leads nowhere"),
        ("name=%(b)\nb=%(c)%(c)\nc=" + "x" * 4000 + "\n", "1: a value that grows without end"),
        ("memory.size=8G\nnonsense\n", "2: 'nonsense'"),
        ("bhyve -m 8G -l 'x\n", "1: a ' that is never closed"),
        ("cpus=2\nname=x\n", "1: no memory is given in what seems to be a bhyve_config(5) file"),
        ("memory.size=1G\nmemory.size=2G\n", "2: memory.size is '2G' here and '1G' on line 1"),
        ("memory.size=1G\nlpc.bootrom=/a\nlpc.bootrom=/b\n", "3: lpc.bootrom is '/b' here"),
        ("memory.size=1G\ndomains.0.size=1G\n", "2: '1G' gives a NUMA domain memory"),
        ("".join(f"a{i}=%(a{i + 1})\n" for i in range(99)), "1: '%(a41)' leads nowhere"),
        ("bhyve -m\n", "1: option -m requires argument"),
        ("[main]\nmemory = 1.5\nbootrom = 'x'\n", "2: main.memory '1.5'"),
        ("[main]\nmemory = 1\n", "3: main.bootrom 'None'"),
        ("[main]\nbootrom = 'x'\n", "1: no memory is given in what seems to be a propolis"),
        ("[main]\nmemory = 0x" + "f" * 9999 + "\n", "2: main.memory 'a huge number'"),
        ("[main]\nmemory = " + "9" * 9999 + "\n", "1: not TOML"),
        ("[main]\nx = " + "[" * 9999 + "\n", "1: not TOML"),
        ("main.x" + ".x" * 9999 + " = 1\n", "1: no memory is given"),
        ("[main\n", "1: this is no file"),
        ("[main]\nmemory = \n", "2: not TOML"),
    ],
)
def test_damaged_foreign_and_hostile_text(cli, vm_file, tmp_path, text, message):
    path = vm_file(text, "foreign")
    out = tmp_path / "out.yaml"
    status, printed, err = cli("import", path, "--output", out)
    assert (status, printed) == (2, "")
    assert err.startswith(f"bhyvesim: {path}:{message}")
    assert err.count("\n") == 1
    assert not out.exists()


def test_an_existing_file_is_not_overwritten(cli, vm_file, tmp_path):
    out = tmp_path / "out.yaml"
    assert cli("import", vm_file(PASTED, "foreign"), "--output", out).status == 0
    before = out.read_text()
    status, _, err = cli("import", vm_file(PASTED, "foreign"), "--output", out)
    assert (status, "exists already" in err) == (2, True)
    assert out.read_text() == before


def test_a_name_that_no_vm_can_have(cli, vm_file):
    status, _, err = cli("import", vm_file("name=a/b\nmemory.size=1G\n", "foreign"))
    assert status == 2
    assert "foreign:1: the name 'a/b' names a path: expected --vm NAME" in err


def test_dashes_o_is_output(cli, vm_file, tmp_path):
    out = tmp_path / "out.yaml"
    assert cli("import", vm_file(PASTED, "foreign"), "-o", out).status == 0
    assert 'name: "foreign"' in out.read_text()


def test_another_programs_line_ends_and_byte_order_mark(imported):
    _, vm, _ = imported("\ufeffname=web\r\nmemory.size=8G\r\n")
    assert (vm["name"], vm["memory"]) == ("web", "8G")


def test_equal_values_may_stand_twice(imported):
    _, vm, _ = imported("memory.size=4G\nmemory.size=4096M\n")
    assert vm["memory"] == "4G"


def test_a_variable_used_many_times_over_is_expanded_once(imported):
    lines = "".join(f"a{i}=%(a{i + 1})%(a{i + 1})\n" for i in range(38))
    _, vm, _ = imported(f"memory.size=1G\nname=x%(a0)\n{lines}a38=\n")
    assert vm["name"] == "x"


def test_a_file_by_whatever_name_adds_no_line_to_the_description(cli, vm_file):
    path = vm_file(VM_BHYVE, "web\nmemory: 1T\n#\u2028memory: 2T.conf")
    status, out, err = cli("import", path, "--vm", "web")
    assert status == 0, err
    assert yaml.safe_load(out)["memory"] == "4G"
    assert out.splitlines()[0].endswith(
        "/web?memory: 1T?#?memory: 2T.conf (a vm-bhyve configuration)."
    )


@pytest.mark.parametrize(("length", "taken"), [(499, True), (500, False)])
def test_a_row_of_a_map_has_its_bound(cli, vm_file, length, taken):
    """bhyvectl's are shorter by far; blanks in any number would be tried in every way."""
    begin, end = "0 3072MB", "sysmem 0 RWX"
    row = f"{begin}{' ' * (length - len(begin) - len(end))}{end}"
    status, out, err = cli("import", vm_file(HEAD + row + "\n", "map"))
    assert (status == 0) == taken
    assert ("memory: 3G" in out) == taken
    assert ("map:2: " in err and "expected Address Length Segment" in err) != taken


def test_a_file_has_its_bound(cli, vm_file):
    text = VM_BHYVE + "#" * (limits.FOREIGN.most - len(VM_BHYVE))
    assert cli("import", vm_file(text), "--from", "vm-bhyve", "--vm", "web").status == 0
    path = vm_file(text + "#")
    status, out, err = cli("import", path, "--from", "vm-bhyve", "--vm", "web")
    assert (status, out) == (2, "")
    assert err == f"bhyvesim: {path}:1: over 1048576 bytes: expected a smaller file\n"


def test_a_file_has_so_many_vms_and_no_more():
    lines = [f"bhyve -m 1G vm{number}\n" for number in range(limits.VMS.most + 1)]
    with pytest.raises(ImportProblem, match="1001 VMs: expected at most 1000 VMs in a file"):
        find("".join(lines).encode(), "start.sh", None, lambda _: None)
    assert len(find("".join(lines[1:]).encode(), "start.sh", None, lambda _: None)) == 1000
