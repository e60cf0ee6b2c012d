"""How much is taken from outside: every bound, in one place.

What is past one is refused before the work, at its place. Work that follows the extents of
guest memory, not its pages, needs none: a touch of 2^64 bytes costs what one of a page costs.
"""

from __future__ import annotations

from typing import NamedTuple

_KIB, _MIB = 1 << 10, 1 << 20


class Limit(NamedTuple):
    """At most *most* of *unit* in what *of* says."""

    most: int
    unit: str
    of: str

    def __str__(self) -> str:
        return f"at most {self.most} {self.unit}"

    def refusal(self, number: int) -> tuple[str, str] | None:
        """What to say of *number*, and what was expected; None if it is within."""
        return (f"{number} {self.unit}", str(self)) if number > self.most else None


DOCUMENT = Limit(_MIB, "bytes", "A YAML file: a VM's description, a scenario")
NODES = Limit(100_000, "values", "A YAML file, keys counted as well")
DEPTH = Limit(20, "levels", "A YAML file, one in the other")
FOREIGN = Limit(_MIB, "bytes", "A file that is imported; of one that holds a panic, its begin")
VMS = Limit(1000, "VMs", "A file that is imported")
XML_DEPTH = Limit(50, "levels", "XML, one element in the other")
COMMANDS = Limit(5000, "commands", "A shell script")
BLOCKS = Limit(100, "levels", "A shell script, one block in the other")
PYTHON = Limit(_MIB, "bytes", "A file with a kernel revision")
CONSOLE = Limit(
    256 * _MIB, "bytes", "A text in which a panic is looked for, such as a console's log"
)

STEPS = Limit(10_000, "steps", "A scenario, with the steps that it includes")
INCLUDES = Limit(100, "includes", "A scenario; a file counts as often as it is included")
INCLUDED = Limit(16, "files", "Scenarios that include each other, in a chain")
CELLS = Limit(10_000, "cells", "A matrix")
CHECKS = Limit(500_000, "checks", "A scenario: its cells, times its steps and expectations")
SECONDS = Limit(300, "seconds", "A cell of a scenario, unless run --timeout says otherwise")

MIGRATION_ROUNDS = Limit(64, "rounds", "A migration, before the pause")
MIGRATION_ROUND_WRITES = Limit(10_000, "writes", "What a guest and its devices write in a round")
MIGRATION_WRITES = Limit(100_000, "writes", "What they write in all rounds of all attempts")
MIGRATION_HOPS = Limit(8, "hops", "A migration")

TOUCHES = Limit(
    1 << 18,
    "pages",
    "What a scenario touches with every, each page for itself, and what is written in migrations",
)
VALUES = Limit(1 << 15, "values", "The integers that a scenario pokes and peeks")
RANGES = Limit(256, "ranges", "What pages names")
BITMAP_PAGES = Limit(1 << 24, "pages", "What pages names: the last one")
WRITTEN = Limit(256 * _MIB, "bytes", "What one operation writes, or a poke or peek spans")
FILLED = Limit(
    1024 * _MIB, "bytes", "What all fills write, of a scenario or of a machine in a replay"
)
READ = Limit(2 * _MIB, "bytes", "What one operation reads")

PATTERN = Limit(1000, "characters", "A regular expression")
PATTERN_STATES = Limit(1000, "states", "A regular expression, its repetitions written out")
PATTERN_TEXT = Limit(4096, "characters", "What a regular expression is looked for in")

LINE = Limit(5 * _MIB, "bytes", "A line of a recording, unpacked")
LIVE_LINE = Limit(_MIB, "bytes", "A line that the script of record printed")
LIVE_VMS = Limit(2000, "VMs", "What is recorded of a live host, in one file")
LIVE_THREADS = Limit(100_000, "threads", "What is recorded of a live host, in one file")
SEQUENCE = Limit(100_000, "operations", "A sequence in a file for lockstep")
PREDICATE = Limit(10_000, "characters", "A predicate of trace")
PREDICATE_DEPTH = Limit(50, "levels", "A predicate of trace, one parenthesis in the other")
LEFT = Limit(64 * _MIB, "characters", "A certificate, or what an interrupted command left")
DUMP = Limit(256 * _MIB, "bytes", "A crash dump in a file")
DUMP_LINE = Limit(_MIB, "bytes", "A line of a crash dump, unpacked")
DUMP_NUMBERS = Limit(
    1_000_000, "numbers", "The tables and holds of a crash dump, besides four for each of its bytes"
)
DUMP_UNPACKED = Limit(1024 * _MIB, "bytes", "A crash dump, unpacked: its lines")


def limits() -> list[Limit]:
    """All of them."""
    return [limit for limit in globals().values() if isinstance(limit, Limit)]
