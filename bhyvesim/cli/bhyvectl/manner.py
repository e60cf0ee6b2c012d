"""Which of the two manners a command line is in: asked at every start, so next to nothing here."""

from __future__ import annotations

from collections.abc import Sequence

# Options of the subcommands' root, which therefore do not decide for bhyvectl's manner.
_ROOT_OPTIONS = ("--help", "--version", "--quiet", "--verbose")


def is_bhyvectl_style(argv: Sequence[str]) -> bool:
    """Whether *argv* is options alone up to its first operand, beyond the root's own."""
    i = 0
    seen_vm = False
    while i < len(argv):
        word = argv[i]
        if word == "--vm":
            seen_vm = True
            i += 2
        elif word.startswith("--vm="):
            seen_vm = True
            i += 1
        elif word in ("--revision-file", "--color"):
            i += 2
        elif word.startswith(("--revision-file=", "--color=")) or word in ("--quiet", "--verbose"):
            i += 1
        else:
            return word.startswith("--") and word not in _ROOT_OPTIONS
    return seen_vm
