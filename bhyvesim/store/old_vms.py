"""VMs as versions before the fourth stored them: one row, with all of the tables in it."""

from __future__ import annotations

import json
from typing import Any

from bhyvesim.errors import NONSENSE
from bhyvesim.kernel.gpt.leaf import Leaf
from bhyvesim.kernel.gpt.levels import LEAVES
from bhyvesim.kernel.gpt.steps import StepFunction
from bhyvesim.kernel.pages import Pages
from bhyvesim.kernel.plain import leaf_from_plain, to_plain
from bhyvesim.store import codec, lives
from bhyvesim.store.rows import Change, Moment, NewPart, checksum_of
from bhyvesim.store.transaction import Transaction
from bhyvesim.vm.life import new_machine
from bhyvesim.vm.spec import VmSpec

_FIRST_STAMP = 1
_OUTLINE = ("resident", "twins", "tracking", "hardware_bits", "holds", "last_hold")


def add_old_vm(
    transaction: Transaction,
    name: str,
    state: str,
    spec: str,
    maps: str,
    tables: str,
    resident: str,
    crash: int | None,
) -> None:
    """Store the VM in a row of version 3 as the first moment of a life.

    Nothing of its tables is judged here: whoever loads it looks at every value.
    """
    life = transaction.begin_life(name)
    digest = codec.digest_of(spec.encode("utf-8", "surrogatepass"))
    transaction.add_spec(digest, spec)
    try:
        outline, parts = _taken_apart(codec.decode_spec(spec), json.loads(tables))
        count = int(resident)
    except NONSENSE:
        outline, parts, count = b"", (), 0
    moment = Moment(state, digest, maps, outline, count, checksum_of(parts), crash)
    transaction.add_moment(life, 0, Change(moment, (), parts))
    transaction.point(name, life, 0, _FIRST_STAMP)


def _taken_apart(spec: VmSpec, tables: dict[str, Any]) -> tuple[bytes, tuple[NewPart, ...]]:
    """The outline, and the parts. 0.1 knew no holds, no contents and no tracking that changes."""
    if not tables.keys() >= {*_OUTLINE, "contents"}:
        tables = {**to_plain(new_machine(spec).snapshot()), **tables}
    outline = {
        "gpt": spec.kernel.gpt,
        "digest": spec.kernel.digest,
        "debug": spec.kernel.debug,
        "assertions": spec.kernel.assertions if spec.kernel.debug else "off",
        "npt": spec.npt,
        "track_dirty": spec.track_dirty,
        "apicv": spec.apicv,
        **{key: tables[key] for key in _OUTLINE},
    }
    leaves: StepFunction[Leaf | None] = StepFunction(LEAVES, None)
    for first, end, *leaf in tables["leaves"]:
        if not (type(first) is type(end) is int and 0 <= first < end <= LEAVES):
            raise ValueError("leaves")
        leaves.assign(first, end, leaf_from_plain(leaf))
    contents = Pages((int(pfn), bytes.fromhex(page)) for pfn, page in tables["contents"])
    text = json.dumps(outline, separators=(",", ":"))
    parts = lives.parts_in_memory(leaves, contents)
    return codec.packed(text.encode()), tuple(sorted(parts))
