"""The segments and memmaps of a stored machine: small, and all that most questions need.

Apart from :mod:`.codec` so that printing a memory map does not import the engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from bhyvesim.errors import NONSENSE
from bhyvesim.kernel.memory import Memmap, Memseg
from bhyvesim.store.rows import Damaged


class Maps(NamedTuple):
    """Segments, memmap slots, and the next free host PFN."""

    segs: list[Memseg]
    slots: list[Memmap | None]
    next_host_pfn: int

    @property
    def memmaps(self) -> list[Memmap]:
        """The memmaps, in slot order."""
        return [memmap for memmap in self.slots if memmap is not None]


def encode_maps(segs: Iterable[Memseg], slots: Sequence[Memmap | None], next_host_pfn: int) -> str:
    """As JSON text."""
    plain = {
        "segs": [seg._asdict() for seg in segs],
        "slots": [None if m is None else m._asdict() for m in slots],
        "next_host_pfn": next_host_pfn,
    }
    return json.dumps(plain, separators=(",", ":"))


def decode_maps(text: str) -> Maps:
    """The inverse of :func:`encode_maps`."""
    plain = json.loads(text)
    segs = [Memseg(**seg) for seg in plain["segs"]]
    slots = [None if m is None else Memmap(**m) for m in plain["slots"]]
    return Maps(segs, slots, plain["next_host_pfn"])


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """A stored row that does not make sense is an unusable state, not a crash of ours."""
    try:
        yield
    except NONSENSE as error:
        raise Damaged(name, error) from None
