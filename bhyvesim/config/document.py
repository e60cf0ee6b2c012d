"""YAML as hostile input: nodes with their places, and nothing that YAML does by itself.

PyYAML's parser gives the events; the nodes are built here, because its own composer
keeps the last of two equal keys, follows aliases, and reads YAML 1.1, where ``no`` is a
boolean and ``1:30`` is 90. Here a scalar is its text, and a reader says what it must be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from bhyvesim import limits
from bhyvesim.errors import UsageError
from bhyvesim.units import shorten, word_of

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ConfigError(UsageError):
    """A file says something it may not: ``file:line:col: what: expected …``."""

    def __init__(self, source: str, line: int, column: int, what: str, expected: str = "") -> None:
        tail = f": expected {expected}" if expected else ""
        super().__init__(f"{source}:{line}:{column}: {what}{tail}")
        self.source, self.line, self.column = source, line, column
        self.what, self.expected = what, expected


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a document. Lines and columns count from 1."""

    source: str
    line: int
    column: int
    path: str  # such as mappings[2].gpa; empty at the top

    def error(self, what: str, expected: str = "") -> ConfigError:
        """A ConfigError at this node."""
        label = f"{self.path}: " if self.path else ""
        return ConfigError(self.source, self.line, self.column, f"{label}{what}", expected)


@dataclass(frozen=True, slots=True)
class Scalar(Node):
    """A value as it was typed; ``plain`` when it was not quoted."""

    text: str
    plain: bool

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Sequence(Node):
    """A list."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping(Node):
    """Keys and their values; ``keys`` has the place of each key."""

    items: dict[str, Node]
    keys: dict[str, Scalar]


def parse(text: str | bytes, source: str) -> Node:
    """The one document in *text*. Raises ConfigError for whatever a description has no use for."""
    refused = limits.DOCUMENT.refusal(len(text))
    if refused is not None:
        raise ConfigError(source, 1, 1, *refused)
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            good = error.object[: error.start]
            line, column = good.count(b"\n") + 1, error.start - good.rfind(b"\n")
            raise ConfigError(source, line, column, "not UTF-8", "text in UTF-8") from None
    try:
        return _Builder(source, yaml.parse(text, Loader=_LOADER)).document()
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        column = len(before) - before.rfind("\n")
        what = f"the character U+{_code_point(error.character):04X}"
        raise ConfigError(source, before.count("\n") + 1, column, what, "printable text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if "nesting depth" in str(error.problem):  # libyaml's own limit, where it looks ahead
            raise ConfigError(
                source, line, column, "too deeply nested", str(limits.DEPTH)
            ) from None
        raise ConfigError(source, line, column, f"not YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        what = "too deeply nested" if isinstance(error, RecursionError) else "not YAML"
        raise ConfigError(source, 1, 1, what, "a YAML document") from None


def _code_point(character: str | int) -> int:
    return character if isinstance(character, int) else ord(character)


class _Builder:
    """Nodes from parser events."""

    def __init__(self, source: str, events: Iterator[Any]) -> None:
        self.source = source
        self.events = events
        self.nodes = 0

    def document(self) -> Node:
        node: Node | None = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if node is not None:
                    raise self.error(event, "a second document", "one document in a file")
                node = self.node(next(self.events), "", 0)
        if node is None:
            raise ConfigError(self.source, 1, 1, "the file is empty", "a mapping of keys")
        return node

    def node(self, event: Any, path: str, depth: int) -> Node:
        self.nodes += 1
        refused = limits.NODES.refusal(self.nodes)
        if refused is not None:
            raise self.error(event, *refused)
        if isinstance(event, yaml.AliasEvent):
            raise self.error(event, f"the alias *{event.anchor}", "values written out")
        if event.anchor is not None:
            raise self.error(event, f"the anchor &{event.anchor}", "values written out")
        if event.tag is not None:
            raise self.error(event, f"the tag {shorten(event.tag)}", "values without tags")
        if depth > limits.DEPTH.most:
            raise self.error(event, "too deeply nested", str(limits.DEPTH))
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, yaml.ScalarEvent):
            plain = not event.style  # None, or empty from libyaml's parser
            return Scalar(self.source, line, column, path, event.value, plain)
        if isinstance(event, yaml.SequenceStartEvent):
            values: list[Node] = []
            while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
                values.append(self.node(event, f"{path}[{len(values)}]", depth + 1))
            return Sequence(self.source, line, column, path, tuple(values))
        return self.mapping(line, column, path, depth)

    def mapping(self, line: int, column: int, path: str, depth: int) -> Mapping:
        items: dict[str, Node] = {}
        keys: dict[str, Scalar] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.node(event, path, depth + 1)
            if not isinstance(key, Scalar):
                raise key.error("a key that is not a word", "a key")
            if key.text in items:
                first = keys[key.text].line
                raise key.error(
                    f"the key {word_of(key.text)} stands twice", f"it once (line {first} has it)"
                )
            keys[key.text] = key
            label = word_of(key.text)[1:-1]
            inner = f"{path}.{label}" if path else label
            items[key.text] = self.node(next(self.events), inner, depth + 1)
        return Mapping(self.source, line, column, path, items, keys)

    def error(self, event: Any, what: str, expected: str) -> ConfigError:
        mark = event.start_mark
        return ConfigError(self.source, mark.line + 1, mark.column + 1, what, expected)
