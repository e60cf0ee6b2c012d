"""The host as it is stored, and what its VMs hold of its memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from bhyvesim.store import codec
from bhyvesim.store.maps import decode_maps, decoding
from bhyvesim.store.rows import Damaged
from bhyvesim.store.transaction import Transaction

if TYPE_CHECKING:
    from bhyvesim.kernel.reservoir import HostMemory
    from bhyvesim.vm.host_memory import HostSpec


class Holder(NamedTuple):
    """A VM, how many bytes its segments have, and whether they are from the reservoir."""

    name: str
    length: int
    reserved: bool


def stored_host(transaction: Transaction) -> HostSpec | None:
    """What was said of the host; None: nothing. Raises Damaged."""
    text = transaction.host()
    if text is None:
        return None
    with decoding("the host"):
        return codec.decode_host(text)


def holders(transaction: Transaction, without: str | None = None) -> Iterator[Holder]:
    """The VMs that hold memory. One that panicked or hung took its host with it: it holds none.

    *without* is the name of one that is not asked about. Raises Damaged for one that cannot be
    read: what it holds is not known.
    """
    for row in transaction.vms():
        if isinstance(row, Damaged):
            if without is not None and row.what == without:
                continue
            raise row
        if row.name == without:
            continue
        if row.stopped:
            continue
        with decoding(row.name):
            length = sum(seg.length for seg in decode_maps(row.moment.maps).segs)
            yield Holder(row.name, length, codec.decode_spec(row.spec).reservoir)


def host_memory(transaction: Transaction, host: HostSpec, without: str | None = None) -> HostMemory:
    """The memory of *host* as its VMs leave it, but for the one *without*."""
    return memory_beside(host, holders(transaction, without))


def memory_beside(host: HostSpec, vms: Iterable[Holder]) -> HostMemory:
    """The memory of *host* as *vms* leave it."""
    return host.memory((vm.length, vm.reserved) for vm in vms)
