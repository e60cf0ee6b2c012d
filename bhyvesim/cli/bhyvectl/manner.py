"""Which of the two manners a command line is in: asked at every start, so next to nothing here."""

from __future__ import annotations

from collections.abc import Sequence

# Options of the subcommands' root, which therefore do not decide for bhyvectl's manner.
_ROOT_FLAGS = ("--quiet", "--verbose", "-q", "-v", "--trust-state")
_ROOT_OPTIONS = ("--help", "--version")
_ROOT_VALUES = ("--vm", "--revision-file", "--format", "--color")


def is_bhyvectl_style(argv: Sequence[str]) -> bool:
    """Whether *argv* is options alone up to its first operand, beyond the root's own."""
    i = 0
    asks = False
    while i < len(argv):
        name, equals, _ = argv[i].partition("=")
        if name in _ROOT_VALUES:
            asks = asks or name in ("--vm", "--format")
            i += 1 if equals else 2
        elif argv[i] in _ROOT_FLAGS:
            i += 1
        else:
            return argv[i].startswith("--") and argv[i] not in _ROOT_OPTIONS
    return asks
