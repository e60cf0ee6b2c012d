"""A host's memory from its kernel statistics, as ``kstat -p`` prints them."""

from __future__ import annotations

import re

from bhyvesim.config.importers.source import Source
from bhyvesim.units import U64_END, shorten
from bhyvesim.vm.host_memory import HostSpec

_LINE = re.compile(
    r"(?P<module>[^:\s]+):(?P<instance>\d+):(?P<name>[^:]*):(?P<key>\S+)\s+(?P<value>.*)"
)
_OURS = ("vmm", "0", "vmm_reservoir")
_KEYS = ("bytes_free", "bytes_alloc", "bytes_transient_alloc", "bytes_limit")
_COMMAND = "the output of kstat -p vmm:0:vmm_reservoir"


def read_kstat(source: Source) -> HostSpec:
    """What ``vmm:0:vmm_reservoir`` says; other statistics may stand around it.

    What is allocated there is held by VMs that are not simulated here. Raises ImportProblem.
    """
    found: dict[str, tuple[int, int]] = {}  # value and line
    for number, line in source.said():
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise source.problem(
                number, "no statistic", f"{_COMMAND}: module:instance:name:statistic, value"
            )
        if match.group("module", "instance", "name") == _OURS and match["key"] in _KEYS:
            value = _number(source, number, match["value"])
            if match["key"] in found and found[match["key"]][0] != value:
                what = f"{match['key']} differs from line {found[match['key']][1]}"
                raise source.problem(number, what, "the statistics of one moment")
            found[match["key"]] = value, number
    for key in _KEYS:
        if key not in found:
            raise source.problem(1, f"vmm:0:vmm_reservoir:{key} is missing", _COMMAND)
    free, taken, transient, limit = (found[key][0] for key in _KEYS)
    return HostSpec(limit, free + taken, taken, transient)


def _number(source: Source, line: int, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < U64_END):
        raise source.problem(line, f"{shorten(text)} is no number of bytes", "a number of 64 bits")
    return int(text)
