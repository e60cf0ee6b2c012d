"""bhyvesim import: files of other kinds are refused by their name."""

from __future__ import annotations

import pytest

from tests.bounded import bounded

WRONG = {
    "name: x\nmemory: 4G\n": "this is a VM description already: see 'bhyvesim create' and",
    "name: x\nsegments: []\nmappings: []\n": "this is a VM description already",
    "title: t\nvm: x.yaml\nsteps: []\n": "this is a scenario: see 'bhyvesim run'",
    '{"op":"create","gpt":"2025"}\n': "this is a file of recorded operations: see 'bhyvesim rep",
    '{"name":"a","ops":[],"results":[]}\n': "this is a trace of operations: see 'bhyvesim replay'",
    "qemu-system-x86_64 -m 4G\n": "this is a call of QEMU, not of bhyve",
    "#!/bin/sh\nqemu-kvm -m 4G\n": "this is a call of QEMU, not of bhyve",
    "> ::status\nbhyve\n": "this is the text of a panic, without its message",
    "ID  Length      Name\n0   3072MB      sysmem\n": "the output of bhyvectl --get-memseg alone",
    "jobs:\n  build:\n    - run: x\n": "this is YAML of some other kind",
    "ioctl(0, (('v'<<16)|('m'<<8)|2), 0xFFFFFC7FFFDF28A0) = 0\n"
    "ioctl(0, (('v'<<16)|('l'<<8)|5), 0xFFFFFC7FFFDF29C0) Err#12 ENOMEM\n": (
        "this is a truss of ioctls, which shows their order and their errors but no VM; "
        "VM_ALLOC_MEMSEG is refused with ENOMEM on line 2: the host's memory is short, not the "
        "VM's shape (see 'bhyvesim host')"
    ),
    "12:\tioctl(7, (('v'<<16)|('l'<<8)|6), 0x8047A80) Err#22 EINVAL\n": (
        "this is a truss of ioctls, which shows their order and their errors but no VM; "
        "VM_MMAP_MEMSEG is refused with EINVAL on line 1: expected"
    ),
    "hello world\n": "this is no file that can be imported",
    "#!/bin/sh\nls\n": "a script that calls no bhyve",
    "\x7fELF\0\0": "a binary file (it holds a NUL)",
}


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_the_message_names_the_kind(refused, text):
    said = refused(text)
    assert said.startswith(f"1: {WRONG[text]}")
    assert ": expected " in said


def test_too_many_vms_in_a_file_are_refused(cli, vm_file):
    path = vm_file("".join(f"bhyve -m {i}M v{i}\n" for i in range(1, 1002)))
    status, _, err = cli("import", path)
    assert (status, "1001 VMs: expected at most 1000" in err) == (2, True)


@pytest.mark.parametrize(
    "text",
    [
        "zonename: a\nbrand: bhyve\n" + ";" * 200_000,
        "create -b\nset brand=bhyve" + ';"' * 100_000,
        "Address Length Segment Offset Prot Flags\n0 1MB a" + " " * 200_000 + "x\n",
        "virtio_" + "1" * 100_000 + "-=1\nmemory=1G\n",
        "<?xml " * 50_000,
        "bhyve " + "\\a" * 200_000,
        "bhyve -m 1G" + " -s 1" * 50_000,
        "A=$A" * 50_000 + "\nbhyve -m $A x",
        "[" + "{}," * 100_000,
        '{"brand":"bhyve","ram":1}' * 30_000,
        "f() {\n" + "A=1G\nbhyve -m $A x\n" * 2_400,
        "bhyve -m 1G x\n" * 50_000,
    ],
    ids=range(12),
)
def test_long_lines_take_little_time_and_memory(vm_file, tmp_path, text):
    ended = bounded("import", vm_file(text), folder=tmp_path)
    assert ended.status in (0, 2), ended.err
    assert ended.err.count("\n") <= 1 or ended.status == 0
