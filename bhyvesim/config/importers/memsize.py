"""Sizes of memory, by the rules of the programs that are given them."""

from __future__ import annotations

import re

from bhyvesim.config.importers.source import Source
from bhyvesim.units import MIB, PAGE_SIZE, U64_END, shorten


def parse_memsize(text: str, source: Source, line: int) -> int:
    """Bytes; a bare number below 1 MiB is mebibytes. Source: vm_parse_memsize().

    Raises ImportProblem, also for what is not whole pages.
    """
    match = re.fullmatch(r"(0[xX][0-9a-fA-F]+|[0-9]+)([A-Za-z][A-Za-z]*)?", text, re.ASCII)
    units = {letter: 1 << (10 * power) for power, letter in enumerate("bkmgtpe")}
    if match is None or (match[2] and match[2][0].lower() not in units):
        raise source.problem(
            line, f"the memory size {shorten(text)}", "such as 8G, or MiB as a number"
        )
    digits = match[1].lower()
    octal = digits.startswith("0") and not digits.startswith("0x") and digits.isdigit()
    try:
        number = int(digits[:80], 8 if octal and digits != "0" else 0)
    except ValueError:
        raise source.problem(line, f"{shorten(text)} is no octal", "digits 0-7") from None
    if match[2]:
        number *= units[match[2][0].lower()]
    elif number < MIB:
        number *= MIB
    if not 0 < number < U64_END or number % PAGE_SIZE:
        raise source.problem(
            line, f"the memory size {shorten(text)}", "whole pages, less than 2^64 bytes"
        )
    return number
