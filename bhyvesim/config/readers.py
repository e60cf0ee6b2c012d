"""Typed values from document nodes; each reader says what it expects and where it was not met."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from bhyvesim.config.document import Mapping, Node, Scalar, Sequence
from bhyvesim.errors import BadValue
from bhyvesim.prot import BY, READ, WRITE, parse_prot
from bhyvesim.units import PAGE_SIZE, is_page_aligned, parse_address, parse_size, shorten

T = TypeVar("T")

_INTEGER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|0o[0-7]+|[0-9]+)", re.ASCII)
_MAX_DIGITS = 40


class Fields:
    """The values under a mapping's keys; unknown keys are refused at once."""

    def __init__(self, node: Node, known: Iterable[str]) -> None:
        if not isinstance(node, Mapping):
            raise node.error(f"{describe(node)}", f"a mapping with {listed(known)}")
        self.node = node
        known = list(known)
        for key, place in node.keys.items():
            if key not in known:
                raise place.error(f"unknown key {shorten(key)}", suggestion(key, known))

    def __contains__(self, key: str) -> bool:
        return key in self.node.items

    def place(self, key: str) -> Node:
        """Where *key* itself stands."""
        return self.node.keys[key]

    def need(self, key: str, read: Callable[[Node], T]) -> T:
        """The value of *key*, which must be there."""
        if key not in self.node.items:
            raise self.node.error(f"the key {key!r} is missing", f"{key} to be given")
        return read(self.node.items[key])

    def get(self, key: str, read: Callable[[Node], T], default: T) -> T:
        """The value of *key*, or *default* when it is left out."""
        return read(self.node.items[key]) if key in self.node.items else default


def suggestion(word: str, known: Iterable[str]) -> str:
    """The nearest of *known* to a mistyped *word*, or all of them."""
    from difflib import get_close_matches

    known = list(known)
    near = get_close_matches(word[:80], known, n=1)
    return f"{near[0]} (did you mean that?)" if near else f"one of {listed(known)}"


def listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def describe(node: Node) -> str:
    """What *node* is, for a message."""
    if isinstance(node, Scalar):
        return "nothing" if node.is_null else shorten(node.text)
    return "a list" if isinstance(node, Sequence) else "a mapping"


def scalar(node: Node, expected: str) -> str:
    """The text of a scalar that is not empty."""
    if not isinstance(node, Scalar) or node.is_null:
        raise node.error(f"{describe(node)} stands here", expected)
    return node.text


def parsed(node: Node, parse: Callable[[str], int], word: str) -> int:
    """What *parse* makes of *word*; its BadValue gets the place of *node*."""
    try:
        return parse(word)
    except BadValue as error:
        raise node.error(error.problem, error.expected) from None


def text(node: Node) -> str:
    """A string, quoted or not; may be empty when quoted."""
    if isinstance(node, Scalar) and not node.plain:
        return node.text
    return scalar(node, "a string")


def boolean(node: Node) -> bool:
    """``true`` or ``false``, unquoted; YAML 1.1's yes, no, on and off are not."""
    word = scalar(node, "true or false")
    if not isinstance(node, Scalar) or not node.plain or word not in ("true", "false"):
        raise node.error(f"{shorten(word)} is not a boolean", "true or false")
    return word == "true"


def integer(node: Node) -> int:
    """A decimal, ``0x`` or ``0o`` integer."""
    word = scalar(node, "an integer")
    if len(word) > _MAX_DIGITS or not _INTEGER.fullmatch(word):
        raise node.error(f"{shorten(word)} is not an integer", "an integer, such as 3 or 0x100")
    digits = word.lstrip("+-").lower()
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0o") else 10
    return int(word, base)


def natural(node: Node) -> int:
    """An integer that is not negative."""
    number = integer(node)
    if number < 0:
        raise node.error(f"{number} is negative", "an integer from 0 on")
    return number


def choice(*choices: str) -> Callable[[Node], str]:
    """One of some words; quoted or not, so that ``gpt: 14042`` needs no quotes."""

    def read(node: Node) -> str:
        word = scalar(node, f"one of {listed(choices)}")
        if word not in choices:
            raise node.error(f"{shorten(word)} is not known", suggestion(word, choices))
        return word

    return read


def size(node: Node) -> int:
    """A positive, page-aligned number of bytes."""
    number = byte_count(node)
    if number == 0:
        raise node.error("0 is no size", "a positive size such as 2M or 8G")
    return number


def byte_count(node: Node) -> int:
    """A page-aligned number of bytes, from 0 on."""
    word = scalar(node, "a size such as 2M or 8G")
    number = parsed(node, parse_size, word)
    if not is_page_aligned(number):
        hint = f"; did you mean {word}M or {word}G?" if word.isdigit() else ""
        raise node.error(
            f"{shorten(word)} is {number} bytes, which is not a multiple of {PAGE_SIZE}",
            f"a page-aligned size; a plain number is bytes, suffixes are K, M, G, T{hint}",
        )
    return number


def address(node: Node) -> int:
    """A guest-physical address, page-aligned."""
    number = any_address(node)
    if not is_page_aligned(number):
        raise node.error(f"{number:#x} is not page-aligned", f"a multiple of {PAGE_SIZE:#x}")
    return number


def any_address(node: Node) -> int:
    """A guest-physical address."""
    return parsed(node, parse_address, scalar(node, "an address such as 0xffe00000"))


def length(node: Node) -> int:
    """A positive number of bytes, aligned or not."""
    number = parsed(node, parse_size, scalar(node, "a length such as 4K"))
    if number == 0:
        raise node.error("0 is no length", "a positive length")
    return number


def prot(node: Node) -> int:
    """A protection or an access: ``rwx``, ``r-x``, ``w``."""
    return parsed(node, parse_prot, scalar(node, "one or more of r, w, x"))


def access_by(fields: Fields) -> tuple[int, str]:
    """What ``access`` wants, and who ``by``; a device reads or writes."""
    wanted = fields.need("access", prot)
    by = fields.get("by", choice(*BY), "vcpu")
    if by == "device":
        _check_holds(fields, wanted)
    return wanted, by


def held_access(fields: Fields) -> int:
    """What the ``access`` of a holder wants: read or write, at least; both if left out."""
    wanted = fields.get("access", prot, READ | WRITE)
    _check_holds(fields, wanted)
    return wanted


def _check_holds(fields: Fields, wanted: int) -> None:
    if not wanted & (READ | WRITE):
        raise fields.place("access").error("access of a device without r or w", "r or w in it")


def items(read: Callable[[Node], T]) -> Callable[[Node], tuple[T, ...]]:
    """A list, each item read by *read*."""

    def read_list(node: Node) -> tuple[T, ...]:
        if not isinstance(node, Sequence):
            raise node.error(f"{describe(node)} stands here", "a list")
        return tuple(read(item) for item in node.items)

    return read_list
