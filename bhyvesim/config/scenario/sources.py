"""Scenario files, read strictly: what they name is read too, once and not in circles."""

from __future__ import annotations

import os
from collections.abc import Callable

from bhyvesim import limits
from bhyvesim.config import readers as r
from bhyvesim.config.document import Mapping, Node, Scalar, Sequence, parse
from bhyvesim.config.scenario import nodes as n
from bhyvesim.config.scenario.expectations import EXPECT, read_expectations
from bhyvesim.config.scenario.host import read_host
from bhyvesim.config.scenario.matrix import cells_of, read_matrix
from bhyvesim.config.scenario.steps import STEPS, StepKind
from bhyvesim.config.vm import VM_KEYS, VM_RULES
from bhyvesim.errors import UsageError
from bhyvesim.scenario.model import CellSpec, Expectation, Place, Scenario, Step, Work
from bhyvesim.units import shorten

ReadFile = Callable[[str], bytes]


def _unread(node: Node) -> Node:
    """Of what is read where its surroundings are known."""
    return node


# A matrix may change the processor, so what else apicv wants is not asked for here.
_VM_HERE: r.Schema = {"keys": VM_KEYS, "oneOf": VM_RULES["oneOf"]}
TITLE = r.Key("title", r.text, "What it is about.", needed=True)
VM = r.Key(
    "vm",
    r.Reader(
        _unread,
        {
            "anyOf": [
                {"type": "string", "description": "The path of a VM description."},
                r.Reader(_unread, _VM_HERE, "vm"),
            ]
        },
    ),
    "The VM: its description, or the path of one.",
    needed=True,
)
MATRIX = r.Key(
    "matrix", read_matrix, "The kernels, and other variants, to run on.", otherwise="one cell"
)
EXPECT_KEY = r.Key("expect", EXPECT, "What must come of it; success, if left out.")
INCLUDE = r.Key("include", r.text, "The steps of another scenario.", needed=True)


def _step_schema(name: str, kind: StepKind) -> r.Schema:
    arguments: r.Schema = {"keys": kind.keys, **kind.rules}
    if kind.may_be_bare:
        arguments = {"anyOf": [{"type": "null"}, arguments]}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name],
        "properties": {name: arguments, EXPECT_KEY.name: EXPECT_KEY},
    }


STEPS_KEY = r.Key(
    "steps",
    r.items(
        r.Reader(
            _unread,
            {
                "anyOf": [
                    {"enum": [name for name, kind in STEPS.items() if kind.may_be_bare]},
                    {"keys": (INCLUDE,)},
                    *(_step_schema(name, kind) for name, kind in STEPS.items()),
                ]
            },
        )
    ),
    "What is done, one after the other.",
    needed=True,
)
HOST = r.Key("host", read_host, "What is known of the host; without it, memory has no end.")
SCENARIO_KEYS = (TITLE, HOST, VM, MATRIX, STEPS_KEY)


