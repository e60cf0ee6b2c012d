"""bhyvesim import: vm-bhyve's configurations."""

from __future__ import annotations

import pytest

ALL = "uefi, uefi-csm, uefi-devel, uefi-custom, bhyveload, grub"


@pytest.mark.parametrize(
    "size", ["512M", "512MB", '"512M"', "'512m'", "512", "0x200", "512M # RAM"]
)
def test_memory_is_what_bhyves_m_takes(imported, size):
    vm, _, _ = imported(f"loader=grub\nmemory={size}\n")
    assert vm["memory"] == "512M"


@pytest.mark.parametrize("loader", ["uefi", "uefi-csm", "uefi-devel", "uefi-custom"])
def test_a_uefi_loader_is_a_rom(imported, loader):
    vm, out, _ = imported(f'memory=1G\nloader="{loader}"\n')
    assert vm["bootrom"] == "2M"
    assert f"loader, line 2: {loader}; its size is assumed" in out


@pytest.mark.parametrize("loader", ["bhyveload", "grub"])
def test_other_loaders_need_no_rom(imported, loader):
    vm, out, _ = imported(f'memory=1G\nloader="{loader}"\n')
    assert vm["bootrom"] == 0
    assert f"loader, line 2: {loader}, which needs none" in out


def test_wired_memory_is_wired(imported):
    vm, _, _ = imported("loader=grub\nmemory=4G\nwired_memory=yes\n")
    assert [m["wired"] for m in vm["mappings"]] == [True, True]
    vm, _, _ = imported("loader=grub\nmemory=4G\nwired_memory=no\n")
    assert "mappings" not in vm


def test_graphics_are_a_framebuffer_where_the_loader_can_have_one(imported):
    vm, out, _ = imported('loader="uefi"\nmemory=1G\ngraphics="yes"\n')
    assert vm["segments"][-1]["name"] == "framebuffer"
    assert "graphics, line 3: yes; the guest's firmware may place it elsewhere" in out
    vm, _, _ = imported('loader="grub"\nmemory=1G\ngraphics="yes"\n')
    assert vm["memory"] == "1G"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('loader="uefi"\ncpu=1\n', "1: no memory is given in what seems to be a vm-bhyve config"),
        ("memory=1G\n", f'1: no loader is given: expected loader="…", one of {ALL}'),
        (
            "memory=1G\nloader=refind\n",
            f"2: the loader 'refind' is not known: expected one of {ALL}",
        ),
        ("memory=1G\nloader=\n", "2: the loader '' is not known"),
        ("loader=grub\nmemory=1G\nmemory=2G\n", "3: memory is '2G' here and '1G' on line 2"),
        ("loader=grub\nmemory=1G\nloader=uefi\n", "3: loader is 'uefi' here and 'grub' on line 1"),
        ("loader=grub\n memory=1G\n", "2: vm-bhyve passes over 'memory' with blanks around it"),
        ("loader=grub\nmemory =1G\n", "2: vm-bhyve passes over 'memory' with blanks around it"),
        ("loader=grub\nmemory=\n", "2: the memory size ''"),
        ('loader=grub\nmemory="1G\n', "2: the memory size '\"1G'"),
        ("loader=grub\nmemory=1G\nwired_memory=perhaps\n", "3: 'perhaps' is no boolean"),
        ("loader=grub\nmemory=1G\nbhyve_options=-A -S\n", "3: bhyve_options has '-S'"),
        ("loader=grub\nmemory=1G\nbhyve_options=-m 2G\n", "3: bhyve_options has '-m'"),
    ],
)
def test_what_would_be_a_guess_is_refused(refused, text, message):
    assert refused(text).startswith(message)


def test_a_line_that_is_no_setting_is_refused(cli, vm_file):
    path = vm_file("loader=grub\nmemory=1G\nexport x\n")
    status, _, err = cli("import", path, "--from", "vm-bhyve")
    assert (status, ":3: 'export x': expected key=\"value\"" in err) == (2, True)
