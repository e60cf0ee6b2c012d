"""What the commands do, once parsed: each is one transaction on the state.

Shared by the subcommands and bhyvectl's manner.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from bhyvesim.cli.session import Session, Stopped, decoding
from bhyvesim.crash.dump import CrashDump, encode
from bhyvesim.errors import KernelStop, Refused, UsageError
from bhyvesim.gpt.access import Access
from bhyvesim.machine.vm import Held, Machine, MachineState
from bhyvesim.report import crash as crash_report
from bhyvesim.store import codec
from bhyvesim.store.maps import encode_maps
from bhyvesim.store.store import Transaction, VmRow
from bhyvesim.units import MIB
from bhyvesim.vmm import life
from bhyvesim.vmm.layouts import LAYOUTS
from bhyvesim.vmm.spec import KernelSpec, TouchSpec, VmSpec

_UUIDS = uuid.UUID("6c1d6c0e-0d3c-5f0e-9a53-14042b1e5e11")


def create(session: Session, spec: VmSpec, *, replace: bool) -> life.Booted:
    """Allocate, map and boot a VM. Raises Refused (EEXIST) when the name is taken."""
    with session.store.writing(Stopped, keep=not session.dry_run) as transaction:
        if spec.name in transaction.names():
            if not replace:
                raise Refused("EEXIST", f"there is a VM named {spec.name} already")
            _destroy(session, transaction, spec.name)
        machine = life.new_machine(spec)
        with _stops(session, transaction, spec, machine, "create"):
            life.allocate(machine, spec)
            booted = life.boot(machine, spec)
            transaction.put(_row(spec, machine))
    log_warnings(session, machine)
    return booted


def reboot(session: Session) -> tuple[VmSpec, life.Rebooted]:
    """VM_REINIT, the ROM mapped again, the guest booted."""
    with session.store.writing(Stopped, keep=not session.dry_run) as transaction:
        spec, machine = _load(transaction.vm(session.name(transaction)))
        with _stops(session, transaction, spec, machine, "reboot"):
            rebooted = life.reboot(machine, spec)
            transaction.put(_row(spec, machine))
    log_warnings(session, machine)
    return spec, rebooted


def touch(session: Session, wanted: TouchSpec) -> Access:
    """Guest accesses of one span."""
    with session.store.writing(Stopped, keep=not session.dry_run) as transaction:
        row = transaction.vm(session.name(transaction))
        spec, machine = _load(row)
        if row.state == "off":
            raise Refused("EBUSY", f"{row.name} is powered off; a reboot starts its guest again")
        with _stops(session, transaction, spec, machine, "touch"):
            access = life.touch_span(machine, wanted)
            transaction.put(_row(spec, machine))
    log_warnings(session, machine)
    return access


def hold(session: Session, gpa: int, prot: int) -> Held:
    """A hold on one page, kept until it is released."""
    with session.store.writing(Stopped, keep=not session.dry_run) as transaction:
        spec, machine = _load(transaction.vm(session.name(transaction)))
        with _stops(session, transaction, spec, machine, "hold"):
            held = machine.hold(gpa, prot)
            transaction.put(_row(spec, machine))
    return held


def release(session: Session, hold_id: int, *, dirty: bool) -> None:
    """Give a hold back."""
    with session.store.writing(keep=not session.dry_run) as transaction:
        spec, machine = _load(transaction.vm(session.name(transaction)))
        machine.release(hold_id, dirty=dirty)
        transaction.put(_row(spec, machine))


def empty_vm(name: str) -> VmSpec:
    """A VM without memory, as bhyvectl --create makes it."""
    return VmSpec(name, KernelSpec(), "amd", (), ())


def set_memory(session: Session, mebibytes: int) -> None:
    """Give a VM its RAM, bhyve's way: *mebibytes*, rounded up to 2 MiB, and no ROM.

    Raises Refused as the kernel does where there is RAM already. Source: vm_setup_memory().
    """
    if mebibytes <= 0:
        raise UsageError(f"--set-mem={mebibytes}: expected a number of MiB from 1 on")
    layout = LAYOUTS["bhyve"](-(-mebibytes // 2) * 2 * MIB, 0, {})
    with session.store.writing(Stopped, keep=not session.dry_run) as transaction:
        row = transaction.vm(session.name(transaction))
        spec, machine = _load(row)
        more = replace(spec, segments=layout.segments, mappings=layout.mappings)
        with _stops(session, transaction, spec, machine, "set-mem"):
            life.allocate(machine, more)
        spec = replace(
            spec,
            segments=(*spec.segments, *layout.segments),
            mappings=(*spec.mappings, *layout.mappings),
        )
        transaction.put(_row(spec, machine)._replace(state=row.state))


def power_off(session: Session) -> None:
    """Stop the guest; its memory stays until destroy. Raises Refused (EALREADY) a second time."""
    with session.store.writing() as transaction:
        row = transaction.vm(session.name(transaction))
        _load(row)
        if row.state == "off":
            raise Refused("EALREADY", f"{row.name} is powered off already")
        transaction.put(row._replace(state="off"))


def inspect(session: Session) -> Machine:
    """The machine as it is, to be looked at; after a panic, as its crash dump has it."""
    return _decode(session.stored_to_show())[1]


def destroy(session: Session) -> tuple[str, int | str]:
    """Destroy one VM; returns its name, and how many tables leaked, or how its kernel had ended."""
    with session.store.writing(Stopped, keep=not session.dry_run) as transaction:
        name = session.name(transaction)
        return name, _destroy(session, transaction, name)


def destroy_all(session: Session) -> list[tuple[str, int | str | Stopped]]:
    """Destroy every VM; a panic or hang of one does not save the others."""
    outcomes: list[tuple[str, int | str | Stopped]] = []
    with session.store.writing(Stopped, keep=not session.dry_run) as transaction:
        for name in transaction.names():
            try:
                outcomes.append((name, _destroy(session, transaction, name)))
            except Stopped as stopped:
                outcomes.append((name, stopped))
    return outcomes


def log_warnings(session: Session, machine: Machine) -> None:
    """The assertions that a warning kernel let pass, with their detail."""
    for warned in machine.kernel.warnings:
        detail = ", ".join(
            f"{key} {value}" if key in ("level", "index") else f"{key} {value:#x}"
            for key, value in warned.facts.items()
        )
        pages = f", and {warned.times - 1} more pages alike" if warned.times > 1 else ""
        session.note(f"{warned.message} [{detail}{pages}]")


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


def _destroy(session: Session, transaction: Transaction, name: str) -> int | str:
    row = transaction.vm(name)
    if row.stopped:
        transaction.remove(name)
        return row.state
    spec, machine = _load(row)
    with _stops(session, transaction, spec, machine, "destroy"):
        leaked = machine.destroy()
    transaction.remove(name)
    log_warnings(session, machine)
    return leaked


@contextmanager
def _stops(
    session: Session, transaction: Transaction, spec: VmSpec, machine: Machine, operation: str
) -> Iterator[None]:
    """Within, a panic or hang is stored with the VM that it ended, and becomes Stopped."""
    try:
        yield
    except KernelStop as stopped:
        log_warnings(session, machine)
        time_ns = session.now_ns()
        name = f"{spec.name}/{operation}/{time_ns}/{transaction.crash_count()}"
        dump = CrashDump.of(
            stopped,
            machine,
            vm=spec.name,
            operation=operation,
            time_ns=time_ns,
            uuid=str(uuid.uuid5(_UUIDS, name)),
        )
        crash_id = transaction.add_crash(spec.name, time_ns, encode(dump))
        transaction.put(_row(spec, machine, crash_id))
        state = machine.state.value
        did = {"panicked": "panic", "hung": "hang"}[state]
        said = (
            f"dry run: {spec.name} would {did} during {operation}; nothing was stored"
            if session.dry_run
            else f"{spec.name} {state} during {operation}; its dump is crash {crash_id}: "
            f"see 'bhyvesim explain {crash_id}' and 'bhyvesim crash show {crash_id}'"
        )
        report = crash_report.console(crash_report.Crash(crash_id, dump))
        raise Stopped(said, report, state) from None
