"""bhyvesim import: libvirt's XML of bhyve domains."""

from __future__ import annotations

import pytest

from tests.cli.imports import LIBVIRT


def domain(inside, attributes="type='bhyve'"):
    return f"<domain {attributes}>\n<name>web</name>\n{inside}\n</domain>\n"


@pytest.mark.parametrize(
    ("unit", "number", "size"),
    [
        ("", 219136, "214M"),
        (" unit='KiB'", 219136, "214M"),
        (" unit='k'", 219136, "214M"),
        (" unit='KB'", 1048576, "1000M"),
        (" unit='b'", 1 << 30, "1G"),
        (" unit='bytes'", 1 << 30, "1G"),
        (" unit='M'", 512, "512M"),
        (" unit='MiB'", 512, "512M"),
        (" unit='mib'", 512, "512M"),
        (" unit='MB'", 1048576, "1000000M"),
        (" unit='G'", 3, "3G"),
        (" unit='TiB'", 1, "1T"),
    ],
)
def test_the_units_of_libvirt(imported, unit, number, size):
    vm, _, _ = imported(domain(f"<memory{unit}> {number}\n</memory>"))
    assert vm["memory"] == size


def test_only_memory_is_the_memory(imported):
    others = "<maxMemory slots='4' unit='GiB'>64</maxMemory><currentMemory>1024</currentMemory>"
    numa = "<numatune><memory mode='strict' nodeset='0'/></numatune>"
    vm, _, _ = imported(domain(f"{others}{numa}<memory unit='GiB'>2</memory>"))
    assert vm["memory"] == "2G"


def test_a_loader_is_a_rom_and_a_bootloader_none(imported):
    memory = "<memory unit='GiB'>2</memory>"
    vm, out, _ = imported(domain(f"{memory}<os firmware='efi'><type>hvm</type></os>"))
    assert vm["bootrom"] == "2M"
    assert "firmware='efi', line 3" in out
    vm, out, _ = imported(domain(f"{memory}<bootloader>/usr/sbin/bhyveload</bootloader>"))
    assert vm["bootrom"] == 0
    assert "<bootloader>, line 3, needs none" in out


def test_locked_memory_is_wired(imported):
    vm, _, _ = imported(domain("<memory>4194304</memory><memoryBacking><locked/></memoryBacking>"))
    assert [m["wired"] for m in vm["mappings"]] == [True, True]


def test_arguments_for_bhyve_itself_count(imported):
    namespace = "type='bhyve' xmlns:bhyve='http://libvirt.org/schemas/domain/bhyve/1.0'"
    text = "<memory>1048576</memory><bhyve:commandline><bhyve:arg value='-S'/></bhyve:commandline>"
    vm, _, _ = imported(domain(text, namespace))
    assert vm["mappings"][0]["wired"] is True


def test_graphics_are_a_framebuffer(imported):
    vm, _, _ = imported(domain("<memory>1048576</memory><devices><graphics type='vnc'/></devices>"))
    assert vm["segments"][-1]["name"] == "framebuffer"


def test_of_several_domains_one_is_picked(cli, vm_file, imported):
    both = '<?xml version="1.0"?>\n' + LIBVIRT
    both += '<?xml version="1.0"?>\n' + LIBVIRT.replace("web", "db").replace(">4<", ">8<")
    _, _, err = cli("import", vm_file(both))
    assert ":2: 2 VMs: expected --pick with one of 1 (line 2: web, 4G), 2 (line 8: db, 8G)" in err
    assert imported(both, "--pick", "2")[0]["memory"] == "8G"
    assert cli("import", vm_file(both), "--pick", "3").status == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            domain(""),
            "1: no memory is given in what seems to be a libvirt domain",
        ),
        (domain("<memory>1</memory>", "type='kvm'"), "1: a libvirt domain of type 'kvm'"),
        (domain("<memory>1</memory>", "id='2'"), "1: a libvirt domain of type ''"),
        (
            domain("<memory unit='GB'>4</memory>"),
            "3: <memory> of 4 'GB', which is 4000000000",
        ),
        (domain("<memory>1025</memory>"), "3: <memory> of 1025 'KiB'"),
        (domain("<memory>0</memory>"), "3: <memory> of 0 'KiB'"),
        (domain("<memory unit='furlong'>4</memory>"), "3: the unit 'furlong'"),
        (domain("<memory>4G</memory>"), "3: <memory> of '4G': expected a number"),
        (domain("<memory/>"), "3: <memory> of ''"),
        (domain("<memory>1024</memory>\n<memory>2048</memory>"), "4: memory.size is '2097152b'"),
        ("<html/>", "1: XML without a <domain>"),
        ("<!DOCTYPE a>\n" + LIBVIRT, "1: XML with <!DOCTYPE"),
        ('\n<!DOCTYPE a [<!ENTITY b "c">]>\n' + LIBVIRT, "2: XML with <!DOCTYPE"),
        ("<a/></_><!doctype a>", "1: XML with <!doctype"),
        (domain("<memory>&a;</memory>"), "3:9: not XML: undefined entity"),
        (domain("<memory>"), "4:3: not XML: mismatched tag"),
        ("</_>", "1:6: not XML: "),
        ("<a", "1:"),
        ("<a>" * 60, "1: XML too deeply nested"),
    ],
)
def test_xml_that_is_no_bhyve_domain_is_refused(refused, text, message):
    assert refused(text).startswith(message)
