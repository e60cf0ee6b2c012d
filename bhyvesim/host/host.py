"""The simulated host: its VMs by name, and what is done to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from bhyvesim.errors import HostStopped, Refused
from bhyvesim.host.actions import Action, Create, Destroy, Do, PowerOff, Reboot, SetMemory
from bhyvesim.host.event import Event, forget
from bhyvesim.kernel.calls import Listener, Warned
from bhyvesim.kernel.machine import Machine
from bhyvesim.kernel.results import MachineState
from bhyvesim.kernel.revisions import REVISIONS
from bhyvesim.ops.ioctls import AllocMemseg, Pause, Resume
from bhyvesim.ops.operation import Operation, Recorder
from bhyvesim.store import lives
from bhyvesim.store.hosts import host_memory, stored_host
from bhyvesim.store.lives import Stored
from bhyvesim.store.rows import Damaged, VmRow
from bhyvesim.store.store import LostRace, Store
from bhyvesim.store.transaction import Transaction
from bhyvesim.vm import life
from bhyvesim.vm.spec import VmSpec

if TYPE_CHECKING:
    from bhyvesim.crash.dump import CrashDump
    from bhyvesim.kernel.reservoir import HostMemory, Share
    from bhyvesim.vm.migration.plan import Plan
    from bhyvesim.vm.migration.rehearsal import Rehearsed

T = TypeVar("T")
Clock = Callable[[], int]  # nanoseconds since the epoch

_RACES = 3  # lost ones, before the work is done while the others wait


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
    """A VM that was created and booted; and what was wrong with the one that it replaced."""

    spec: VmSpec
    booted: life.Booted
    warnings: tuple[Warned, ...]
    damage: str | None = None


class Rebooted(NamedTuple):
    """A VM that was rebooted."""

    spec: VmSpec
    result: life.Rebooted
    warnings: tuple[Warned, ...]


class Migrated(NamedTuple):
    """A VM that was migrated: its description before and after, and how that went.

    ``leaked``: tables that the source's end leaked; None where it was kept.
    """

    source: VmSpec
    target: VmSpec
    rehearsed: Rehearsed
    leaked: int | None
    warnings: tuple[Warned, ...]


class Destroyed(NamedTuple):
    """A VM that is gone: how many tables leaked; or how its kernel had ended, or ended just now."""

    name: str
    leaked: int | None = None
    ended: str | None = None  # panicked or hung before: it was only forgotten
    stopped: Stopped | None = None
    warnings: tuple[Warned, ...] = ()


class Done(NamedTuple):
    """What operations came to: a value each; and ``(gpa, pages)`` that were lost by them.

    ``machine`` is the VM's, afterwards, to be looked at.
    """

    values: tuple[Any, ...]
    lost: tuple[tuple[int, int], ...]
    warnings: tuple[Warned, ...]
    machine: Machine


class Host:
    """The VMs in *store*; with *keep* false nothing that is done to them stays (a dry run).

    *listener* hears every entry and return of the simulated kernel, *recorder* of every
    operation before it is done. Operations raise Refused
    as the kernel does (ENOENT for a name that no VM has), Stopped where it panics or hangs,
    and StateError where the store cannot be used.

    The work is done while others may work too; whoever finds that the VM was changed
    meanwhile does it again.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        keep: bool = True,
        listener: Listener | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.keep = keep
        self.listener = listener
        self.recorder = recorder

    def create(self, spec: VmSpec, *, replace: bool = False) -> Created:
        """Allocate, map and boot a VM. EEXIST when the name is taken, unless *replace*.

        ENOMEM where the host is described, and has not enough memory.
        """
        spec = _stamped(spec)

        def work(found: _Found) -> Created:
            if found.row is not None:
                if not replace:
                    raise Refused("EEXIST", f"there is a VM named {spec.name} already")
                try:
                    self._destroy(found)
                except Damaged as damaged:  # which is found where it is looked at
                    found.give_up(damaged)
            machine = self._heard(life.new_machine(spec, self.recorder))
            machine.host = found.share(spec)
            booted = found.do(Event(Create(), spec, machine, self.clock()))
            warnings = tuple(machine.kernel.warnings)
            wrong = None if found.damage is None else found.damage.problem
            return Created(spec, booted, warnings, wrong)

        return self._change(
            spec.name, work, new=True, load=replace, allocates=True, replaces=replace
        )

    def reboot(self, name: str) -> Rebooted:
        """VM_REINIT, the devmem mapped again, the guest booted. EBUSY for one that is paused."""

        def work(found: _Found) -> Rebooted:
            found.check_not_paused("reboots")
            result, event = self._act(found, Reboot())
            return Rebooted(event.spec, result, tuple(event.machine.kernel.warnings))

        return self._change(name, work)

    def perform(self, name: str, word: str, *operations: Operation) -> Done:
        """Operations on a VM as it is; *word* is what they are called together.

        EBUSY where the guest should do one itself, and is powered off.
        """

        def work(found: _Found) -> Done:
            action = Do(word, operations)
            if action.by_guest:
                found.running()
            done, event = self._act(found, action)
            machine = event.machine
            return Done(done.values, done.lost, tuple(machine.kernel.warnings), machine)

        allocates = any(isinstance(operation, AllocMemseg) for operation in operations)
        return self._change(name, work, allocates=allocates)

    def set_memory(self, name: str, mebibytes: int) -> None:
        """Give a VM its RAM, bhyve's way: *mebibytes*, rounded up to 2 MiB, and no ROM.

        Raises Refused as the kernel does where there is RAM already.
        """
        action = SetMemory(mebibytes)
        self._change(name, lambda found: self._act(found, action), allocates=True)

    def migrate(
        self, name: str, to: str, plan: Plan, *, gpt: str | None = None, keep: bool = False
    ) -> Migrated:
        """The guest of the VM *name* moves, as *plan* says, to one that is made for it.

        That is called *to*, and its kernel *gpt*, if given. The source is destroyed then,
        unless it is to *keep* (as it was before: it is a copy of its guest that moves).
        EEXIST where *to* is taken, EBUSY where the guest does not run. Of the host's memory
        the target takes nothing: it follows the source, or has a host of its own; but ENOMEM
        where the source stays beside it, and there is not enough for both.
        """
        from bhyvesim.host.moving import Arriving, MovedAway
        from bhyvesim.vm.migration.memory import target_spec

        if name == to:
            raise Refused("EEXIST", f"{name} cannot be migrated to itself")

        def work(source: _Found, target: _Found) -> Migrated:
            if target.row is not None:
                raise Refused("EEXIST", f"there is a VM named {to} already")
            row, stored = source.running()
            source.check_not_paused("migrates")
            spec = _stamped(target_spec(stored.spec, stored.machine, to, gpt))
            guest = stored.machine.fork()
            guest.listen(self.listener)
            there = self._heard(life.new_machine(spec, self.recorder))
            there.host = target.share(spec)
            arriving = Arriving(name, plan, guest, stored.spec)
            event = Event(arriving, spec, there, self.clock())
            came = target.do(event)
            leaked = None
            if not keep:
                gone = Event(MovedAway(to), stored.spec, stored.machine, self.clock(), row, stored)
                leaked = source.do(gone)
            warnings = (*guest.kernel.warnings, *there.kernel.warnings)
            return Migrated(stored.spec, spec, came, leaked, warnings)

        def find(transaction: Transaction) -> tuple[_Found, ...]:
            return (
                _Found.of(transaction, name, _Wants(new=False, load=True, memory=False)),
                _Found.of(transaction, to, _Wants(new=True, load=False, memory=keep)),
            )

        return self._change_all(find, lambda found: work(*found), allocates=keep)

    def power_off(self, name: str) -> None:
        """Stop the guest; its memory stays until destroy. EALREADY a second time.

        EBUSY for one that is paused: what its VMM makes of that is not known.
        """

        def work(found: _Found) -> None:
            if found.row is not None and found.row.state == "off":
                raise Refused("EALREADY", f"{name} is powered off already")
            found.check_not_paused("powers off")
            self._act(found, PowerOff())

        self._change(name, work)

    def destroy(self, name: str) -> Destroyed:
        """As the kernel does it. A VM whose kernel is gone is only forgotten."""
        return self._change(name, self._destroy)

    def forget(self, name: str) -> None:
        """The VM is gone, whatever is wrong with it; no kernel is asked."""
        from bhyvesim.store.check import is_whole

        with self.store.writing() if self.keep else self.store.reading() as transaction:
            try:
                whole = is_whole(transaction, transaction.vm(name).life)
            except Damaged:
                whole = False
            except Refused:  # a name that is no text equals none
                if name not in transaction.names():
                    raise
                whole = False
            if self.keep and whole:
                transaction.remove(name)
            elif self.keep:
                transaction.remove_damaged(name)

    def forget_all(self) -> list[str]:
        """No VM is left, whatever is wrong with any of them; their names."""
        names = self.names()
        for name in names:
            self.forget(name)
        if self.keep:
            with self.store.writing() as transaction:
                transaction.remove_nameless()
        return names

    def destroy_all(self, names: Sequence[str] | None = None) -> list[Destroyed]:
        """Destroy *names*, or every VM; a panic or hang of one does not save the others."""
        outcomes = []
        for name in self.names() if names is None else names:
            try:
                outcomes.append(self.destroy(name))
            except Stopped as stopped:
                outcomes.append(Destroyed(name, stopped=stopped))
        return outcomes

    def names(self) -> list[str]:
        """The names of all VMs, sorted."""
        with self.store.reading() as transaction:
            return transaction.names()

    def machine(self, name: str) -> Machine:
        """The machine as it is, to be looked at; after a panic or hang, as its dump has it."""
        with self.store.reading() as transaction:
            return lives.load(transaction, transaction.vm(name)).machine

    def _change(
        self,
        name: str,
        work: Callable[[_Found], T],
        *,
        new: bool = False,
        load: bool = True,
        allocates: bool = False,
        replaces: bool = False,
    ) -> T:
        """Do *work* on what there is of the VM, and store what became of it.

        With *new* there may be no VM of that name; without *load* its machine is not wanted.
        *allocates*: it takes memory of the host, which others take too. *replaces*: a damaged
        VM is as good as none.
        """

        def find(transaction: Transaction) -> tuple[_Found, ...]:
            return (_Found.of(transaction, name, _Wants(new, load, allocates, replaces)),)

        return self._change_all(find, lambda found: work(*found), allocates=allocates)

    def _change_all(
        self,
        find: Callable[[Transaction], tuple[_Found, ...]],
        work: Callable[[tuple[_Found, ...]], T],
        *,
        allocates: bool = False,
    ) -> T:
        """Do *work* on what *find* finds of several VMs; all of it is stored, or nothing."""
        alone = self.listener is not None or self.recorder is not None  # nothing heard is unheard
        for _ in range(0 if alone else _RACES):
            try:
                with self.store.reading() as transaction:
                    if allocates and transaction.host() is not None:
                        break  # nobody else may take of what there is
                    all_found = find(transaction)
                value = _run(work, all_found)
                if self.keep and any(found.to_write for found in all_found):
                    with self.store.writing() as transaction:
                        for found in all_found:
                            found.check(transaction)
                        for found in all_found:
                            found.write(transaction)
                return _outcome(all_found, value)
            except LostRace:
                continue
        with self.store.writing() if self.keep else self.store.reading() as transaction:
            all_found = find(transaction)
            value = _run(work, all_found)
            if self.keep:
                for found in all_found:
                    found.write(transaction)
        return _outcome(all_found, value)

    def _act(self, found: _Found, action: Action) -> tuple[Any, Event]:
        """*action* on the VM that was found. Raises Refused where its kernel is gone."""
        row, stored = found.alive()
        machine = self._heard(stored.machine)
        machine.host = found.share(stored.spec)
        event = Event(action, stored.spec, machine, self.clock(), row, stored)
        return found.do(event), event

    def pause(self, name: str) -> None:
        """VM_PAUSE. EALREADY where it is paused, ENOTTY before 15844, EBUSY powered off."""
        self._pause_or_resume(name, Pause())

    def resume(self, name: str) -> None:
        """VM_RESUME. EALREADY where it is not paused; else as pause()."""
        self._pause_or_resume(name, Resume())

    def _pause_or_resume(self, name: str, operation: Operation) -> None:
        def work(found: _Found) -> None:
            if found.row is not None and found.row.state == "off":
                raise Refused("EBUSY", f"{name} is powered off: it has no guest to {operation.op}")
            self._act(found, Do(operation.op, (operation,)))

        self._change(name, work)

    def _destroy(self, found: _Found) -> Destroyed:
        row = found.row
        assert row is not None
        if row.stopped:
            found.forget(self.clock())
            return Destroyed(row.name, ended=row.state)
        leaked, event = self._act(found, Destroy())
        return Destroyed(row.name, leaked, warnings=tuple(event.machine.kernel.warnings))

    def _heard(self, machine: Machine) -> Machine:
        if self.listener is not None:
            machine.listen(self.listener)
        machine.recorder = self.recorder
        return machine


