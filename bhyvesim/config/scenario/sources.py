"""Scenario files, read strictly: what they name is read too, once and not in circles."""

from __future__ import annotations

import os
from collections.abc import Callable

from bhyvesim.config import readers as r
from bhyvesim.config.document import Mapping, Node, Scalar, parse
from bhyvesim.config.scenario import nodes as n
from bhyvesim.config.scenario.expectations import read_expectations
from bhyvesim.config.scenario.matrix import cells_of, read_matrix
from bhyvesim.config.scenario.steps import STEPS
from bhyvesim.errors import UsageError
from bhyvesim.scenario.model import CellSpec, Place, Scenario, Step
from bhyvesim.units import shorten

ReadFile = Callable[[str], bytes]


class Sources:
    """Reads the files that a scenario names, and knows which are being read."""

    def __init__(self, read_file: ReadFile) -> None:
        self._read_file = read_file
        self._open: list[str] = []

    def load(self, path: str) -> Scenario:
        """The scenario in *path*. Raises UsageError, as the file reader does."""
        fields = _fields(self._read_file(path), path)
        vm = self._vm_node(fields.need("vm", lambda node: node), path)
        axes = fields.get("matrix", read_matrix, dict[str, tuple[Node, ...]]())
        cells = tuple(cells_of(vm, axes))
        title = fields.need("title", r.text)
        return Scenario(title, path, cells, self._steps(fields, path, cells))

    def _named(self, path: str, node: Node, expected: str) -> bytes:
        """The file that *node* names; what is wrong with it is said at *node*."""
        try:
            return self._read_file(path)
        except UsageError as error:
            raise node.error(str(error), expected) from None

    def _vm_node(self, node: Node, path: str) -> Mapping:
        if isinstance(node, Scalar):
            other = os.path.join(os.path.dirname(path), r.text(node))
            node = parse(self._named(other, node, "a VM description"), other)
        if not isinstance(node, Mapping):
            raise node.error(r.describe(node), "a VM description, or the path of one")
        return node

    def _steps(self, fields: r.Fields, path: str, cells: tuple[CellSpec, ...]) -> tuple[Step, ...]:
        nodes = fields.need("steps", r.items(lambda node: node))
        if not nodes:
            raise fields.node.items["steps"].error("no steps", "at least one")
        real = os.path.realpath(path)
        self._open.append(real)
        steps: list[Step] = []
        for node in nodes:
            included = _include(node)
            if included is None:
                steps.append(_step(node, cells))
                continue
            other = os.path.join(os.path.dirname(path), r.text(included))
            if os.path.realpath(other) in self._open:
                raise included.error(f"{shorten(other)} includes itself", "another file")
            inner = _fields(self._named(other, included, "a scenario"), other)
            steps += self._steps(inner, other, cells)
        self._open.pop()
        return tuple(steps)


def _fields(text: bytes, path: str) -> r.Fields:
    return r.Fields(parse(text, path), ("title", "vm", "matrix", "steps"))


def _include(node: Node) -> Node | None:
    if isinstance(node, Mapping) and "include" in node.items:
        return r.Fields(node, ("include",)).need("include", lambda value: value)
    return None


def _step(node: Node, cells: tuple[CellSpec, ...]) -> Step:
    expect: Node | None = None
    if isinstance(node, Scalar):
        name = r.choice(*STEPS)(node)
        arguments: Node = Mapping(*n.place_of(node), node.path, {}, {})
        place = node
    else:
        fields = r.Fields(node, (*STEPS, "include", "expect"))
        names = [key for key in fields.node.items if key != "expect"]
        if len(names) != 1:
            raise node.error(f"{len(names)} steps in one", "one step, and perhaps its expect")
        name = names[0]
        arguments = fields.node.items[name]
        if isinstance(arguments, Scalar) and arguments.is_null:
            arguments = Mapping(*n.place_of(arguments), arguments.path, {}, {})
        expect = fields.node.items.get("expect")
        place = fields.node.keys[name]
    keys, read, results = STEPS[name]
    action = read(r.Fields(arguments, keys))
    expectations = () if expect is None else tuple(read_expectations(expect, name, results, cells))
    label = name + _shown(arguments)
    return Step(name, label, Place(*n.place_of(place)), action, expectations)


def _shown(arguments: Node) -> str:
    """A step's arguments, for messages: `` gpa=0 len=1M``."""
    assert isinstance(arguments, Mapping)
    return "".join(f" {key}={n.word_of(value)}" for key, value in arguments.items.items())
