"""bhyvesim import: illumos zones, from zonecfg and in JSON."""

from __future__ import annotations

import json

import pytest

from tests.cli.imports import EXPORT, INFO, VMADM, ZADM


def attr(name, value):
    return f"add attr\nset name={name}\nset type=string\nset value={value}\nend\n"


HEAD = "create -b\nset brand=bhyve\nset zonename=web\n"


@pytest.mark.parametrize("text", [HEAD, INFO.replace("ram", "x"), ZADM.replace("ram", "x")])
def test_without_ram_the_brands_1g_is_taken_and_said(imported, text):
    vm, out, err = imported(text)
    assert vm["memory"] == "1G"
    said = "no ram is given: the brand's default of 1G is taken"
    assert f"memory: 1G  # {said}" in out
    assert f"bhyvesim: {said}\n" in err


def test_smartos_has_another_default_so_none_is_taken(refused):
    text = VMADM.replace("ram", "quota")
    assert refused(text).startswith("1: no memory is given in what seems to be a SmartOS VM")


@pytest.mark.parametrize("value", ["BHYVE_CSM", "/root/rom.fd"])
def test_a_zone_has_the_rom_that_it_names(imported, value):
    vm, out, _ = imported(EXPORT + attr("bootrom", value))
    assert vm["bootrom"] == "2M"
    assert f"attr bootrom, line 15: {value}" in out


def test_a_zone_that_names_no_rom_has_the_brands(imported):
    vm, out, _ = imported(EXPORT)
    assert vm["bootrom"] == "2M"
    assert "every bhyve zone has a ROM; none is named, so it is the brand's" in out


def test_the_size_of_a_rom_that_is_there(imported, vm_file):
    rom = vm_file(b"\0" * 8192, "rom.fd")
    vm, _, err = imported(EXPORT + attr("bootrom", rom))
    assert vm["bootrom"] == "8K"
    assert "assumed" not in err


@pytest.mark.parametrize(("value", "there"), [("on", True), ("socket,/x", True), ("off", False)])
def test_vnc_is_a_framebuffer(imported, value, there):
    vm, _, _ = imported(EXPORT + attr("vnc", value))
    assert ("mappings" in vm) is there


def test_quotes_semicolons_and_prompts(imported):
    text = 'zonecfg:web> create -b; set brand="bhyve"\nzonecfg:web> add attr; set name="ram";'
    text += 'set type=string; set value="6G"; end\nadd attr;set name=x;set value="a;b";end\nexit\n'
    assert imported(text)[0]["memory"] == "6G"


def test_select_changes_an_attribute_and_remove_takes_it_away(imported):
    text = EXPORT + "select attr name=ram\nset value=8G\nend\n"
    assert imported(text)[0]["memory"] == "8G"
    assert imported(EXPORT + "remove attr name=ram\n")[0]["memory"] == "1G"


def test_a_memory_cap_is_not_the_guests_memory(imported):
    capped = "add capped-memory\nset physical=16G\nend\n"
    assert imported(EXPORT + capped)[0]["memory"] == "4G"
    assert imported(INFO + "capped-memory:\n\tphysical: 16G\n")[0]["memory"] == "4G"


def test_of_info_about_several_zones_one_is_picked(imported, refused):
    both = INFO + INFO.replace("web", "db").replace("4G", "8G")
    listed = "1: 2 VMs: expected --pick with one of 1 (line 1: web, 4G), 2 (line 13: db, 8G)"
    assert refused(both).startswith(listed)
    assert imported(both, "--pick", "2")[0]["name"] == "db"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("create -b\nset zonepath=/z\n", "1: what seems to be a zone has no brand"),
        (EXPORT.replace("bhyve", "kvm"), "2: a zone of brand 'kvm': expected brand bhyve"),
        (INFO.replace("bhyve", "lx"), "3: a zone of brand 'lx'"),
        (ZADM.replace("bhyve", "kvm"), "2: a zone of brand 'kvm'"),
        (VMADM.replace("bhyve", "joyent"), "1: a zone of brand 'joyent'"),
        (EXPORT + attr("ram", "8G"), "15: attr 'ram' is '8G' here and '4G' on line 7"),
        (INFO + "attr:\n\tname: ram\n\tvalue: 8G\n", "15: attr 'ram' is '8G' here and '4G'"),
        (HEAD + "select attr name=ram\nset value=8G\nend\n", "4: select attr 'ram', which is not"),
        (HEAD + "remove attr name=ram\n", "4: remove attr 'ram', which is not above"),
        (HEAD + "add attr\nset name=ram\n", "6: add attr without end"),
        (HEAD + "end\n", "4: end without add"),
        (HEAD + HEAD, "4: a second create: expected one zone in a file"),
        (HEAD + "revert\n", "4: 'revert'"),
    ],
)
def test_zones_that_are_not_understood_are_refused(refused, text, message):
    assert refused(text).startswith(message)


def test_vmadms_ram_is_mebibytes(imported):
    vm, out, _ = imported(VMADM)
    assert vm["memory"] == "4G"
    assert "memory: 4G  # ram, line 2: 4096" in out


@pytest.mark.parametrize(("port", "there"), [(0, True), (5900, True), (-1, False)])
def test_vmadms_vnc_port_is_a_framebuffer(imported, port, there):
    vm, _, _ = imported(VMADM.replace('"vcpus": 2', f'"vnc_port": {port}'))
    assert ("mappings" in vm) is there


@pytest.mark.parametrize("form", ["list", "one after the other"])
def test_zones_of_other_brands_are_passed_over_and_counted(imported, form):
    zones = [
        {"brand": "lx", "alias": "a", "ram": 1024},
        {"brand": "bhyve", "alias": "web", "ram": 4096, "max_physical_memory": 5120},
        {"brand": "joyent", "alias": "b"},
    ]
    text = json.dumps(zones) if form == "list" else "\n".join(map(json.dumps, zones))
    vm, _, err = imported(text)
    assert (vm["name"], vm["memory"]) == ("web", "4G")
    assert "bhyvesim: zones of other brands are passed over: 1 'lx', 1 'joyent'\n" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "1: a list of nothing"),
        ("{}", "1: what seems to be a zone has no brand"),
        ('[{"brand": "bhyve"}, 3]', "1: '3' is no zone"),
        ('[{"brand": "bhyve"}', "1: not JSON: a list without end"),
        ('{"brand": "bhyve",\n "ram": 1.5}', "2: \"ram\" is '1.5'"),
        ('{"brand": "bhyve", "ram": true}', "1: \"ram\" is 'True'"),
        ('{"brand": "bhyve", "ram": null}', "1: \"ram\" is 'None'"),
        ('{"brand": "bhyve", "ram": []}', "1: \"ram\" is 'a list'"),
        ('{"brand": "bhyve", "ram": -4}', "1: the memory size '-4'"),
        ('{"brand": "bhyve", "ram": 0}', "1: the memory size '0'"),
        ('{"brand": "bhyve", "ram": ' + "9" * 99 + "}", "1: the memory size 'a huge number'"),
        ('{"brand": "bhyve", "ram": ' + "9" * 9999 + "}", "1: not JSON: Exceeds the limit"),
        ('{"brand": "bhyve", "ram": NaN}', "1: not JSON: NaN is no number"),
        ('{"brand": "bhyve", "ram": "1G", "ram": "2G"}', "1: not JSON: the key 'ram' stands twice"),
        ('{"brand": "bhyve",\n', "2:1: not JSON: "),
        ('{"a":' * 99999, "1: not JSON: nested too deeply"),
    ],
)
def test_damaged_json_is_refused(refused, text, message):
    assert refused(text).startswith(message)
