"""run and matrix never disagree about the same VM."""

from __future__ import annotations

import json

import pytest

LIFE = "steps: [create, reboot, reboot, reboot, destroy]\n"
VMS = {
    "testvm": "name: v\nmemory: 8G\n",
    "bhyve": "name: v\nmemory: 8G\nvmm: bhyve\n",
    "intel": "name: v\ncpu: intel\nmemory: 4G\n",
    "large": "name: v\nmemory: 600G\n",
    "small": "name: v\nmemory: 1M\n",
    "shared": "name: v\nsegments: [{id: 0, size: 1M}, {id: 1, name: rom, size: 1M}]\n"
    "mappings: [{gpa: 0, segment: 0, len: 1M}, {gpa: 1M, segment: 1, len: 1M}]\n",
    "unreadable": "name: v\nsegments: [{id: 0, size: 2M}]\n"
    "mappings: [{gpa: 0, segment: 0, len: 2M, prot: w}]\n",
    "beside the apic": "name: v\ncpu: intel\nsegments: [{id: 0, size: 2M}]\n"
    "mappings: [{gpa: 0xfee01000, segment: 0, len: 4K}]\n",
}


@pytest.mark.parametrize("name", VMS)
def test_a_life_passes_where_the_vm_is_safe(cli, vm_file, name):
    verdicts = json.loads(cli("matrix", vm_file(VMS[name]), "--format", "json").out)["kernels"]
    scenario = "title: life\nvm: vm.yaml\nmatrix: {gpt: all, debug: [true, false]}\n" + LIFE
    out = cli("run", vm_file(scenario, "life.yaml"), "--format", "json", "--jobs", "1").out
    cells = {
        (cell["axes"]["gpt"], cell["axes"]["debug"] == "true"): cell
        for cell in json.loads(out)["scenarios"][0]["cells"]
    }
    assert len(cells) == len(verdicts) == 12
    for verdict in verdicts:
        cell = cells[verdict["gpt"], verdict["debug"]]
        if verdict["outcome"] == "panic B at device access":  # which this life has not
            assert verdict["gpt"] == "13896"
        else:
            assert (cell["passed"], cell["outcome"]) == (verdict["safe"], verdict["outcome"])
