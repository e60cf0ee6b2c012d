"""What is said of the host itself: kept in the store, and held against what its VMs have."""

from __future__ import annotations

from typing import NamedTuple

from bhyvesim.errors import Refused
from bhyvesim.kernel.reservoir import HostMemory
from bhyvesim.store import codec
from bhyvesim.store.hosts import Holder, holders, memory_beside, stored_host
from bhyvesim.store.store import Store
from bhyvesim.units import roughly
from bhyvesim.vm.host_memory import HostSpec


class Described(NamedTuple):
    """The host as it was described, its memory as its VMs leave it, and who they are."""

    spec: HostSpec
    memory: HostMemory
    holders: tuple[Holder, ...]

    @classmethod
    def of(cls, spec: HostSpec, vms: tuple[Holder, ...]) -> Described:
        return cls(spec, memory_beside(spec, vms), vms)


def described(store: Store) -> Described | None:
    """What is known of the host; None: nothing."""
    with store.reading() as transaction:
        spec = stored_host(transaction)
        return None if spec is None else Described.of(spec, tuple(holders(transaction)))


def describe(
    store: Store,
    *,
    seen: HostSpec | None = None,
    limit: int | None = None,
    reservoir: int | None = None,
    phys_bits: int | None = None,
    keep: bool = True,
) -> Described:
    """Say more of the host; what is None stays as it was.

    *seen* is what its statistics say. *reservoir* is set as the kernel would do it: raises
    Refused, EINVAL or ENOSPC; ENOSPC as well where VMs hold more of it than there is.
    """
    with store.writing() if keep else store.reading() as transaction:
        vms = tuple(holders(transaction))
        spec = stored_host(transaction)
        if spec is None:  # until now memory was without end
            spec = HostSpec(reservoir=sum(vm.length for vm in vms if vm.reserved))
        if seen is not None:
            spec = seen.but(phys_bits=spec.phys_bits)
        if limit is not None:
            spec = spec.but(limit=limit)
        if phys_bits is not None:
            spec = spec.but(phys_bits=phys_bits)
        memory = memory_beside(spec, vms)
        if memory.free < 0:
            raise Refused(
                "ENOSPC",
                f"VMs hold {roughly(-memory.free)} more of the reservoir than there is",
            )
        if reservoir is not None:
            memory.resize(reservoir)
            spec = spec.but(reservoir=memory.reservoir)
        if keep:
            transaction.set_host(codec.encode_host(spec))
        return Described.of(spec, vms)


def forget(store: Store) -> None:
    """Nothing is known of the host any more: memory is without end. Raises Refused (ENOENT)."""
    with store.writing() as transaction:
        if transaction.host() is None:
            raise Refused("ENOENT", "nothing is said of the host")
        transaction.set_host(None)
