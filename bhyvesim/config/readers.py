"""Typed values from document nodes; each reader says what it expects and where it was not met.

A reader carries the JSON Schema of what it takes, a key its meaning: the published schemas and
the reference of keys are derived from them (tools/keys.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from collections.abc import Mapping as AnyMapping
from typing import Any, Generic, TypeVar

from bhyvesim.config.document import ConfigError, Mapping, Node, Scalar, Sequence
from bhyvesim.errors import BadValue
from bhyvesim.prot import BY, READ, WRITE, parse_prot
from bhyvesim.units import PAGE_SIZE, is_page_aligned, parse_address, parse_size, shorten, word_of

T = TypeVar("T")

_DIGITS = "(0[xX][0-9a-fA-F]+|0o[0-7]+|[0-9]+)"
AMOUNT = r"(0[xX][0-9a-fA-F]+|[0-9]+)\s*([bB]|[kKmMgGtT]([iI]?[bB])?)?"
_INTEGER = re.compile(f"[+-]?{_DIGITS}", re.ASCII)
_MAX_DIGITS = 40


Schema = AnyMapping[str, Any]
NO_RULES: Schema = {}


class Reader(Generic[T]):
    """Makes a value of a node, or raises ConfigError there.

    *schema* is what the JSON Schema says of it; *name*, if it has one, that of its definition.
    """

    __slots__ = ("name", "read", "schema")

    def __init__(self, read: Callable[[Node], T], schema: Schema, name: str = "") -> None:
        self.read = read
        self.schema = schema
        self.name = name

    def __call__(self, node: Node) -> T:
        return self.read(node)


def reader(schema: Schema, name: str = "") -> Callable[[Callable[[Node], T]], Reader[T]]:
    """Makes a function a reader with that schema."""
    return lambda read: Reader(read, schema, name)


class Key(Generic[T]):
    """One key of a mapping: how its value is read, what it means, and whether it must be there.

    *default* is what it is when it is left out; None where its reader's place decides, and then
    *otherwise* says in words what that comes to.
    """

    __slots__ = ("default", "example", "meaning", "name", "needed", "otherwise", "read")

    def __init__(
        self,
        name: str,
        read: Reader[T],
        meaning: str = "",
        *,
        needed: bool = False,
        default: T | None = None,
        otherwise: str = "",
        example: str = "",
    ) -> None:
        self.name = name
        self.read = read
        self.meaning = meaning
        self.needed = needed
        self.default = default
        self.otherwise = otherwise
        self.example = example


Keys = tuple[Key[Any], ...]


def names(keys: Iterable[Key[Any]]) -> list[str]:
    """What the keys are called."""
    return [key.name for key in keys]


def mapping(keys: Keys, read: Callable[[Fields], T], **more: Any) -> Reader[T]:
    """A mapping with these keys; *more* is what its schema says besides."""
    return Reader(lambda node: read(Fields(node, keys)), {"keys": keys, **more})


class Fields:
    """The values under a mapping's keys; unknown keys are refused at once."""

    def __init__(self, node: Node, keys: Iterable[str | Key[Any]]) -> None:
        known = [key if isinstance(key, str) else key.name for key in keys]
        if not isinstance(node, Mapping):
            raise node.error(kind_of(node), f"a mapping with {listed(known)}")
        self.node = node
        for key, place in node.keys.items():
            if key not in known:
                raise place.error(f"unknown key {word_of(key)}", suggestion(key, known))

    def __contains__(self, key: str) -> bool:
        return key in self.node.items

    def place(self, key: str) -> Node:
        """Where *key* itself stands."""
        return self.node.keys[key]

    def value(self, key: Key[T]) -> T:
        """The value of a key that must be there, or that has a default."""
        if key.needed or key.name in self.node.items:
            return self.need(key.name, key.read)
        assert key.default is not None, key.name
        return key.default

    def optional(self, key: Key[T]) -> T | None:
        """The value of a key that may be left out."""
        return self.get(key.name, key.read, None)

    def need(self, key: str, read: Callable[[Node], T]) -> T:
        """The value of *key*, which must be there."""
        if key not in self.node.items:
            raise missing(self.node, key)
        return read(self.node.items[key])

    def get(self, key: str, read: Callable[[Node], T], default: T) -> T:
        """The value of *key*, or *default* when it is left out."""
        return read(self.node.items[key]) if key in self.node.items else default


def missing(node: Node, key: str) -> ConfigError:
    """That *node* lacks a key."""
    return node.error(f"the key {key!r} is missing", f"{key} to be given")


def suggestion(word: str, known: Iterable[str]) -> str:
    """The nearest of *known* to a mistyped *word*, or all of them."""
    from difflib import get_close_matches

    known = list(known)
    near = get_close_matches(word[:80], known, n=1)
    return f"{near[0]} (did you mean that?)" if near else f"one of {listed(known)}"


def listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def kind_of(node: Node) -> str:
    """What *node* is, for messages; a whole file of text, which may be anybody's, is not quoted."""
    whole = isinstance(node, Scalar) and not node.path and not node.is_null
    return "text" if whole else describe(node)


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


@reader({"type": "string"})
def text(node: Node) -> str:
    """A string, quoted or not; may be empty when quoted."""
    if isinstance(node, Scalar) and not node.plain:
        return node.text
    return scalar(node, "a string")


