"""The matrix of a scenario, multiplied out into cells."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bhyvesim import limits
from bhyvesim.config import readers as r
from bhyvesim.config.document import Mapping, Node, Scalar
from bhyvesim.config.scenario import nodes as n
from bhyvesim.config.vm import GPT, KERNEL, KERNEL_KEYS, NAME, VM_KEYS, read_vm
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.scenario.model import CellSpec
from bhyvesim.units import shorten

_AXES = (*KERNEL_KEYS, *(key for key in VM_KEYS if key not in (NAME, KERNEL)))
KERNEL_AXES = r.names(KERNEL_KEYS)
AXES = r.names(_AXES)

Axes = dict[str, tuple[Node, ...]]


def _axis(key: r.Key[Any]) -> r.Schema:
    """A list of the key's values, each once; all stands for every revision."""
    values = {"type": "array", "minItems": 1, "uniqueItems": True, "items": key.read}
    return {"anyOf": [{"const": "all"}, values]} if key is GPT else values


@r.reader(
    {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {key.name: _axis(key) for key in _AXES},
    }
)
def read_matrix(node: Node) -> Axes:
    """The values of each axis, as nodes."""
    fields = r.Fields(node, AXES)
    axes = {}
    for axis in fields.node.items:
        value = fields.node.items[axis]
        if axis == "gpt" and isinstance(value, Scalar) and value.text == "all":
            values: tuple[Node, ...] = tuple(replace(value, text=name) for name in REVISIONS)
        else:
            values = r.items(lambda item: item)(value)
        if not values:
            raise value.error("an empty list", "at least one value")
        n.within(value, limits.CELLS, len(values))
        words = [n.word_of(item) for item in values]
        often = Counter(words)
        for item, word in zip(values, words, strict=True):
            if often[word] > 1:
                raise item.error(f"{shorten(word)} stands twice", "each value once")
        axes[axis] = values
    if not axes:
        raise node.error("an empty matrix", f"one or more of {r.listed(AXES)}")
    return axes


def cells_of(vm: Mapping, axes: Axes) -> Iterator[CellSpec]:
    """Every combination, with the VM that it makes of *vm*."""
    count = 1
    for values in axes.values():
        count *= len(values)
    n.within(vm, limits.CELLS, count)
    for combination in itertools.product(*axes.values()):
        chosen = dict(zip(axes, combination, strict=True))
        spec = read_vm(_with_axes(vm, chosen))
        words = {axis: n.word_of(node) for axis, node in chosen.items()}
        if "gpt" not in words:
            words = {"gpt": spec.kernel.gpt, **words}
        if "debug" not in words:
            words["debug"] = "true" if spec.kernel.debug else "false"
        yield CellSpec(words, spec)


def _with_axes(vm: Mapping, chosen: dict[str, Node]) -> Mapping:
    """*vm* with the chosen values in place of its own."""
    items = dict(vm.items)
    keys = dict(vm.keys)
    kernel = {axis: node for axis, node in chosen.items() if axis in KERNEL_AXES}
    if kernel:
        old = items.get("kernel")
        base = old if isinstance(old, Mapping) else Mapping(*n.place_of(vm), "kernel", {}, {})
        inner_keys = {**base.keys, **{k: _key(k, node) for k, node in kernel.items()}}
        items["kernel"] = replace(base, items={**base.items, **kernel}, keys=inner_keys)
        keys.setdefault("kernel", _key("kernel", vm))
    for axis, node in chosen.items():
        if axis not in KERNEL_AXES:
            items[axis] = node
            keys[axis] = _key(axis, node)
    return replace(vm, items=items, keys=keys)


def _key(name: str, node: Node) -> Scalar:
    return Scalar(*n.place_of(node), name, name, True)
