"""What is said on standard error to a person at a terminal."""

from __future__ import annotations

from bhyvesim.report.fit import paragraph
from bhyvesim.report.tones import BAD, WARNING, marked

_WARNING = "warning:"


def said(speaker: str, text: str, width: int | None, *, wrong: bool, bad: str) -> list[str]:
    """*text* after the name of who says it, which is red where something is *wrong*.

    *bad* are words of it that are red.
    """
    first, *rest = paragraph(text, width, speaker, "  ")
    if wrong:
        first = marked(first, BAD, speaker.rstrip())
    elif bad:
        first = marked(first, BAD, bad)
    elif text.startswith(_WARNING):
        first = marked(first, WARNING, _WARNING)
    return [first, *rest]
