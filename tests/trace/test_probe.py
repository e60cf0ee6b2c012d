"""Descriptions of probes: what they match, and how they are refused."""

from __future__ import annotations

import pytest

from bhyvesim.errors import BadValue
from bhyvesim.kernel.functions import Function
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.trace.probe import Probe, describe, probes

KNOWN = probes([REVISIONS["13932"].functions])


def matched(text):
    return [str(probe) for probe in KNOWN if describe(text, KNOWN).matches(probe)]


@pytest.mark.parametrize(
    "text",
    [
        "fbt:vmm:vm_map_remove:entry",
        "vm_map_remove:entry",
        "vmm:vm_map_remove:entry",
        "fbt::vm_map_rem*:entr?",
        "::vm_map_remove:[e]*",
        " vm_map_remove:entry / end > 1 / ",
    ],
)
def test_fields_may_be_patterns_or_missing(text):
    assert matched(text) == ["fbt:vmm:vm_map_remove:entry"]


def test_empty_fields_are_any():
    assert len(matched(":::")) == len(KNOWN) == 2 * len(matched("entry"))
    assert set(matched(":viona::return")) == {
        str(p) for p in KNOWN if "viona:" in str(p) and p.returned
    }
    assert matched("vm_reinit:") == ["fbt:vmm:vm_reinit:entry", "fbt:vmm:vm_reinit:return"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "column 1 of the probe '': no probe stands here"),
        ("a:b:c:d:e", "column 8 of the probe 'a:b:c:d:e': a fifth field begins here"),
        (
            "fbt:vm:vm_run:entry",
            "column 5 of the probe 'fbt:vm:vm_run:entry': no module is 'vm': expected vmm",
        ),
        (
            "vm_map_remov:entry",
            "column 1 of the probe 'vm_map_remov:entry': no function is "
            "'vm_map_remov': expected vm_map_remove",
        ),
        (
            "vm_run:exit",
            "column 8 of the probe 'vm_run:exit': no name is 'exit': expected entry or",
        ),
        ("vm_run", "expected entry or return after it: 'vm_run:entry'"),
        ("sdt:::", "no provider is 'sdt': expected fbt"),
        ("fbt:unix:vm_run:entry", "no probe matches all of it: expected fbt:"),
        ("vm_run:entry,vm_reinit:entry", "a second probe begins here: expected a -n for each"),
        ("vm_run:entry /1", "column 14 of the probe 'vm_run:entry /1': the predicate has no end"),
        ("vm_run:entry /1/ x", "column 18 of the probe 'vm_run:entry /1/ x': 'x' stands here"),
        (
            "vm_run:entry { print(arg1); }",
            "column 14 of the probe 'vm_run:entry { print(arg1); }': an action stands here",
        ),
        (
            "vm_map_remove:entry /arg0 == 1/",
            "arg0 of vm_map_remove:entry is vm_map_t map, for which "
            "the simulation has no value: expected one of start",
        ),
        ("vm_map_remove:entry /map == 1/", "map of vm_map_remove:entry"),
        ("vm_map_remove:return /arg0 == 1/", "arg0 of vm_map_remove:return is an offset"),
        ("vm_destroy:return /arg1 == 1/", "there is no 'arg1' here"),
    ],
)
def test_mistakes(text, words):
    with pytest.raises(BadValue) as raised:
        describe(text, KNOWN)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_probe_is_found_by_its_name():
    for probe in KNOWN:
        assert matched(str(probe)) == [str(probe)]


def test_a_return_has_none_of_its_entry_s_numbers():
    function = Function.of("int h(uint64_t gpa, size_t len, [vmm_gpt_t *gpt])")
    with pytest.raises(BadValue, match="arg2 of h:entry is vmm_gpt_t"):
        describe("h:entry /arg2 == 1/", [Probe(function, False)])
    with pytest.raises(BadValue, match="there is no 'arg2' here"):
        describe("h:return /arg2 == 1/", [Probe(function, True)])
