"""Where in a file the parts of a description stand, for findings about them."""

from __future__ import annotations

from bhyvesim.config.document import Mapping, Node, Sequence
from bhyvesim.vm.spec import VmSpec


def names_its_kernel(node: Node) -> bool:
    """Whether the description under *node* says which revision it is for."""
    kernel = node.items.get("kernel") if isinstance(node, Mapping) else None
    return isinstance(kernel, Mapping) and "gpt" in kernel.items


def place_of(
    node: Node, spec: VmSpec, *, mapping: int | None = None, segment: int | None = None
) -> Node:
    """The node that a mapping or segment of *spec* comes from."""
    assert isinstance(node, Mapping)
    if spec.vmm is None:
        listed = node.items["mappings" if mapping is not None else "segments"]
        index = mapping if mapping is not None else segment
        if isinstance(listed, Sequence) and index is not None:
            return listed.items[index]
        return node
    segid = spec.mappings[mapping].segid if mapping is not None else None
    named = {s.segid: s.name for s in spec.segments}
    key = "bootrom" if segid is not None and named[segid] else "memory"
    return node.items.get(key, node.items["memory"])
