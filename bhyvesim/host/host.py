"""The simulated host: its VMs by name, and what is done to them, each in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from bhyvesim.errors import BadValue, HostStopped, KernelStop, Refused
from bhyvesim.kernel.calls import Warned
from bhyvesim.kernel.gpt.access import Access
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.results import Held, MachineState
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.store import codec
from bhyvesim.store.maps import decoding, encode_maps
from bhyvesim.store.store import Store, Transaction, VmRow
from bhyvesim.units import MIB
from bhyvesim.vm import life
from bhyvesim.vm.layouts import LAYOUTS
from bhyvesim.vm.spec import TouchSpec, VmSpec

if TYPE_CHECKING:
    from bhyvesim.crash.dump import CrashDump

_UUIDS = "6c1d6c0e-0d3c-5f0e-9a53-14042b1e5e11"

Clock = Callable[[], int]  # nanoseconds since the epoch


class Stopped(HostStopped):
    """The simulated kernel panicked or hung during *operation*; its dump is stored.

    ``crash_id`` is the dump's number; ``warnings`` are what an asserting kernel had logged.
    """

    def __init__(self, dump: CrashDump, crash_id: int, warnings: Sequence[Warned]) -> None:
        super().__init__(f"{dump.vm} {dump.snapshot.state} during {dump.operation}")
        self.dump = dump
        self.crash_id = crash_id
        self.warnings = tuple(warnings)

    @property
    def state(self) -> str:
        """What became of the VM: panicked or hung."""
        return self.dump.snapshot.state


class Created(NamedTuple):
    """A VM that was created and booted."""

    spec: VmSpec
    booted: life.Booted
    warnings: tuple[Warned, ...]


class Rebooted(NamedTuple):
    """A VM that was rebooted."""

    spec: VmSpec
    result: life.Rebooted
    warnings: tuple[Warned, ...]


class Destroyed(NamedTuple):
    """A VM that is gone: how many tables leaked; or how its kernel had ended, or ended just now."""

    name: str
    leaked: int | None = None
    ended: str | None = None  # panicked or hung before: it was only forgotten
    stopped: Stopped | None = None
    warnings: tuple[Warned, ...] = ()


class Host:
    """The VMs in *store*; with *keep* false nothing that is done to them stays (a dry run).

    Operations raise Refused as the kernel does (ENOENT for a name that no VM has), Stopped
    where it panics or hangs, and StateError where the store cannot be used.
    """

    def __init__(self, store: Store, clock: Clock, *, keep: bool = True) -> None:
        self.store = store
        self.clock = clock
        self.keep = keep

    def create(self, spec: VmSpec, *, replace: bool = False) -> Created:
        """Allocate, map and boot a VM. EEXIST when the name is taken, unless *replace*."""
        spec = _stamped(spec)
        with self._writing() as transaction:
            if spec.name in transaction.names():
                if not replace:
                    raise Refused("EEXIST", f"there is a VM named {spec.name} already")
                self._destroy(transaction, spec.name)
            machine = life.new_machine(spec)
            with self._stops(transaction, spec, machine, "create"):
                life.allocate(machine, spec)
                booted = life.boot(machine, spec)
            transaction.put(_row(spec, machine))
        return Created(spec, booted, tuple(machine.kernel.warnings))

    def reboot(self, name: str) -> Rebooted:
        """VM_REINIT, the devmem mapped again, the guest booted."""
        with self._writing() as transaction:
            spec, machine = _load(transaction.vm(name))
            with self._stops(transaction, spec, machine, "reboot"):
                result = life.reboot(machine, spec)
            transaction.put(_row(spec, machine))
        return Rebooted(spec, result, tuple(machine.kernel.warnings))

    def touch(self, name: str, wanted: TouchSpec) -> tuple[Access, tuple[Warned, ...]]:
        """Accesses of one span. EBUSY while the VM is powered off."""
        with self._writing() as transaction:
            row = transaction.vm(name)
            spec, machine = _load(row)
            if row.state == "off":
                raise Refused("EBUSY", f"{name} is powered off; a reboot starts its guest again")
            with self._stops(transaction, spec, machine, "touch"):
                access = life.touching(wanted).perform(machine)
            transaction.put(_row(spec, machine))
        return access, tuple(machine.kernel.warnings)

    def hold(self, name: str, gpa: int, prot: int) -> Held:
        """A hold on one page, kept until it is released."""
        with self._writing() as transaction:
            row = transaction.vm(name)
            spec, machine = _load(row)
            with self._stops(transaction, spec, machine, "hold"):
                held = machine.hold(gpa, prot)
            transaction.put(_row(spec, machine)._replace(state=row.state))
        return held

    def release(self, name: str, hold_id: int, *, dirty: bool) -> None:
        """Give a hold back."""
        with self._writing() as transaction:
            row = transaction.vm(name)
            spec, machine = _load(row)
            machine.release(hold_id, dirty=dirty)
            transaction.put(_row(spec, machine)._replace(state=row.state))

    def set_memory(self, name: str, mebibytes: int) -> None:
        """Give a VM its RAM, bhyve's way: *mebibytes*, rounded up to 2 MiB, and no ROM.

        Raises Refused as the kernel does where there is RAM already. Source:
        vm_setup_memory().
        """
        if mebibytes <= 0:
            raise BadValue(f"{mebibytes} MiB of memory", "a number from 1 on")
        layout = LAYOUTS["bhyve"](-(-mebibytes // 2) * 2 * MIB, 0, {})
        with self._writing() as transaction:
            row = transaction.vm(name)
            spec, machine = _load(row)
            more = replace(spec, segments=layout.segments, mappings=layout.mappings)
            with self._stops(transaction, spec, machine, "set-mem"):
                life.allocate(machine, more)
            spec = replace(
                spec,
                segments=(*spec.segments, *layout.segments),
                mappings=(*spec.mappings, *layout.mappings),
            )
            transaction.put(_row(spec, machine)._replace(state=row.state))

    def power_off(self, name: str) -> None:
        """Stop the guest; its memory stays until destroy. EALREADY a second time."""
        with self._writing() as transaction:
            row = transaction.vm(name)
            _load(row)
            if row.state == "off":
                raise Refused("EALREADY", f"{name} is powered off already")
            transaction.put(row._replace(state="off"))

    def destroy(self, name: str) -> Destroyed:
        """As the kernel does it. A VM whose kernel is gone is only forgotten."""
        with self._writing() as transaction:
            return self._destroy(transaction, name)

    def names(self) -> list[str]:
        """The names of all VMs, sorted."""
        with self.store.reading() as transaction:
            return transaction.names()

    def forget(self, name: str) -> None:
        """The VM is gone, whatever is wrong with it; no kernel is asked."""
        with self._writing() as transaction:
            transaction.vm(name)
            transaction.remove(name)

    def destroy_all(self) -> list[Destroyed]:
        """Destroy every VM; a panic or hang of one does not save the others."""
        outcomes = []
        with self._writing() as transaction:
            for name in transaction.names():
                try:
                    outcomes.append(self._destroy(transaction, name))
                except Stopped as stopped:
                    outcomes.append(Destroyed(name, stopped=stopped))
        return outcomes

    def machine(self, name: str) -> Machine:
        """The machine as it is, to be looked at; after a panic or hang, as its dump has it."""
        with self.store.reading() as transaction:
            return _decode(transaction.vm(name))[1]

    def _writing(self) -> AbstractContextManager[Transaction]:
        return self.store.writing(Stopped, keep=self.keep)

    def _destroy(self, transaction: Transaction, name: str) -> Destroyed:
        row = transaction.vm(name)
        if row.stopped:
            transaction.remove(name)
            return Destroyed(name, ended=row.state)
        spec, machine = _load(row)
        with self._stops(transaction, spec, machine, "destroy"):
            leaked = machine.destroy()
        transaction.remove(name)
        return Destroyed(name, leaked, warnings=tuple(machine.kernel.warnings))

    @contextmanager
    def _stops(
        self, transaction: Transaction, spec: VmSpec, machine: Machine, operation: str
    ) -> Iterator[None]:
        """Within, a panic or hang is stored with the VM that it ended, and becomes Stopped."""
        try:
            yield
        except KernelStop as stop:
            import uuid

            from bhyvesim.crash.dump import CrashDump, encode

            time_ns = self.clock()
            seed = f"{spec.name}/{operation}/{time_ns}/{transaction.crash_count()}"
            dump = CrashDump.of(
                stop,
                machine,
                vm=spec.name,
                operation=operation,
                time_ns=time_ns,
                uuid=str(uuid.uuid5(uuid.UUID(_UUIDS), seed)),
            )
            crash_id = transaction.add_crash(spec.name, time_ns, encode(dump))
            transaction.put(_row(spec, machine, crash_id))
            raise Stopped(dump, crash_id, machine.kernel.warnings) from None


def _stamped(spec: VmSpec) -> VmSpec:
    """*spec* with the digest of the file that its revision is from; there may be none."""
    kernel = spec.kernel
    digest = REVISIONS[kernel.gpt].digest if kernel.gpt in REVISIONS else ""
    return spec if digest == kernel.digest else replace(spec, kernel=replace(kernel, digest=digest))


def _load(row: VmRow) -> tuple[VmSpec, Machine]:
    """A machine to work on. Raises Refused (PANICKED, HUNG) where its kernel is gone."""
    spec, machine = _decode(row)
    if row.stopped:
        raise Refused(
            row.state.upper(),
            f"{row.name} has {row.state}; only destroy and create --replace change it",
        )
    return spec, machine


def _decode(row: VmRow) -> tuple[VmSpec, Machine]:
    with decoding(row.name):
        spec = codec.decode_spec(row.spec)
        state = MachineState.RUNNING if row.state == "off" else MachineState(row.state)
        return spec, codec.decode_machine(spec, row.maps, row.tables, state)


def _row(spec: VmSpec, machine: Machine, crash: int | None = None) -> VmRow:
    return VmRow(
        name=spec.name,
        state=machine.state.value,
        spec=codec.encode_spec(spec),
        maps=encode_maps(machine.segs.values(), machine.slots, machine.next_host_pfn),
        tables=codec.encode_tables(machine.snapshot()),
        resident=machine.resident,
        crash=crash,
    )