@reader({"type": "boolean"})
def boolean(node: Node) -> bool:
    """``true`` or ``false``, unquoted; YAML 1.1's yes, no, on and off are not."""
    word = scalar(node, "true or false")
    if not isinstance(node, Scalar) or not node.plain or word not in ("true", "false"):
        raise node.error(f"{shorten(word)} is not a boolean", "true or false")
    return word == "true"


@reader(
    {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": f"^[+-]?{_DIGITS}$"}]},
    "integer",
)
def integer(node: Node) -> int:
    """A decimal, ``0x`` or ``0o`` integer."""
    word = scalar(node, "an integer")
    if len(word) > _MAX_DIGITS or not _INTEGER.fullmatch(word):
        raise node.error(f"{shorten(word)} is not an integer", "an integer, such as 3 or 0x100")
    digits = word.lstrip("+-").lower()
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0o") else 10
    return int(word, base)


@reader(
    {
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": f"^[+]?{_DIGITS}$"},
        ]
    },
    "natural",
)
def natural(node: Node) -> int:
    """An integer that is not negative."""
    number = integer(node)
    if number < 0:
        raise node.error(f"{number} is negative", "an integer from 0 on")
    return number


def choice(*choices: str) -> Reader[str]:
    """One of some words; quoted or not, so that ``gpt: 14042`` needs no quotes."""

    def read(node: Node) -> str:
        word = scalar(node, f"one of {listed(choices)}")
        if word not in choices:
            # Of two words the nearer is no help: cpu: arm is no slip for amd.
            near = suggestion(word, choices) if len(choices) > 2 else f"one of {listed(choices)}"
            raise node.error(f"{shorten(word)} is not known", near)
        return word

    return Reader(read, {"enum": list(choices)})


_BYTES: Schema = {
    "description": "Bytes: 2M, 8GiB, 0x200000 or 4096; suffixes are powers of 1024.",
    "anyOf": [
        {"type": "string", "pattern": rf"^\s*{AMOUNT}\s*$"},
        {"type": "integer", "minimum": 0},
    ],
}
_a_size = reader(_BYTES, "size")


@_a_size
def size(node: Node) -> int:
    """A positive, page-aligned number of bytes."""
    number = byte_count(node)
    if number == 0:
        raise node.error("0 is no size", "a positive size such as 2M or 8G")
    return number


@_a_size
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


@_a_size
def address(node: Node) -> int:
    """A guest-physical address, page-aligned."""
    number = any_address(node)
    if not is_page_aligned(number):
        raise node.error(f"{number:#x} is not page-aligned", f"a multiple of {PAGE_SIZE:#x}")
    return number


@_a_size
def any_address(node: Node) -> int:
    """A guest-physical address."""
    return parsed(node, parse_address, scalar(node, "an address such as 0xffe00000"))


@_a_size
def length(node: Node) -> int:
    """A positive number of bytes, aligned or not."""
    number = parsed(node, parse_size, scalar(node, "a length such as 4K"))
    if number == 0:
        raise node.error("0 is no length", "a positive length")
    return number


@reader(
    {
        "type": "string",
        "description": "One or more of r, w, x: rwx, r-x, w.",
        "pattern": "^[rwxRWX, -]*[rwxRWX][rwxRWX, -]*$",
    },
    "prot",
)
def prot(node: Node) -> int:
    """A protection or an access: ``rwx``, ``r-x``, ``w``."""
    return parsed(node, parse_prot, scalar(node, "one or more of r, w, x"))


ACCESS = Key("access", prot, "What each access wants at once.", needed=True, example="rw")
AGENT = Key(
    "by",
    choice(*BY),
    "A vCPU, through the tables; a device, by holds.",
    default="vcpu",
)
# What a mapping with both says besides: a device reads or writes.
DEVICES_READ_OR_WRITE: Schema = {
    "if": {"properties": {"by": {"const": "device"}}, "required": ["by"]},
    "then": {"properties": {"access": {"pattern": "[rwRW]"}}},
}
HELD = Key(
    "access",
    Reader(prot.read, {"allOf": [prot, {"pattern": "[rwRW]"}]}),
    "What the holder may do: read or write, at least.",
    default=READ | WRITE,
    example="rw",
)


def access_by(fields: Fields) -> tuple[int, str]:
    """What ``access`` wants, and who ``by``; a device reads or writes."""
    wanted, by = fields.value(ACCESS), fields.value(AGENT)
    if by == "device":
        _check_holds(fields, wanted)
    return wanted, by


def held_access(fields: Fields) -> int:
    """What the ``access`` of a holder wants: read or write, at least; both if left out."""
    wanted = fields.value(HELD)
    _check_holds(fields, wanted)
    return wanted


def _check_holds(fields: Fields, wanted: int) -> None:
    if not wanted & (READ | WRITE):
        raise fields.place("access").error("access of a device without r or w", "r or w in it")


def items(read: Callable[[Node], T]) -> Reader[tuple[T, ...]]:
    """A list, each item read by *read*."""

    def read_list(node: Node) -> tuple[T, ...]:
        if not isinstance(node, Sequence):
            raise node.error(f"{describe(node)} stands here", "a list")
        return tuple(read(item) for item in node.items)

    return Reader(read_list, {"type": "array", "items": read})
