"""One event: an action on a VM while it happens, and what is stored of it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from bhyvesim.errors import KernelStop
from bhyvesim.host.actions import Action, Destroy
from bhyvesim.kernel.machine import Machine
from bhyvesim.store import codec
from bhyvesim.store.lives import Recorder, Stored
from bhyvesim.store.rows import Change, EventRow, VmRow
from bhyvesim.store.transaction import Transaction
from bhyvesim.vm.spec import VmSpec

if TYPE_CHECKING:
    from bhyvesim.crash.dump import CrashDump

KEPT_EVENTS = 1000  # of a life, and at most so many more:
_PRUNE_EVERY = 64

_UUIDS = "6c1d6c0e-0d3c-5f0e-9a53-14042b1e5e11"


class _Described(NamedTuple):
    """A description, by its digest, and encoded."""

    digest: str
    text: str

    @classmethod
    def of(cls, spec: VmSpec) -> _Described:
        text = codec.encode_spec(spec)
        return cls(codec.digest_of(text.encode("utf-8", "surrogatepass")), text)

    @classmethod
    def by(cls, row: VmRow) -> _Described:
        """As it is stored already, perhaps by an older version in other words."""
        return cls(row.moment.spec, row.spec)


class Event:
    """*action* on the VM *spec*, whose machine is *machine*.

    Of a VM that is stored, *row* is what was found of it, and *stored* what it was made of.
    """

    def __init__(
        self,
        action: Action,
        spec: VmSpec,
        machine: Machine,
        time_ns: int,
        row: VmRow | None = None,
        stored: Stored | None = None,
    ) -> None:
        self.action = action
        self.spec = spec
        self.machine = machine
        self.time_ns = time_ns
        self.row = row
        self.dump: CrashDump | None = None
        self.crash: int | None = None  # the number of its dump, once it is stored
        self._result: dict[str, Any] = {}
        self._described = _Described.by(row) if row is not None else _Described.of(spec)
        self._stages: list[tuple[str, Change | None]] = []
        if row is None or stored is None:
            self._recorder = Recorder(machine)
        else:
            self._recorder = Recorder.of(stored, row.moment)

    def run(self, crashes: int) -> Any:
        """Do it; the value that it came to, None of a panic or hang, whose dump is then there.

        *crashes* is how many dumps there are. Raises Refused.
        """
        before = self._described
        after = self.action.described(self.spec)
        if after != self.spec:
            self._described = _Described.of(after)
        try:
            value = self.action.run(self.machine, self.spec, self._done)
        except KernelStop as stop:
            self._described = before
            self.dump = self._dump(stop, crashes)
            self._result = {"stopped": stop.letter, "function": stop.function}
            self._done(self.action.stages[len(self._stages)])
            return None
        self._result = self.action.result(value)
        return value

    @property
    def changed(self) -> bool:
        """Whether there is anything to store."""
        return any(change is not None for _, change in self._stages)

    def write(self, transaction: Transaction) -> None:
        """Store what became of the VM, and its crash dump if it left one."""
        name = self.spec.name
        if self.row is None:
            life, seq = transaction.begin_life(name), 0
        else:
            life, seq = self.row.life, self.row.seq
        if self.dump is not None:
            from bhyvesim.crash.codec import encode
            from bhyvesim.store.dumps import head_of

            self.crash = transaction.add_crash(
                name, self.time_ns, head_of(self.dump), encode(self.dump)
            )
        transaction.add_spec(*self._described)
        stages = []
        for stage, change in self._stages:
            if change is not None:
                seq += 1
                moment = change.moment
                if moment.stopped:
                    change = change._replace(moment=moment._replace(crash=self.crash))
                transaction.add_moment(life, seq, change)
            stages.append((stage, seq))
        number = transaction.last_event(life) + 1
        transaction.add_event(
            EventRow(
                life,
                number,
                self.time_ns,
                _dumps(self.action.record()),
                _dumps(self._result),
                tuple(stages),
                self._recorder.digest(),
                self.crash,
            )
        )
        if number % _PRUNE_EVERY == 0:
            transaction.prune(life, KEPT_EVENTS)
        if self.machine.state.value == "destroyed":
            transaction.remove(name)
        else:
            transaction.point(name, life, seq, new_stamp())

    def _done(self, stage: str) -> None:
        self._stages.append((stage, self._recorder.take(self._described.digest, self._state)))

    @property
    def _state(self) -> str:
        """The machine's, but for a VM that is powered off, which the kernel does not know."""
        state = self.machine.state.value
        off = self.action.word == "power-off" or (self.row is not None and self.row.state == "off")
        return "off" if off and self.machine.state.alive and not self.action.starts else state

    def _dump(self, stop: KernelStop, crashes: int) -> CrashDump:
        import uuid

        from bhyvesim.crash.dump import CrashDump

        word = self.action.word
        seed = f"{self.spec.name}/{word}/{self.time_ns}/{crashes}"
        return CrashDump.of(
            stop,
            self.machine,
            vm=self.spec.name,
            operation=word,
            time_ns=self.time_ns,
            uuid=str(uuid.uuid5(uuid.UUID(_UUIDS), seed)),
        )


def forget(transaction: Transaction, row: VmRow, time_ns: int) -> None:
    """Store that the VM, whose kernel is gone, was destroyed: no machine had a part in it."""
    transaction.add_event(
        EventRow(
            row.life,
            transaction.last_event(row.life) + 1,
            time_ns,
            _dumps(Destroy().record()),
            _dumps({"forgotten": row.state}),
            ((Destroy.stages[0], row.seq),),
            "",
            None,
        )
    )
    transaction.remove(row.name)


def new_stamp() -> int:
    """A number that no stamp before was."""
    return int.from_bytes(os.urandom(7))


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
