"""The host of a scenario: how much memory it has for VMs."""

from __future__ import annotations

from bhyvesim.config import readers as r
from bhyvesim.config.readers import Key
from bhyvesim.kernel.reservoir import limit_of
from bhyvesim.units import format_size
from bhyvesim.vm.host_memory import HostSpec

MEMORY = Key("memory", r.size, "Its physical memory, which gives the limit.", example="1T")
LIMIT = Key("limit", r.byte_count, "The limit of the reservoir and transient memory together.")
RESERVOIR = Key("reservoir", r.byte_count, "The size of its reservoir.", default=0)
TAKEN = Key("taken", r.byte_count, "What of the reservoir other VMs hold.", default=0)
TRANSIENT = Key("transient", r.byte_count, "What other VMs hold beside it.", default=0)
HOST_KEYS = (MEMORY, LIMIT, RESERVOIR, TAKEN, TRANSIENT)


def _read(fields: r.Fields) -> HostSpec:
    memory, limit = fields.optional(MEMORY), fields.optional(LIMIT)
    if memory is not None and limit is not None:
        raise fields.place(LIMIT.name).error("limit beside memory", "one of the two")
    if memory is not None:
        limit = limit_of(memory)
    reservoir, taken = fields.value(RESERVOIR), fields.value(TAKEN)
    transient = fields.value(TRANSIENT)
    if taken > reservoir:
        raise fields.place(TAKEN.name).error(
            f"{format_size(taken)} of a reservoir of {format_size(reservoir)}",
            "no more than it has",
        )
    if limit is not None and reservoir + transient > limit:
        raise fields.node.error(
            f"{format_size(reservoir + transient)} are given out already",
            f"no more than the limit, {format_size(limit)}",
        )
    return HostSpec(limit, reservoir, taken, transient)


read_host = r.mapping(HOST_KEYS, _read)