class Sources:
    """Reads the files that a scenario names, and knows which are being read."""

    def __init__(self, read_file: ReadFile) -> None:
        self._read_file = read_file
        self._open: list[str] = []
        self._included: dict[str, r.Fields] = {}
        self._includes = self._steps_so_far = self._checks = 0
        self._work = Work()

    def load(self, path: str) -> Scenario:
        """The scenario in *path*. Raises UsageError, as the file reader does."""
        self._included, self._work = {}, Work()
        self._includes = self._steps_so_far = self._checks = 0
        fields = _fields(self._read_file(path), path)
        vm = self._vm_node(fields.value(VM), path)
        axes = fields.optional(MATRIX) or {}
        cells = tuple(cells_of(vm, axes))
        title = fields.value(TITLE)
        host = fields.optional(HOST)
        return Scenario(title, path, cells, self._steps(fields, path, cells), host)

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
            raise node.error(r.kind_of(node), "a VM description, or the path of one")
        return node

    def _steps(self, fields: r.Fields, path: str, cells: tuple[CellSpec, ...]) -> tuple[Step, ...]:
        nodes = fields.value(STEPS_KEY)
        if not nodes:
            raise fields.node.items["steps"].error("no steps", "at least one")
        real = os.path.realpath(path)
        self._open.append(real)
        steps: list[Step] = []
        for node in nodes:
            included = _include(node)
            if included is None:
                self._count(node, len(cells))
                steps.append(_step(node, cells))
                self._weigh(node, steps[-1])
                continue
            other = os.path.join(os.path.dirname(path), r.text(included))
            steps += self._steps(self._include(included, other), other, cells)
        self._open.pop()
        return tuple(steps)

    def _count(self, node: Node, cells: int) -> None:
        """One more step, before it is read; raises ConfigError for one too many."""
        self._steps_so_far += 1
        n.within(node, limits.STEPS, self._steps_so_far)
        self._checks += cells * _expectations(node)
        n.within(node, limits.CHECKS, self._checks)

    def _weigh(self, node: Node, step: Step) -> None:
        """Raises ConfigError at the step with which all would do too much."""
        self._work = self._work.plus(step.action.work)
        n.within(node, limits.TOUCHES, self._work.touches)
        n.within(node, limits.VALUES, self._work.values)
        n.within(node, limits.FILLED, self._work.filled)

    def _include(self, node: Node, path: str) -> r.Fields:
        """The scenario in *path*, which *node* names; each is read once."""
        real = os.path.realpath(path)
        if real in self._open:
            raise node.error(f"{shorten(path)} includes itself", "another file")
        self._includes += 1
        n.within(node, limits.INCLUDES, self._includes)
        n.within(node, limits.INCLUDED, len(self._open))
        if real not in self._included:
            self._included[real] = _fields(self._named(path, node, "a scenario"), path)
        return self._included[real]


def _fields(text: bytes, path: str) -> r.Fields:
    return r.Fields(parse(text, path), SCENARIO_KEYS)


def _expectations(node: Node) -> int:
    """How many expectations are looked at after a step."""
    expect = node.items.get(EXPECT_KEY.name) if isinstance(node, Mapping) else None
    return max(1, len(expect.items)) if isinstance(expect, Sequence) else 1


def _include(node: Node) -> Node | None:
    if isinstance(node, Mapping) and INCLUDE.name in node.items:
        return r.Fields(node, (INCLUDE,)).need(INCLUDE.name, _unread)
    return None


def _step(node: Node, cells: tuple[CellSpec, ...]) -> Step:
    expect: Node | None = None
    if isinstance(node, Scalar):
        name = r.choice(*STEPS)(node)
        arguments: Node = Mapping(*n.place_of(node), node.path, {}, {})
        place = node
    else:
        fields = r.Fields(node, (*STEPS, INCLUDE, EXPECT_KEY))
        names = [key for key in fields.node.items if key != "expect"]
        if len(names) != 1:
            raise node.error(f"{len(names)} steps in one", "one step, and perhaps its expect")
        name = names[0]
        arguments = fields.node.items[name]
        if isinstance(arguments, Scalar) and arguments.is_null:
            arguments = Mapping(*n.place_of(arguments), arguments.path, {}, {})
        expect = fields.node.items.get("expect")
        place = fields.node.keys[name]
    kind = STEPS[name]
    action = kind.read(r.Fields(arguments, kind.keys))
    expectations: tuple[Expectation, ...] = ()
    if expect is not None:
        expectations = tuple(read_expectations(expect, name, kind.results, cells))
    label = name + _shown(arguments)
    return Step(name, label, Place(*n.place_of(place)), action, expectations)


def _shown(arguments: Node) -> str:
    """A step's arguments, for messages: `` gpa=0 len=1M``."""
    assert isinstance(arguments, Mapping)
    return "".join(f" {key}={n.word_of(value)}" for key, value in arguments.items.items())