class _Halted(Exception):
    """The kernel stopped; the work ends here, and what came of it is stored."""


class _Wants(NamedTuple):
    """What has to be found: see Host._change()."""

    new: bool
    load: bool
    memory: bool
    replaces: bool = False


class _Found:
    """A VM as it was found, the events that are done to it, and whether it is to be forgotten."""

    def __init__(
        self,
        name: str,
        row: VmRow | None,
        stored: Stored | None,
        memory: HostMemory | None,
        crashes: int,
    ) -> None:
        self.name = name
        self.row = row
        self.stored = stored
        self._memory = memory
        self._forgets: int | None = None  # when
        self._crashes = crashes
        self._events: list[Event] = []
        self.damage: Damaged | None = None
        self._stamp = None if row is None else row.stamp

    @classmethod
    def of(cls, transaction: Transaction, name: str, wants: _Wants) -> _Found:
        """What *transaction* has of the VM. Raises Refused (ENOENT) where there must be one."""
        crashes = transaction.crash_count()
        host = stored_host(transaction) if wants.memory else None
        row, stored, damage = None, None, None
        stamp = transaction.stamp(name)
        if not wants.new or stamp is not None:
            try:
                row = transaction.vm(name)
                stored = None if row.stopped or not wants.load else lives.load(transaction, row)
            except Damaged as damaged:
                if not wants.replaces:
                    raise
                row, stored, damage = None, None, damaged
        without = None if damage is None else name
        memory = None if host is None else host_memory(transaction, host, without)
        found = cls(name, row, stored, memory, crashes)
        found.damage, found._stamp = damage, stamp
        return found

    def share(self, spec: VmSpec) -> Share | None:
        """What the VM *spec* takes its memory from; None: without end, or none is taken."""
        if self._memory is None:
            return None
        from bhyvesim.kernel.reservoir import Share

        return Share(self._memory, spec.reservoir)

    def alive(self) -> tuple[VmRow, Stored]:
        """What was found of a VM whose kernel lives. Raises Refused where it does not."""
        row = self.row
        assert row is not None
        if row.stopped:
            raise Refused(
                row.state.upper(),
                f"{row.name} has {row.state}; only destroy and create --replace change it",
            )
        assert self.stored is not None
        return row, self.stored

    def running(self) -> tuple[VmRow, Stored]:
        """The same of a VM whose guest runs. Raises Refused (EBUSY) where it does not."""
        row, stored = self.alive()
        if row.state == "off":
            raise Refused("EBUSY", f"{self.name} is powered off; a reboot starts its guest again")
        return row, stored

    def do(self, event: Event) -> Any:
        """Run *event*; its value. Raises _Halted where the kernel stops."""
        self._events.append(event)
        value = event.run(self._crashes)
        if event.dump is not None:
            raise _Halted
        return value

    def check_not_paused(self, does: str) -> None:
        """Raises Refused (EBUSY) for a VM that is paused, and so never *does* anything."""
        if self.row is not None and self.row.state == MachineState.PAUSED.value:
            raise Refused("EBUSY", f"{self.name} is paused, and never {does}: resume it first")

    def give_up(self, damaged: Damaged) -> None:
        """What is stored of the VM is as good as nothing."""
        self._events.clear()
        self.row, self.stored, self.damage = None, None, damaged

    def forget(self, time_ns: int) -> None:
        """The VM, whose kernel is gone, is to be a VM no more."""
        assert self.row is not None
        self._forgets = time_ns

    @property
    def to_write(self) -> bool:
        """Whether anything became of it."""
        return self._forgets is not None or any(event.changed for event in self._events)

    def check(self, transaction: Transaction) -> None:
        """Raises LostRace where the VM is not any more as it was found."""
        if transaction.stamp(self.name) != self._stamp:
            raise LostRace(self.name)

    def write(self, transaction: Transaction) -> None:
        """Store what became of it."""
        if self.damage is not None:
            transaction.remove_damaged(self.name)
        if self._forgets is not None and self.row is not None:
            forget(transaction, self.row, self._forgets)
        for event in self._events:
            if event.changed:
                event.write(transaction)

    @property
    def stopped(self) -> Stopped | None:
        """How the kernel stopped in the last event, if it did."""
        last = self._events[-1] if self._events else None
        if last is None or last.dump is None:
            return None
        return Stopped(last.dump, last.crash or self._crashes + 1, last.machine.kernel.warnings)


def _run(work: Callable[[tuple[_Found, ...]], T], found: tuple[_Found, ...]) -> T | None:
    """The value of *work*; None where the kernel stopped."""
    try:
        return work(found)
    except _Halted:
        return None


def _outcome(all_found: tuple[_Found, ...], value: T | None) -> T:
    """What the work came to. Raises Stopped where the kernel stopped."""
    for found in all_found:
        if found.stopped is not None:
            raise found.stopped
    return cast(T, value)


def _stamped(spec: VmSpec) -> VmSpec:
    """*spec* with the digest of the file that its revision is from; there may be none."""
    kernel = spec.kernel
    digest = REVISIONS[kernel.gpt].digest if kernel.gpt in REVISIONS else ""
    if digest == kernel.digest:
        return spec
    return spec.but(kernel=kernel.but(digest=digest))
