"""Small readings of nodes that scenarios' matrices, steps and expectations share."""

from __future__ import annotations

import re

from bhyvesim import limits
from bhyvesim.config import readers as r
from bhyvesim.config.document import Mapping, Node, Scalar, Sequence
from bhyvesim.errors import BadValue
from bhyvesim.limits import Limit
from bhyvesim.scenario.model import Pages, Series
from bhyvesim.units import U64_END, parse_bitmap, parse_size, shorten


def word_of(node: Node) -> str:
    """How an axis value is shown and matched."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        return "[" + " ".join(map(word_of, node.items)) + "]"
    assert isinstance(node, Mapping)
    return "{" + " ".join(f"{key}:{word_of(value)}" for key, value in node.items.items()) + "}"


def within(node: Node, limit: Limit, number: int) -> None:
    """Raises ConfigError at *node* for a *number* past *limit*."""
    refused = limit.refusal(number)
    if refused is not None:
        raise node.error(*refused)


def place_of(node: Node) -> tuple[str, int, int]:
    return node.source, node.line, node.column


@r.reader(
    {
        "description": "A size or address as the kernel may be asked for it, aligned or not.",
        "anyOf": [
            {"type": "string", "pattern": rf"^-?\s*{r.AMOUNT}\s*$"},
            {"type": "integer"},
        ],
    },
    "number",
)
def number(node: Node) -> int:
    """A size or address as the kernel may be asked for it: aligned or not, negative or not."""
    word = r.scalar(node, "a number such as 0x1000 or 2M")
    if word.startswith("-"):
        return -r.parsed(node, parse_size, word[1:])
    return r.parsed(node, parse_size, word)


_a_natural = r.reader(r.natural.schema, "natural")


@_a_natural
def positive(node: Node) -> int:
    number = r.integer(node)
    if number <= 0:
        raise node.error(f"{number} is not positive", "an integer from 1 on")
    return number


@_a_natural
def integer_size(node: Node) -> int:
    """How many bytes a peeked or poked integer has."""
    size = positive(node)
    if size > 8:
        raise node.error(f"{size} bytes", "1 to 8")
    return size


@_a_natural
def byte(node: Node) -> int:
    value = r.natural(node)
    if value > 255:
        raise node.error(f"{value:#x} is no byte", "0 to 0xff")
    return value


@_a_natural
def u64(node: Node) -> int:
    number = r.natural(node)
    if number >= U64_END:
        raise node.error(f"{number:#x} is too large", "a number below 2^64")
    return number


_FROM = r.Key("from", u64, "The first.", default=0)
_BY = r.Key("step", r.integer, "How much further the next is.", default=1)
_series = r.mapping((_FROM, _BY), lambda fields: Series(fields.value(_FROM), fields.value(_BY)))


@r.reader({"description": "One value, or from, from+step, ...", "anyOf": [u64, _series]})
def series(node: Node) -> Series:
    return Series(u64(node)) if isinstance(node, Scalar) else _series(node)


@r.reader({"type": "string", "pattern": "^([0-9a-fA-F]{2})*$"})
def bitmap(node: Node) -> bytes:
    """Bytes in hex, the first byte first; bit 0 of it is the first page."""
    word = "" if isinstance(node, Scalar) and not node.text else r.scalar(node, "hex digits")
    try:
        return parse_bitmap(word)
    except BadValue as error:
        raise node.error(error.problem, error.expected) from None


_PAGES = re.compile(r"(?P<first>\d+)(-(?P<last>\d+)(/(?P<every>\d+))?)?", re.ASCII)
_PART = "[0-9]+(-[0-9]+(/[0-9]+)?)?"


@r.reader(
    {
        "description": "0, 0-16, 0-255/8, or several with commas.",
        "anyOf": [
            {"type": "string", "pattern": rf"^\s*({_PART}(\s*,\s*{_PART})*)?\s*$"},
            {"type": "integer", "minimum": 0},
        ],
    }
)
def pages(node: Node) -> Pages:
    """``0``, ``0-16``, ``0-255/8`` or several of these, with commas."""
    if isinstance(node, Scalar) and not node.text.strip():
        return Pages(())
    runs: list[range] = []
    parts = r.scalar(node, "pages such as 0, 0-16 or 0-255/8").split(",")
    within(node, limits.RANGES, len(parts))
    for part in parts:
        match = _PAGES.fullmatch(part.strip())
        if match is None or len(part) > 60:
            raise node.error(f"{shorten(part)} are no pages", "pages such as 0, 0-16 or 0-255/8")
        first = int(match["first"])
        last = int(match["last"] or first)
        every = int(match["every"] or 1)
        if last < first or every < 1:
            raise node.error(f"{shorten(part)} are no pages", "first-last/every, below 2^24")
        within(node, limits.BITMAP_PAGES, last + 1)
        runs.append(range(first, last + 1, every))
    return Pages(tuple(runs))
