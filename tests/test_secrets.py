"""Of a file that is none of ours no error tells more than the word that is wrong."""

from __future__ import annotations

import pytest

SECRET = "SeCrEt"
FILES = {
    "shadow": f"root:$6${SECRET}:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n",
    "yaml": f"root: $6${SECRET}: 19000\nother: x\n",
    "words": f"first {SECRET}\nsecond {SECRET}\n",
    "key": f"-----BEGIN KEY-----\nMIIE{SECRET}\n-----END KEY-----\n",
    "token": f"{SECRET}\n",
    "ini": f"password = {SECRET}\n[x]\ntoken: {SECRET}\n",
    "json": f'{{"password": "{SECRET}"}}',
    "mapping": f"password: {SECRET}\n",
    "twice": f"a {SECRET}: 1\na {SECRET}: 2\n",
    "bytes": b"\xff\xfe" + SECRET.encode(),
}
COMMANDS = (
    "create --config {0}",
    "check {0}",
    "check --format github {0}",
    "matrix {0}",
    "import {0}",
    "run {0}",
    "run {1}",
    "bisect {0}",
    "explore --runs 1 {0}",
    "crash show {0}",
    "crash import {0}",
    "walk 0 --crash {0}",
    "diff {0} {0}",
    "replay {0}",
    "prove --check {0}",
    "host set --kstat {0}",
    "identify --panic-file {0}",
    "identify --trace {0}",
    "identify --memmap {0}",
    "--create --config={0}",
    "--get-memmap --crash={0}",
)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_of_it_is_told(cli, vm_file, file, command):
    path = vm_file(FILES[file], "of-somebody")
    scenario = vm_file(f"title: t\nvm: {path}\nsteps: [create]\n", "scenario.yaml")
    _, out, err = cli(*command.format(path, scenario).split())
    assert out + err
    assert SECRET not in out + err


def test_of_a_description_no_more_is_shown_than_what_is_wrong(cli, vm_file):
    path = vm_file(f"password: {SECRET}\nname: x\nmemory: 1X  # {SECRET}\ncpu: arm\n")
    err = cli("check", path).err
    for line in ("    password", "    memory: 1X", "    cpu: arm"):
        assert f"\n{line}\n" in err
    assert SECRET not in err
