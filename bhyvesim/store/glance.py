"""What a list of VMs says of each, from its stored description alone.

Apart from :mod:`.codec` so that listing VMs does not import the engine.
"""

from __future__ import annotations

import json
from typing import NamedTuple


class Glance(NamedTuple):
    """The kernel that a VM's host runs, its processor, and its memory in bytes."""

    gpt: str
    debug: bool
    cpu: str
    memory: int


def glance(spec: str) -> Glance:
    """The same as of ``codec.decode_spec(spec)``."""
    plain = json.loads(spec)
    kernel = plain["kernel"]
    memory = sum(segment["length"] for segment in plain["segments"] if not segment["name"])
    return Glance(kernel["gpt"], kernel["debug"], plain["cpu"], memory)
