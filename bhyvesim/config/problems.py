"""All that is wrong with a description, where reading it would stop at the first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from bhyvesim.config.document import ConfigError, Mapping, Node, Sequence, parse
from bhyvesim.config.readers import Fields, Keys, Reader, missing
from bhyvesim.config.vm import VM_KEYS, read_vm

MOST = 50  # of one file


def is_description(text: bytes) -> bool:
    """Whether a line of *text* begins with a key of a VM, however wrong the rest is.

    Of what is none, nothing is shown: it may be anything, and somebody's secret.
    """
    keys = "|".join(re.escape(key.name) for key in VM_KEYS)
    return re.search(rf"^({keys}) *:".encode(), text, re.MULTILINE) is not None


def problems_of(text: str | bytes, source: str) -> list[ConfigError]:
    """What is wrong with the VM that *text* describes, in the order of the text.

    Text that is no YAML has one problem: nothing is known of what comes after it.
    """
    try:
        node = parse(text, source)
    except ConfigError as error:
        return [error]
    found = _in_mapping(node, VM_KEYS, read_vm)
    return sorted(found, key=lambda error: (error.line, error.column))[:MOST]


def _in_mapping(node: Node, keys: Keys, read: Callable[[Node], Any]) -> Iterator[ConfigError]:
    """Of its keys, each by itself; where they are well, of how they go together."""
    if not isinstance(node, Mapping):
        yield from _failure(node, read)
        return
    known = {key.name: key for key in keys}
    found = []
    for name, value in node.items.items():
        key = known.get(name)
        found += list(_unknown(node, name, keys) if key is None else _in_value(value, key.read))
    found += [missing(node, key.name) for key in keys if key.needed and key.name not in node.items]
    yield from found or _failure(node, read)


def _unknown(node: Mapping, name: str, keys: Keys) -> Iterator[ConfigError]:
    """The complaint about one key, as if it stood alone."""
    alone = Mapping(
        node.source,
        node.line,
        node.column,
        node.path,
        {name: node.items[name]},
        {name: node.keys[name]},
    )
    yield from _failure(alone, lambda one: Fields(one, keys))


def _in_value(node: Node, read: Reader[Any]) -> Iterator[ConfigError]:
    keys = read.schema.get("keys")
    if keys is not None:
        yield from _in_mapping(node, keys, read)
        return
    items = _items(read)
    if items is None or not isinstance(node, Sequence):
        yield from _failure(node, read)
        return
    found = [error for item in node.items for error in _in_value(item, items)]
    yield from found or _failure(node, read)


def _items(read: Reader[Any]) -> Reader[Any] | None:
    """How *read* reads the items of a list, where it reads one."""
    ways = [read.schema, *(way.schema for way in _ways(read))]
    return next((way["items"] for way in ways if isinstance(way.get("items"), Reader)), None)


def _ways(read: Reader[Any]) -> list[Reader[Any]]:
    return [way for way in read.schema.get("anyOf", ()) if isinstance(way, Reader)]


def _failure(node: Node, read: Callable[[Node], Any]) -> Iterator[ConfigError]:
    try:
        read(node)
    except ConfigError as error:
        yield error
