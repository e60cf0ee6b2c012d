"""XML without what makes it dangerous: no DOCTYPE, so no entities; bounded depth.

The text is read as the inside of an element, where XML allows no document type; so several
documents may follow each other, too. docs/decisions/0003-xml.md has the reasons.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from bhyvesim import limits
from bhyvesim.config.importers.source import Source

_AROUND = "<_>", "</_>"
_DECLARATION = re.compile(r"<\?xml\s[^>]{0,200}\?>")


@dataclass(slots=True)
class Element:
    """An element: its text without the blanks around it, and the line that it begins on."""

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> Iterator[Element]:
        """The children named *tag*."""
        return (child for child in self.children if child.tag == tag)

    def everything(self) -> Iterator[Element]:
        """The element itself and all below it, in the order of the text."""
        yield self
        for child in self.children:
            yield from child.everything()


def parse(source: Source) -> Element:
    """The text of *source* as the children of one element. Raises ImportProblem."""
    builder = _Builder(source)
    text = _DECLARATION.sub(lambda match: " " * len(match[0]), source.text)
    forbidden = re.search(r"<!(DOCTYPE|ENTITY)", text, re.IGNORECASE)
    if forbidden is not None:
        line = text.count("\n", 0, forbidden.start()) + 1
        raise source.problem(line, f"XML with {forbidden[0]}", "XML without DTDs and entities")
    try:
        builder.parser.Parse(_AROUND[0] + text + _AROUND[1], True)
    except expat.ExpatError as error:
        column = error.offset + 1 - (len(_AROUND[0]) if error.lineno == 1 else 0)
        what = f"not XML: {expat.ErrorString(error.code)}"
        raise source.problem(error.lineno, what, "XML", max(column, 1)) from None
    return builder.root


class _Builder:
    """Elements from the parser's events."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.root = Element("", {}, 1)
        self.open: list[Element] = []
        self.texts: list[list[str]] = []
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        line = self.parser.CurrentLineNumber
        if len(self.open) > limits.XML_DEPTH.most:
            raise self.source.problem(line, "XML too deeply nested", str(limits.XML_DEPTH))
        element = Element(tag, attributes, line) if self.open else self.root
        if self.open:
            self.open[-1].children.append(element)
        self.open.append(element)
        self.texts.append([])

    def _end(self, tag: str) -> None:
        self.open.pop().text = "".join(self.texts.pop()).strip()

    def _text(self, text: str) -> None:
        self.texts[-1].append(text)
